#include "ui/key_names.h"

#include <algorithm>
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

bool is_key_name(std::string_view name) {
    constexpr std::string_view kPrefix = "C-x ";
    if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
    while (name.size() > 2 && name[1] == '-' &&
           std::string_view("CMS").find(name[0]) != std::string_view::npos)
        name.remove_prefix(2);
    if (name == "Space") return true;
    if (name.size() > 1 && name[0] == 'F')
        return name.size() < 4 && name.find_first_not_of("0123456789", 1) == std::string_view::npos;
    if (std::find(kNames.begin() + 1, kNames.end(), name) != kNames.end()) return true;
    return !name.empty() && name != " " && core::decode_utf8(name).length == name.size();
}

}  // namespace ui
