// How the scheduler of the kernel is asked to treat a thread.
#pragma once

namespace core {

// For a thread that mostly waits and must run at once when something happens, while others compute:
// asks for short time slices, so that waking up preempts a thread in the middle of its own
// (EEVDF of Linux 6.12 and later; elsewhere nothing changes). Needs no privileges. Threads started
// afterwards inherit it: call it when the computing ones are running.
void wake_promptly();

}  // namespace core
