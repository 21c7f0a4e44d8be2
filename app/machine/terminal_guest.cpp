#include "app/machine/terminal_guest.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

#include "app/machine/shell_start.h"
#include "core/base/error.h"

namespace app {
namespace {

// Standard error, which goes to the log meanwhile, is its terminal again.
pid_t start(const Errand& errand) {
    ShellStart shell(errand.command, errand.file);
    shell.output_to(STDOUT_FILENO);
    if (errand.file_is_input) shell.input_from(errand.file);
    return shell.start();
}

}  // namespace

TerminalGuest::TerminalGuest(const Errand& errand) : pid_(start(errand)) {
    fd_ = open_process(pid_);
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
