#include "app/machine/clipboard.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

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

bool is_there(const char* variable) {
    // Nothing here changes the environment.
    const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
    return value != nullptr && *value != '\0';
}

// The shell goes at once and leaves the command, which reads the file, to itself.
bool give_to(std::string_view command, const std::string& path) {
    std::string line = "{ " + std::string(command) + "; } <\"$0\" >/dev/null 2>&1 &";
    std::string shell = "sh";
    std::string option = "-c";
    std::string argument = path;
    const std::array<char*, 5> arguments = {shell.data(), option.data(), line.data(),
                                            argument.data(), nullptr};
    pid_t child = 0;
    if (::posix_spawnp(&child, shell.c_str(), nullptr, nullptr, arguments.data(), environ) != 0)
        return false;
    int status = 0;
    ::waitpid(child, &status, 0);
    return status == 0;
}

bool give_to_tmux(const std::string& path) {
    return is_there("TMUX") && give_to("tmux load-buffer -w -", path);
}

// Of the desktop, which over SSH is another machine's.
bool give_to_desktop(const std::string& path) {
    if (is_there("SSH_CONNECTION")) return false;
    if (is_there("WAYLAND_DISPLAY")) return give_to("wl-copy", path);
    return is_there("DISPLAY") && give_to("xclip -in -selection clipboard", path);
}

// What a command prints; empty when it fails.
std::string output_of(const std::string& command) {
    constexpr size_t kMostBytes = size_t{4} << 20U;
    // It may wait for the owner of a selection that does not answer.
    FILE* pipe = ::popen(("timeout -s KILL 2 " + command + " 2>/dev/null").c_str(), "re");
    if (pipe == nullptr) return {};
    std::string text;
    std::array<char, 16384> buffer = {};
    size_t count = 0;
    while (text.size() < kMostBytes &&
           (count = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0)
        text.append(buffer.data(), count);
    return ::pclose(pipe) == 0 ? text : std::string();
}

struct Source {
    const char* variable;  // of the environment: there where the source is
    const char* command;
    std::string_view name;
};

constexpr std::array kSources = {
    Source{"TMUX", "tmux save-buffer -", "tmux buffer"},
    Source{"WAYLAND_DISPLAY", "wl-paste --no-newline", "clipboard"},
    Source{"DISPLAY", "xclip -out -selection clipboard", "clipboard"},
};

}  // namespace

ClipboardText paste_from_clipboard() {
    for (const Source& source : kSources) {
        if (!is_there(source.variable)) continue;
        std::string text = output_of(source.command);
        if (!text.empty()) return {.text = std::move(text), .from = std::string(source.name)};
    }
    std::ifstream in(last_copy_path(), std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    if (text.empty())
        throw core::Error(core::ErrorKind::usage, "/paste", "no clipboard that can be read here",
                          "paste with the terminal's own key");
    return {.text = std::move(text), .from = "last copy"};
}

std::string last_copy_path() {
    return core::runtime_folder() + "/last-copy";
}

std::string copy_to_clipboard(std::string_view text, ui::Terminal& terminal, std::string_view way) {
    core::make_private_folder(core::runtime_folder());
    const std::string path = last_copy_path();
    write_file(path, text);
    if (way == "off") return "a file";
    if (way == "command") return give_to_desktop(path) ? "a command" : "a file";
    if ((way == "auto" || way == "tmux") && give_to_tmux(path)) return "tmux buffer";
    if (way == "tmux") return "a file";
    if (way == "auto") give_to_desktop(path);
    terminal.copy(text);
    return "OSC 52";
}

}  // namespace app
