// What the program needs of a terminal: show a surface, tell the size, step aside for the shell.
// Two implementations: curses_terminal (the real one) and headless_terminal (tests).
#pragma once

#include <optional>
#include <string_view>

#include "ui/surface.h"

namespace ui {

class Terminal {
  public:
    Terminal() = default;
    virtual ~Terminal() = default;
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    // The size to draw for; changes only in measure() and resume().
    virtual Size size() const = 0;
    // Asks the device for its size, after SIGWINCH.
    virtual void measure() = 0;

    // Shows a surface; only the difference is sent. Without a cursor the hardware cursor is hidden.
    virtual void present(const Surface& surface, std::optional<Position> cursor) = 0;
    // The next present() sends everything: somebody else has written to the screen.
    virtual void repaint() = 0;

    // Gives the screen back to the shell, and takes it again at its present size.
    virtual void suspend() = 0;
    virtual void resume() = 0;

    // Frames are wrapped in DEC 2026 from now on; only after the terminal has said that it can.
    virtual void synchronize_updates(bool on) = 0;

    // Asks the terminal to put a text into its clipboard (OSC 52); many do not, and none says so.
    virtual void copy(std::string_view text) = 0;

    virtual void ring() = 0;
};

}  // namespace ui
