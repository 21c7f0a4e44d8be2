#include "app/machine/background_command.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "app/machine/shell_start.h"
#include "core/base/error.h"

namespace app {
namespace {

[[noreturn]] void refuse(const std::string& line, int error) {
    throw core::Error(core::ErrorKind::internal, line,
                      "cannot be started: " + std::generic_category().message(error));
}

}  // namespace

BackgroundCommand::BackgroundCommand(std::string line) : line_(std::move(line)) {
    std::array<int, 2> ends = {};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) refuse(line_, errno);
    output_fd_ = ends[0];
    ::fcntl(output_fd_, F_SETFL, O_NONBLOCK);
    try {
        ShellStart shell(line_);
        shell.input_from("/dev/null");
        shell.output_to(ends[1]);
        shell.own_session();
        pid_ = shell.start();
        ::close(ends[1]);
    } catch (const core::Error&) {
        ::close(ends[1]);
        close_output();
        throw;
    }
    process_fd_ = open_process(pid_);
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
