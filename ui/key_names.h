// Keys as people write them: "C-x", "M-v", "F5", "PgUp", "C-Home", "Enter", "?".
#pragma once

#include <string>
#include <string_view>

#include "ui/keys.h"

namespace ui {

// Control and Alt are "C-" and "M-"; Shift shows with keys that are no characters: "S-Left".
std::string key_name(const Key& key);
// Whether key_name() gives such names: one key, or a C-x in front of one.
bool is_key_name(std::string_view name);

}  // namespace ui
