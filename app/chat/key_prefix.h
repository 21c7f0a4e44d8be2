// C-x was pressed: the next key is a command's. Who hesitates is shown which there are.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "app/commands/key_bindings.h"
#include "ui/key_hints.h"
#include "ui/keys.h"

namespace app {

inline constexpr std::chrono::milliseconds kHesitation{600};

class KeyPrefix {
  public:
    void press(ui::Key key, ui::TimePoint now);
    bool pressed() const { return key_.has_value(); }
    // The key; it is no prefix any more. REQUIRES: pressed().
    ui::Key take();

    // When its hints are due; nothing: they are shown, or nobody waits for them.
    std::optional<ui::TimePoint> due() const;
    // Whether they have just become due.
    bool tick(ui::TimePoint now);
    bool shown() const { return pressed() && shown_; }

  private:
    std::optional<ui::Key> key_;
    ui::TimePoint pressed_at_;
    bool shown_ = false;
};

// The keys behind a prefix ("C-x") and what they do, in the order of /help.
std::vector<ui::KeyHint> keys_behind(std::string_view prefix, const KeyBindings& bindings);

}  // namespace app
