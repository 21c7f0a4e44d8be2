// Which keys the commands are on: their own, or those that [keys] of the configuration gives them.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "app/commands/commands.h"
#include "app/settings/config.h"

namespace app {

class KeyBindings {
  public:
    // Those of the command table.
    KeyBindings() = default;
    // Changed by the configuration. What makes no sense (an unknown action or key, a key that two
    // actions would be on) is a mistake, and then the action keeps its own.
    explicit KeyBindings(const Config& config);

    // "C-x r|F5"; empty: none.
    std::string_view keys_of(const Command& command) const;
    const std::vector<ConfigNotice>& notices() const { return notices_; }

  private:
    void take(const KeyWish& wish);

    std::map<const Command*, std::string> keys_;
    std::vector<ConfigNotice> notices_;
};

// Calls `use` for each of "C-x r|F5" until it returns true; returns whether one did.
bool any_key(std::string_view keys, const std::function<bool(std::string_view)>& use);

}  // namespace app
