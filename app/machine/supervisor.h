// A tiny parent process that owns the restoration of the terminal.
//
// The kernel's out-of-memory killer takes the big process, and nothing inside a process can clean
// up after SIGKILL. So the chat runs in a child: whatever ends it, the parent puts the terminal
// back. Both stay in one process group, so that job control (C-z, fg) works on them together.
#pragma once

#include <functional>
#include <string>

namespace app {

// Forks; the child runs `body` and exits with its result, the parent waits. Returns in the parent:
// the child's exit status, or 128 + the signal that ended it, with the terminal restored and one
// sentence on stderr in that case, with `advice` below it.
//
// When the parent dies the child gets SIGTERM, which the chat answers by restoring the terminal.
// REQUIRES: called before any thread is started; standard input is a terminal.
int supervise(const std::function<int()>& body, const std::string& advice);

// For a process without a supervisor, and as a first aid with one: on SIGSEGV, SIGABRT, SIGBUS,
// SIGFPE and SIGILL restores the terminal (only write and tcsetattr, on an own stack), then dies of
// the signal. Also the hook of MOXIE_CHECK. Call once, before the terminal is changed.
void restore_terminal_on_crash();

}  // namespace app
