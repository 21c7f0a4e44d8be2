#include "app/clipboard.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "core/base/error.h"
#include "core/base/paths.h"

namespace app {
namespace {

// Throws core::Error(storage).
void write_file(const std::string& path, std::string_view text) {
    const int fd =
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
    const bool written =
        fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (fd >= 0) ::close(fd);
    if (!written)
        throw core::Error(core::ErrorKind::storage, path, "cannot be written",
                          "check the folder's permissions");
}

// The shell goes at once and leaves tmux to itself.
bool give_to_tmux(const std::string& path) {
    std::string command = "tmux load-buffer -w \"$0\" >/dev/null 2>&1 &";
    std::string shell = "sh";
    std::string option = "-c";
    std::string argument = path;
    const std::array<char*, 5> arguments = {shell.data(), option.data(), command.data(),
                                            argument.data(), nullptr};
    pid_t child = 0;
    if (::posix_spawnp(&child, shell.c_str(), nullptr, nullptr, arguments.data(), environ) != 0)
        return false;
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
}

}  // namespace

std::string last_copy_path() {
    return core::runtime_folder() + "/last-copy";
}

std::string copy_to_clipboard(std::string_view text, ui::Terminal& terminal) {
    core::make_private_folder(core::runtime_folder());
    write_file(last_copy_path(), text);
    // Nothing here changes the environment.
    const char* tmux = std::getenv("TMUX");  // NOLINT(concurrency-mt-unsafe)
    if (tmux != nullptr && *tmux != '\0' && give_to_tmux(last_copy_path())) return "tmux buffer";
    terminal.copy(text);
    return "OSC 52";
}

}  // namespace app
