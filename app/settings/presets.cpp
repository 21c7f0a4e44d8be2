#include "app/settings/presets.h"

#include <string_view>
#include <utility>
#include <variant>

#include "app/settings/config_file.h"
#include "core/base/error.h"

namespace app {
namespace {

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

Presets::Presets(std::vector<std::string> folders)
    : files_("preset", ".toml", std::move(folders)) {}

Presets Presets::of_user() {
    return Presets(NamedFiles::of_user("preset", ".toml", "presets"));
}

SamplingValues Presets::load(const std::string& name) const {
    const NamedFile file = files_.read(name);
    return values_of(file.text, file.path);
}

std::string Presets::save(const std::string& name, const SamplingValues& values) const {
    return files_.write(name, toml_of(values));
}

}  // namespace app
