#include "app/machine/shell_start.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace app {

// Our signals are blocked for a descriptor and SIGPIPE is ignored: neither is for what we start.
ShellStart::ShellStart(std::string line, std::string argument)
    : line_(std::move(line)),
      argument_(std::move(argument)),
      flags_(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_init(&actions_);
    sigset_t none;
    sigemptyset(&none);
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &pipe);
}

ShellStart::~ShellStart() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
}

void ShellStart::input_from(const std::string& path) {
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, path.c_str(), O_RDONLY, 0);
}

void ShellStart::output_to(int fd) {
    ::posix_spawn_file_actions_adddup2(&actions_, fd, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, fd, STDERR_FILENO);
}

void ShellStart::own_session() {
    flags_ = static_cast<short>(flags_ | POSIX_SPAWN_SETSID);
}

pid_t ShellStart::start() {
    ::posix_spawnattr_setflags(&attributes_, flags_);
    std::string shell = "/bin/sh";
    std::string option = "-c";
    const std::array<char*, 6> arguments = {shell.data(), option.data(),    line_.data(),
                                            shell.data(), argument_.data(), nullptr};
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, shell.c_str(), &actions_, &attributes_, arguments.data(), environ);
    if (error != 0)
        throw core::Error(core::ErrorKind::internal, line_,
                          "cannot be started: " + std::generic_category().message(error));
    return pid;
}

// glibc 2.36 declares pidfd_open() for C alone.
int open_process(pid_t pid) {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

}  // namespace app
