#include "app/background_command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace app {
namespace {

[[noreturn]] void refuse(const std::string& line, int error) {
    throw core::Error(core::ErrorKind::internal, line,
                      "cannot be started: " + std::generic_category().message(error));
}

// In a session of its own: it has no terminal to ask, to draw on or to take Ctrl-C from.
pid_t spawn(const std::string& line, int output) {
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &pipe);
    ::posix_spawnattr_setflags(&attributes,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    std::string shell = "/bin/sh";
    std::string option = "-c";
    std::string command = line;
    const std::array<char*, 4> arguments = {shell.data(), option.data(), command.data(), nullptr};
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, shell.c_str(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (error != 0) refuse(line, error);
    return pid;
}

}  // namespace

BackgroundCommand::BackgroundCommand(std::string line) : line_(std::move(line)) {
    std::array<int, 2> ends = {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) refuse(line_, errno);
    output_fd_ = ends[0];
    ::fcntl(output_fd_, F_SETFL, O_NONBLOCK);
    try {
        pid_ = spawn(line_, ends[1]);
        ::close(ends[1]);
    } catch (const core::Error&) {
        ::close(ends[1]);
        close_output();
        throw;
    }
    // glibc 2.36 declares pidfd_open() for C alone.
    process_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    if (process_fd_ >= 0) return;
    const int error = errno;
    close_output();
    wait();
    refuse(line_, error);
}

BackgroundCommand::~BackgroundCommand() {
    close_output();
    wait();
    if (process_fd_ >= 0) ::close(process_fd_);
}

void BackgroundCommand::close_output() {
    if (output_fd_ >= 0) ::close(std::exchange(output_fd_, -1));
}

// What it has left running ends with it.
void BackgroundCommand::wait() {
    if (pid_ < 0) return;
    ::kill(-pid_, SIGKILL);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool BackgroundCommand::take() {
    if (output_fd_ < 0) {
        wait();
        return false;
    }
    std::array<char, size_t{64} << 10U> bytes = {};
    const ssize_t count = ::read(output_fd_, bytes.data(), bytes.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (count > 0)
        output_.append(bytes.data(),
                       std::min(static_cast<size_t>(count), kMostOutput - output_.size()));
    if (count <= 0 || cut()) close_output();
    if (cut()) ::kill(-pid_, SIGKILL);
    return true;
}

void BackgroundCommand::stop() {
    if (pid_ > 0) ::kill(-pid_, stops_++ == 0 ? SIGTERM : SIGKILL);
}

}  // namespace app
