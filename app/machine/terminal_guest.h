// A program that has the terminal for a while, in place of the chat: an editor, a pager.
//
// The chat goes on meanwhile: events are taken, answers are saved; only keys and screen are the
// guest's. It shares the process group, so that C-z stops all of it and fg goes on.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace app {

class ChatApp;

struct Errand {
    std::string command = {};  // a line for sh, in which "$1" is the file
    std::string file = {};
    bool file_is_input = false;  // the file is its standard input too
    // Called with the exit status, 128 + N for signal N, when the screen is ours again.
    std::function<void(ChatApp& app, int status)> done = {};
};

class TerminalGuest {
  public:
    // Starts it. REQUIRES: the terminal was given back (Terminal::suspend). Throws core::Error.
    explicit TerminalGuest(const Errand& errand);
    // Ends it where it still runs.
    ~TerminalGuest();
    TerminalGuest(const TerminalGuest&) = delete;
    TerminalGuest& operator=(const TerminalGuest&) = delete;

    int fd() const { return fd_; }  // readable when it has ended
    int wait();

  private:
    pid_t pid_ = -1;  // -1: it was waited for
    int fd_ = -1;
};

// What the shell says where there is no such program.
inline constexpr int kNoSuchProgram = 127;

}  // namespace app
