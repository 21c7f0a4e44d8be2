#include "app/terminal_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "core/base/error.h"

namespace app {
namespace {

// Our signals are blocked for a descriptor and SIGPIPE is ignored: neither is for the guest.
// Standard error, which goes to the log meanwhile, is its terminal again.
pid_t spawn(const Errand& errand) {
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &pipe);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    if (errand.file_is_input)
        ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, errand.file.c_str(), O_RDONLY,
                                           0);
    std::string shell = "/bin/sh";
    std::string option = "-c";
    std::string command = errand.command;
    std::string file = errand.file;
    const std::array<char*, 6> arguments = {shell.data(), option.data(), command.data(),
                                            shell.data(), file.data(),   nullptr};
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, shell.c_str(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (error != 0)
        throw core::Error(core::ErrorKind::internal, errand.command,
                          "cannot be started: " + std::generic_category().message(error));
    return pid;
}

}  // namespace

TerminalGuest::TerminalGuest(const Errand& errand) : pid_(spawn(errand)) {
    // glibc 2.36 declares pidfd_open() for C alone.
    fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (fd_ < 0) {
        const int error = errno;
        ::kill(pid_, SIGTERM);
        wait();
        throw core::Error(core::ErrorKind::internal, errand.command,
                          "cannot be waited for: " + std::generic_category().message(error));
    }
}

TerminalGuest::~TerminalGuest() {
    constexpr int kPatienceMs = 500;
    if (pid_ > 0) {
        ::kill(pid_, SIGTERM);
        ::kill(pid_, SIGCONT);
        pollfd end = {.fd = fd_, .events = POLLIN, .revents = 0};
        if (::poll(&end, 1, kPatienceMs) == 0) ::kill(pid_, SIGKILL);
        wait();
    }
    if (fd_ >= 0) ::close(fd_);
}

int TerminalGuest::wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace app
