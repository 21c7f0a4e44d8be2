// Text to the clipboard from a terminal, by the first way that works here (ux.md 3.5): tmux's
// buffer, else OSC 52 through the terminal. The text is always left in a file too.
#pragma once

#include <string>
#include <string_view>

#include "ui/terminal.h"

namespace app {

// Never waits. Returns by which way: "tmux buffer", "OSC 52".
std::string copy_to_clipboard(std::string_view text, ui::Terminal& terminal);

// Where the file is: last-copy in the runtime folder.
std::string last_copy_path();

}  // namespace app
