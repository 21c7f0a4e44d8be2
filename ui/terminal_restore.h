// What puts a terminal back after the full screen, as bytes that a signal handler or another process
// may write. The one place that lists the modes the chat turns on.
#pragma once

#include <string_view>

namespace ui {

// In order: end a synchronized update, mouse reports off, alternate scroll off, bracketed paste off,
// normal keypad and cursor keys, attributes off, cursor visible, back to the main screen.
// (xterm control sequences, https://invisible-island.net/xterm/ctlseqs/ctlseqs.html)
inline constexpr std::string_view kRestoreTerminal =
    "\x1b[?2026l\x1b[?1000l\x1b[?1002l\x1b[?1006l\x1b[?1007l\x1b[?2004l\x1b[?1l\x1b>\x1b[0m"
    "\x1b[?25h\x1b[?1049l";

}  // namespace ui
