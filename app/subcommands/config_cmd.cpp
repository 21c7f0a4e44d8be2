#include "app/subcommands/config_cmd.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <ostream>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/commands/key_bindings.h"
#include "app/settings/config_text.h"
#include "core/base/error.h"
#include "core/base/paths.h"

namespace app {
namespace {

int tell_mistakes(const Config& config, std::ostream& out) {
    bool mistakes = false;
    std::vector<ConfigNotice> notices = config.notices();
    std::ranges::copy(KeyBindings(config).notices(), std::back_inserter(notices));
    for (const ConfigNotice& notice : notices) {
        out << notice.text << '\n';
        mistakes = mistakes || notice.mistake;
    }
    if (mistakes) return static_cast<int>(core::ErrorKind::config);
    out << "No mistakes found.\n";
    return 0;
}

// A new file with every key as a comment; one that is there stays as it is.
void make_file(const std::string& path) {
    if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty())
        core::make_private_folder(folder.string());
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) return;
    const std::string text = config_template();
    const ssize_t written = fd < 0 ? -1 : ::write(fd, text.data(), text.size());
    const int error = errno;
    if (fd >= 0) ::close(fd);
    if (written != static_cast<ssize_t>(text.size()))
        throw core::Error(core::ErrorKind::storage, path,
                          "cannot be written: " + std::generic_category().message(error));
}

std::string editor() {
    for (const char* name : {"VISUAL", "EDITOR"}) {
        // No thread has been started.
        const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
        if (value != nullptr && *value != '\0') return value;
    }
    return "vi";
}

// The editor may have arguments, so that a shell takes it apart.
void edit_file(const std::string& path) {
    const std::string command = editor() + " \"$1\"";
    const pid_t child = ::fork();
    if (child == 0) {
        ::execl("/bin/sh", "sh", "-c", command.c_str(), "sh", path.c_str(), nullptr);
        ::_exit(127);
    }
    int status = -1;
    while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw core::Error(core::ErrorKind::usage, editor(), "did not end well",
                          "set VISUAL or EDITOR, or edit " + path);
}

}  // namespace

int run_config(const ConfigCmdOptions& options, std::ostream& out) {
    Config config = Config::load(options.sources);
    const std::string& file = config.file_to_edit();
    switch (options.action) {
        case ConfigAction::path:
            if (options.json)
                out << nlohmann::ordered_json(
                           {{"user", file}, {"system", config.sources().system_file}})
                           .dump(2)
                    << '\n';
            else
                out << file << '\n';
            return 0;
        case ConfigAction::show:
            if (options.json)
                out << config_json(config, options.key) << '\n';
            else
                out << config_listing(config, options.key, options.origin);
            return 0;
        case ConfigAction::edit:
            make_file(file);
            edit_file(file);
            config = config.reloaded();
            [[fallthrough]];
        case ConfigAction::check: return tell_mistakes(config, out);
    }
    return 0;
}

}  // namespace app
