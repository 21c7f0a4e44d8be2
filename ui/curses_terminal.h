// The real terminal, by ncurses. The only file that knows curses; output only, input is keys.h's.
//
// ncurses sends the difference between frames. clear() is used in repaint() and resume() alone:
// measured at 100x40, an erased and rewritten screen costs 34 bytes a frame, a cleared one 1,764.
// Construct after LineEditor: readline's tgetent() would replace the current terminal of ncurses.
#pragma once

#include <memory>

#include "ui/terminal.h"

namespace ui {

class CursesTerminal : public Terminal {
  public:
    // Takes the terminal on standard input and output: alternate screen, raw mode, bracketed paste.
    // An unknown TERM is replaced by xterm-256color; see replaced_term().
    // Throws core::Error(terminal) when that is not possible, or the cursor cannot be addressed.
    CursesTerminal();
    ~CursesTerminal() override;

    Size size() const override;
    void measure() override;
    void present(const Surface& surface, std::optional<Position> cursor) override;
    void repaint() override;
    void suspend() override;
    void resume() override;
    void synchronize_updates(bool on) override;
    void copy(std::string_view text) override;
    void ring() override;

    // The TERM that has no terminfo entry; empty when it has one.
    const std::string& replaced_term() const;
    // Asks whether the terminal can do DEC 2026; the answer arrives as a ModeReport.
    void query_synchronized_updates();

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace ui
