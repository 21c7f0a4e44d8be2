#include "app/chat/key_prefix.h"

#include <string>

namespace app {

void KeyPrefix::press(ui::Key key, ui::TimePoint now) {
    key_ = std::move(key);
    pressed_at_ = now;
    shown_ = false;
}

ui::Key KeyPrefix::take() {
    return *std::exchange(key_, std::nullopt);
}

std::optional<ui::TimePoint> KeyPrefix::due() const {
    if (!key_ || shown_) return std::nullopt;
    return pressed_at_ + kHesitation;
}

bool KeyPrefix::tick(ui::TimePoint now) {
    const auto at = due();
    if (!at || now < *at) return false;
    return shown_ = true;
}

std::vector<ui::KeyHint> keys_behind(std::string_view prefix, const KeyBindings& bindings) {
    const std::string beginning = std::string(prefix) + " ";
    std::vector<ui::KeyHint> hints;
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands)
            any_key(bindings.keys_of(command), [&](std::string_view key) {
                if (!key.starts_with(beginning)) return false;
                hints.push_back({.key = std::string(key.substr(beginning.size())),
                                 .action = std::string(command.name)});
                return false;
            });
    return hints;
}

}  // namespace app
