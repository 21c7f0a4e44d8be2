// Text to the clipboard from a terminal, by the first way that works here (ux.md 3.5): tmux's
// buffer, else OSC 52 through the terminal. The text is always left in a file too.
#pragma once

#include <string>
#include <string_view>

#include "ui/terminal.h"

namespace app {

// `way`: what terminal.clipboard says. Returns by which way it went: "tmux buffer", "OSC 52", "a
// command", "a file".
std::string copy_to_clipboard(std::string_view text, ui::Terminal& terminal, std::string_view way);

struct ClipboardText {
    std::string text;
    std::string from;  // "tmux buffer", "clipboard", "last copy"
};
// What tmux's buffer has, else the clipboard of the desktop, else what was copied here last. Waits
// for the program that tells it, two seconds at most. Throws core::Error(usage): there is nothing.
ClipboardText paste_from_clipboard();

// Where the file is: last-copy in the runtime folder.
std::string last_copy_path();

}  // namespace app
