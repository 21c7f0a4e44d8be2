#include "app/presets.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include "app/config_file.h"
#include "app/nearest.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr std::string_view kEnding = ".toml";

void check_name(const std::string& name) {
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos ||
        core::sanitize(name) != name)
        throw core::Error(core::ErrorKind::usage, "preset",
                          "\"" + core::sanitize(name) + "\" is no name for one",
                          "use letters, digits and hyphens");
}

[[noreturn]] void refuse(const std::string& path, uint32_t line, std::string problem) {
    throw core::Error(core::ErrorKind::config, path + ":" + std::to_string(line),
                      std::move(problem), "the keys are those of [sampling]");
}

SamplingValues values_of(const std::string& text, const std::string& path) {
    const auto parsed = parse_config_text(text);
    if (const auto* error = std::get_if<SyntaxError>(&parsed))
        refuse(path, error->line, error->problem);
    SamplingValues values;
    for (const FileEntry& entry : std::get<std::vector<FileEntry>>(parsed)) {
        const ConfigKey* key =
            entry.section.empty() ? find_config_key("sampling", entry.name) : nullptr;
        if (key == nullptr)
            refuse(path, entry.line,
                   "unknown key \"" + entry.section + (entry.section.empty() ? "" : ".") +
                       entry.name + "\"");
        if (!key->effective()) continue;
        if (!entry.value) refuse(path, entry.line, what_is_wrong(*key, "something else"));
        try {
            values[entry.name] = toml_text(checked_value(*key, *entry.value));
        } catch (const core::Error& error) {
            refuse(path, entry.line, entry.name + " " + error.problem());
        }
    }
    return values;
}

std::string toml_of(const SamplingValues& values) {
    std::string text;
    for (const auto& [name, value] : values) {
        const ConfigKey* key = find_config_key("sampling", name);
        if (key == nullptr || value == "random") continue;
        text.append(name).append(" = ");
        text.append(toml_text(value_from_text(*key, value))).append("\n");
    }
    return text;
}

}  // namespace

Presets::Presets(std::vector<std::string> folders) : folders_(std::move(folders)) {}

Presets Presets::of_user() {
    return Presets({core::config_folder() + "/presets", "/etc/xdg/moxie/presets"});
}

std::vector<std::string> Presets::names() const {
    std::set<std::string> found;
    for (const std::string& folder : folders_) {
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(folder, error))
            if (entry.path().extension() == kEnding) found.insert(entry.path().stem());
    }
    return {found.begin(), found.end()};
}

SamplingValues Presets::load(const std::string& name) const {
    check_name(name);
    for (const std::string& folder : folders_) {
        const std::string path = folder + "/" + name + std::string(kEnding);
        std::ifstream in(path, std::ios::binary);
        if (in) return values_of({std::istreambuf_iterator<char>(in), {}}, path);
    }
    const std::vector<std::string> known = names();
    const std::vector<std::string_view> views(known.begin(), known.end());
    throw core::Error(core::ErrorKind::config, name, "no such preset",
                      views.empty() ? "/preset save NAME makes one"
                                    : "did you mean " + std::string(nearest(name, views)));
}

std::string Presets::save(const std::string& name, const SamplingValues& values) const {
    check_name(name);
    core::make_private_folder(folders_.front());
    std::string path = folders_.front() + "/" + name + std::string(kEnding);
    // Whole or not at all: written beside it and renamed.
    const std::string written = path + ".new";
    const std::string text = toml_of(values);
    const int fd = ::open(written.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool whole =
        fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error = errno;
    const bool closed = fd < 0 || ::close(fd) == 0;
    if (!whole || !closed || std::rename(written.c_str(), path.c_str()) != 0)
        throw core::Error(
            core::ErrorKind::storage, path,
            "cannot be written: " + std::generic_category().message(whole ? errno : error));
    return path;
}

}  // namespace app
