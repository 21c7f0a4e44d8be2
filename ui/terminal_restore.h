// The one list of what the screen changes in a terminal and must be put back: written by the curses
// terminal at exit, by the supervisor when the chat has died, and by crash handlers.
#pragma once

#include <string_view>

namespace ui {

// Undoes, in this order: synchronized update, colours and attributes, line-drawing set,
// application cursor keys and keypad, bracketed paste, mouse and focus reports and wheel
// translation, scrolling region (only the margins), alternate screen, hidden cursor. Harmless where
// a mode was never on. Written with one write(); no allocation, so usable in signal handlers.
inline constexpr std::string_view kRestoreTerminal =
    "\x1b[?2026l"
    "\x1b[m\x1b(B\x0f"
    "\x1b[?1l\x1b>"
    "\x1b[?2004l"
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?1007l"
    "\x1b[r"
    "\x1b[?1049l"
    "\x1b[?25h";

}  // namespace ui
