#include "ui/key_names.h"

#include <array>
#include <string_view>

#include "core/base/utf8.h"

namespace ui {
namespace {

// In the order of KeyCode; characters and function keys have names of their own.
constexpr std::array<std::string_view, 15> kNames = {"",    "Enter", "Tab",  "BS",    "Esc",
                                                     "Up",  "Down",  "Left", "Right", "Home",
                                                     "End", "PgUp",  "PgDn", "Ins",   "Del"};

}  // namespace

std::string key_name(const Key& key) {
    std::string name;
    if ((key.modifiers & kControl) != 0) name += "C-";
    if ((key.modifiers & kAlt) != 0) name += "M-";
    if ((key.modifiers & kShift) != 0 && key.code != KeyCode::character) name += "S-";
    if (key.code == KeyCode::function) return name + "F" + std::to_string(uint32_t{key.character});
    if (key.code != KeyCode::character)
        return name + std::string(kNames.at(static_cast<size_t>(key.code)));
    if (key.character == ' ') return name + "Space";
    core::append_utf8(name, key.character);
    return name;
}

}  // namespace ui
