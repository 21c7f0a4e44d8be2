#include "app/config_cmd.h"

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

#include "app/key_bindings.h"
#include "app/nearest.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using Json = nlohmann::ordered_json;

void pad(std::string& text, size_t columns) {
    text.resize(std::max(text.size(), columns), ' ');
}

bool fits(const ConfigKey& key, const std::string& wanted) {
    return wanted.empty() || wanted == full_name(key) ||
           (!key.section.empty() && wanted == key.section);
}

void require_known(const std::string& wanted) {
    const auto keys = config_keys();
    if (std::ranges::any_of(keys, [&](const ConfigKey& key) { return fits(key, wanted); })) return;
    std::vector<std::string> names;
    std::ranges::transform(keys, std::back_inserter(names), full_name);
    const std::vector<std::string_view> views(names.begin(), names.end());
    throw core::Error(core::ErrorKind::usage, wanted, "there is no such key or section",
                      "did you mean " + std::string(nearest(wanted, views)));
}

Json to_json(const ConfigValue& value) {
    return std::visit([](const auto& v) { return Json(v); }, value);
}

std::string profile_listing(const Config& config, bool origin) {
    std::string text;
    for (const ModelProfile& profile : config.profiles()) {
        text += "\n[model_profile." + toml_text(profile.glob) + "]\n";
        for (const auto& [name, setting] : profile.settings) {
            std::string line = name + " = " + toml_text(setting.value);
            if (origin) pad(line, 33);
            text += line + (origin ? " # " + setting.origin : "") + "\n";
        }
    }
    return text;
}

Json json_listing(const Config& config, const std::string& wanted) {
    require_known(wanted);
    Json list = Json::array();
    for (const ConfigKey& key : config_keys()) {
        if (!fits(key, wanted)) continue;
        const Setting& setting = config.setting(full_name(key));
        list.push_back({{"key", full_name(key)},
                        {"value", to_json(setting.value)},
                        {"origin", setting.origin},
                        {"effective", key.effective()}});
    }
    return list;
}

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

std::string config_listing(const Config& config, const std::string& wanted, bool origin) {
    require_known(wanted);
    std::string text;
    std::string_view section;
    for (const ConfigKey& key : config_keys()) {
        if (!fits(key, wanted)) continue;
        if (key.section != section) {
            text += (text.empty() ? "[" : "\n[") + std::string(key.section) + "]\n";
            section = key.section;
        }
        const Setting& setting = config.setting(full_name(key));
        std::string line = std::string(key.name) + " = " + toml_text(setting.value);
        std::string aside = origin ? setting.origin : "";
        if (!key.effective())
            aside += (aside.empty() ? "" : ", ") + std::string("no effect in this version");
        if (!aside.empty()) {
            pad(line, 33);
            line += " # " + aside;
        }
        text += line + "\n";
    }
    if (wanted.empty()) text += profile_listing(config, origin);
    return core::sanitize(text);
}

std::string config_template() {
    std::string text =
        "# Configuration of moxie. Every key is optional; the values shown are the built-in ones.\n"
        "# docs/config.md explains them; `moxie config check` finds mistakes.\n\n";
    std::string_view section;
    for (const ConfigKey& key : config_keys()) {
        if (key.section != section) text += "\n[" + std::string(key.section) + "]\n";
        section = key.section;
        std::string line = "# " + std::string(key.name) + " = " + toml_text(built_in(key));
        pad(line, 35);
        line += " # " + std::string(key.help);
        if (!key.choices.empty()) line += ": " + std::string(key.choices);
        text += line + (key.effective() ? "" : " (no effect in this version)") + "\n";
    }
    return text +
           "\n# [model_profile.\"grok-2*\"]         # for models whose name fits\n"
           "# ctx = 16384\n# preset = \"precise\"\n# template = \"grok-2\"\n";
}

int run_config(const ConfigCmdOptions& options, std::ostream& out) {
    Config config = Config::load(options.sources);
    const std::string& file = config.file_to_edit();
    switch (options.action) {
        case ConfigAction::path:
            if (options.json)
                out << Json({{"user", file}, {"system", config.sources().system_file}}).dump(2)
                    << '\n';
            else
                out << file << '\n';
            return 0;
        case ConfigAction::show:
            if (options.json)
                out << json_listing(config, options.key)
                           .dump(2, ' ', true, Json::error_handler_t::replace)
                    << '\n';
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
