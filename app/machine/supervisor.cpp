#include "app/machine/supervisor.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/error.h"
#include "ui/terminal_restore.h"

namespace app {
namespace {

// Read by signal handlers; written once before they are installed.
termios saved_modes;
bool have_modes = false;
volatile sig_atomic_t child_pid = 0;

// Async-signal-safe. A process in the background would be stopped for touching the terminal, so
// SIGTTOU is ignored first: by then nobody else repairs it.
void restore_terminal() noexcept {
    const int saved_errno = errno;
    std::signal(SIGTTOU, SIG_IGN);
    [[maybe_unused]] const auto written =
        ::write(STDOUT_FILENO, ui::kRestoreTerminal.data(), ui::kRestoreTerminal.size());
    if (have_modes) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_modes);
    errno = saved_errno;
}

void remember_modes() {
    have_modes = ::tcgetattr(STDIN_FILENO, &saved_modes) == 0;
}

void on_crash(int signal) {
    restore_terminal();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void forward_to_child(int signal) {
    const int saved_errno = errno;
    if (child_pid > 0) ::kill(child_pid, signal);
    errno = saved_errno;
}

void set_handler(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
}

int run_child(const std::function<int()>& body, pid_t parent) {
    // The death signal is asked for after the fork, so the parent may already be gone.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) return 128 + SIGTERM;
    return body();
}

int wait_for(pid_t child, const std::string& advice) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return static_cast<int>(core::ErrorKind::internal);
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);

    const int signal = WTERMSIG(status);
    restore_terminal();
    // strsignal is not thread safe; this process has one thread.
    std::fprintf(stderr, "moxie: the chat was ended by signal %d (%s)%s\n%s", signal,
                 ::strsignal(signal),  // NOLINT(concurrency-mt-unsafe)
                 signal == SIGKILL ? ", perhaps because memory ran out" : "", advice.c_str());
    return 128 + signal;
}

}  // namespace

int supervise(const std::function<int()>& body, const std::string& advice) {
    remember_modes();
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0)
        throw core::Error(core::ErrorKind::internal, "supervisor",
                          std::string("cannot start a process: ") +
                              std::strerror(errno),  // NOLINT(concurrency-mt-unsafe)
                          "try --no-supervisor");
    if (child == 0) {
        const int status = run_child(body, parent);
        std::exit(status);  // NOLINT(concurrency-mt-unsafe): the body has joined its threads
    }
    child_pid = child;
    set_handler(SIGTERM, forward_to_child, SA_RESTART);
    set_handler(SIGHUP, forward_to_child, SA_RESTART);
    // The terminal sends these to the whole group; the child decides what they mean.
    set_handler(SIGINT, SIG_IGN, 0);
    set_handler(SIGQUIT, SIG_IGN, 0);
    return wait_for(child, advice);
}

void restore_terminal_on_crash() {
    remember_modes();
    core::set_abort_hook(restore_terminal);
    static std::array<std::byte, size_t{64} << 10U> stack;
    stack_t alternate = {};
    alternate.ss_sp = stack.data();
    alternate.ss_size = stack.size();
    ::sigaltstack(&alternate, nullptr);
    for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL})
        set_handler(signal, on_crash, SA_ONSTACK | static_cast<int>(SA_RESETHAND));
}

}  // namespace app
