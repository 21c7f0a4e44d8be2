// Keys as people write them: "C-x", "M-v", "F5", "PgUp", "C-Home", "Enter", "?".
#pragma once

#include <string>

#include "ui/keys.h"

namespace ui {

// Control and Alt are "C-" and "M-"; Shift shows with keys that are no characters: "S-Left".
std::string key_name(const Key& key);

}  // namespace ui
