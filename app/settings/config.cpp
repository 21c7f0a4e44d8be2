#include "app/settings/config.h"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>

#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr std::string_view kSystemFile = "/etc/xdg/moxie/config.toml";

// Sections whose names are the user's own. Nothing in this version reads backends.
constexpr std::string_view kKeys = "keys";
constexpr std::string_view kBackends = "backends";

// Nothing: the file is not there. Throws Error(config) when it cannot be read.
std::optional<std::string> text_of_file(const std::string& path) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error))
        throw core::Error(core::ErrorKind::config, path, "is a folder", "it must be a file");
    std::ifstream in(path, std::ios::binary);
    const int reason = errno;
    if (!in && (reason == ENOENT || reason == ENOTDIR)) return std::nullopt;
    if (!in)
        throw core::Error(core::ErrorKind::config, path,
                          "cannot be read: " + std::generic_category().message(reason));
    return std::string{std::istreambuf_iterator<char>(in), {}};
}

// "config.toml:14": of the usual file its name is enough, everywhere else the path says which.
std::string place(const std::string& path, uint32_t line, ConfigLayer layer, bool chosen) {
    const bool usual = layer == ConfigLayer::user_file && !chosen;
    return core::sanitize(usual ? std::filesystem::path(path).filename().string() : path) + ":" +
           std::to_string(line);
}

std::string without_effect(std::string_view what) {
    return core::sanitize(what) + " is known, but has no effect in this version.";
}

std::string in_quotes(std::string_view name) {
    return "\"" + core::sanitize(name) + "\"";
}

}  // namespace

ConfigSources process_sources() {
    ConfigSources sources{.system_file = std::string(kSystemFile),
                          .user_file = core::config_folder() + "/config.toml"};
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
        const std::string_view text = *variable;
        const size_t equals = text.find('=');
        if (text.starts_with("MOXIE_") && equals != std::string_view::npos)
            sources.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return sources;
}

Config::Config() {
    for (const ConfigKey& key : config_keys())
        settings_[full_name(key)] = {.value = built_in(key)};
}

Config Config::load(ConfigSources sources) {
    Config config;
    config.sources_ = std::move(sources);
    config.read_file(config.sources_.system_file, ConfigLayer::system_file);
    const std::string& chosen = config.sources_.chosen_file;
    config.read_file(chosen.empty() ? config.sources_.user_file : chosen, ConfigLayer::user_file);
    config.read_environment();
    config.read_flags();
    config.finish_notices();
    return config;
}

// --- files ------------------------------------------------------------------------------------

void Config::read_file(const std::string& path, ConfigLayer layer) {
    if (path.empty()) return;
    const bool chosen = path == sources_.chosen_file;
    std::optional<std::string> text;
    try {
        text = text_of_file(path);
    } catch (const core::Error& error) {
        if (chosen) throw;
        return note(error.sentence() + " Started with defaults.", nullptr);
    }
    if (!text && chosen)
        throw core::Error(core::ErrorKind::config, path, "does not exist",
                          "moxie config path tells which files are read");
    if (!text) return;
    const auto parsed = parse_config_text(*text);
    if (const auto* error = std::get_if<SyntaxError>(&parsed))
        return note(place(path, error->line, layer, chosen) + ":" + std::to_string(error->column) +
                        ": " + core::sanitize(error->problem) +
                        ". Started with defaults; fix and /config reload.",
                    nullptr);
    for (const FileEntry& entry : std::get<std::vector<FileEntry>>(parsed))
        take_entry(entry, path, layer);
}

void Config::take_entry(const FileEntry& entry, const std::string& path, ConfigLayer layer) {
    const std::string where = place(path, entry.line, layer, path == sources_.chosen_file);
    if (entry.section == "model_profile" && !entry.part.empty())
        return take_profile_entry(entry, path, layer);
    if (entry.section == kKeys) return take_key_entry(entry, where);
    if (entry.section == kBackends)
        return note(where + ": " + without_effect("[" + entry.section + "]"), nullptr, false);
    if (!is_config_section(entry.section)) {
        const auto meant = similar_config_section(entry.section);
        return note(where + ": unknown section [" + core::sanitize(entry.section) + "]" +
                        (meant ? " — did you mean [" + std::string(*meant) + "]?" : ".") +
                        " It is ignored.",
                    nullptr);
    }
    const std::string& name = entry.part.empty() ? entry.name : entry.part;
    if (name.empty()) return;
    const ConfigKey* key = find_config_key(entry.section, name);
    if (key == nullptr) {
        const ConfigKey* meant = similar_config_key(entry.section, name);
        const std::string in = entry.section.empty() ? "" : " in [" + entry.section + "]";
        return note(where + ": unknown key " + in_quotes(name) + in +
                        (meant != nullptr ? " — did you mean \"" + std::string(meant->name) + "\"?"
                                          : ". It is ignored."),
                    meant);
    }
    try {
        if (!entry.value || !entry.part.empty())
            throw core::Error(core::ErrorKind::config, full_name(*key),
                              what_is_wrong(*key, "something else"));
        settings_[full_name(*key)] = {.value = checked_value(*key, *entry.value),
                                      .layer = layer,
                                      .origin = path + ":" + std::to_string(entry.line)};
    } catch (const core::Error& error) {
        return note(where + ": " + error.object() + " " + error.problem() + ".", key);
    }
    if (!key->effective()) note(where + ": " + without_effect(full_name(*key)), nullptr, false);
}

void Config::take_profile_entry(const FileEntry& entry, const std::string& path,
                                ConfigLayer layer) {
    const std::string where = place(path, entry.line, layer, path == sources_.chosen_file);
    if (profiles_.empty() || profiles_.back().glob != entry.part)
        profiles_.push_back({.glob = entry.part, .settings = {}});
    if (entry.name.empty()) return;
    const ConfigKey* key = find_profile_key(entry.name);
    if (key == nullptr)
        return note(where + ": unknown key " + in_quotes(entry.name) + " in [model_profile." +
                        in_quotes(entry.part) +
                        "]; there are ctx, kv_type, preset, template and the keys of [sampling]. "
                        "It is ignored.",
                    nullptr);
    try {
        if (!entry.value)
            throw core::Error(core::ErrorKind::config, full_name(*key),
                              what_is_wrong(*key, "something else"));
        profiles_.back().settings[entry.name] = {.value = checked_value(*key, *entry.value),
                                                 .layer = layer,
                                                 .origin = path + ":" + std::to_string(entry.line)};
    } catch (const core::Error& error) {
        note(where + ": " + entry.name + " " + error.problem() + ". It is ignored.", nullptr);
    }
}

// "C-x r", a list of such, or "none".
void Config::take_key_entry(const FileEntry& entry, const std::string& where) {
    if (entry.name.empty()) return;
    KeyWish wish{.action = entry.name, .keys = {}, .where = where};
    if (const auto* text = entry.value ? std::get_if<std::string>(&*entry.value) : nullptr) {
        if (*text != "none") wish.keys = {*text};
    } else if (const auto* texts =
                   entry.value ? std::get_if<std::vector<std::string>>(&*entry.value) : nullptr) {
        wish.keys = *texts;
    } else {
        return note(where + ": keys." + core::sanitize(entry.name) +
                        " must be a key, a list of keys, or \"none\". It is ignored.",
                    nullptr);
    }
    std::erase_if(key_wishes_, [&](const KeyWish& one) { return one.action == wish.action; });
    key_wishes_.push_back(std::move(wish));
}

// --- environment and flags --------------------------------------------------------------------

void Config::read_environment() {
    for (const auto& [name, text] : sources_.environment) {
        const ConfigKey* key = nullptr;
        std::string_view section;
        for (const ConfigKey& known : config_keys()) {
            if (known.name == "version") continue;
            const std::string variable = environment_name(known);
            if (variable == name) key = &known;
            const std::string beginning = variable.substr(0, variable.size() - known.name.size());
            if (!known.section.empty() && name.starts_with(beginning)) section = known.section;
        }
        if (key == nullptr) {
            if (section.empty()) continue;  // of other uses: MOXIE_ISA, MOXIE_MODEL
            std::string rest = name.substr(std::string_view("MOXIE_").size() + section.size() + 1);
            for (char& c : rest)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
            const ConfigKey* meant = similar_config_key(section, rest);
            note("unknown variable " + core::sanitize(name) +
                     (meant != nullptr ? " — did you mean " + environment_name(*meant) + "?"
                                       : ". It is ignored."),
                 meant);
            continue;
        }
        try {
            settings_[full_name(*key)] = {.value = value_from_text(*key, text),
                                          .layer = ConfigLayer::environment,
                                          .origin = name};
        } catch (const core::Error& error) {
            note(name + " " + error.problem() + ".", key);
        }
        if (!key->effective()) note(without_effect(name), nullptr, false);
    }
}

void Config::read_flags() {
    for (const ConfigFlag& flag : sources_.flags) {
        const size_t dot = flag.key.find('.');
        const ConfigKey* key = find_config_key(flag.key.substr(0, dot), flag.key.substr(dot + 1));
        MOXIE_CHECK(key != nullptr);
        try {
            settings_[flag.key] = {.value = value_from_text(*key, flag.text),
                                   .layer = ConfigLayer::flag,
                                   .origin = flag.flag};
        } catch (const core::Error& error) {
            throw core::Error(core::ErrorKind::usage, flag.flag, error.problem());
        }
    }
}

// --- notices ----------------------------------------------------------------------------------

void Config::note(std::string text, const ConfigKey* key, bool mistake) {
    notices_.push_back({.text = std::move(text), .mistake = mistake});
    fallbacks_.push_back(key);
}

// What is used instead is known when all layers have spoken.
void Config::finish_notices() {
    for (size_t i = 0; i < notices_.size(); ++i) {
        if (fallbacks_[i] == nullptr) continue;
        const Setting& used = setting(full_name(*fallbacks_[i]));
        const bool built_in = used.layer == ConfigLayer::built_in;
        std::string value = toml_text(used.value);
        notices_[i].text += built_in ? " Using default " + value + "."
                                     : " Using " + value + " of " + used.origin + ".";
    }
    fallbacks_.clear();
}

void require_no_mistake(const std::vector<ConfigNotice>& notices) {
    for (const ConfigNotice& notice : notices)
        if (notice.mistake) {
            std::string_view problem = notice.text;
            if (problem.ends_with('.')) problem.remove_suffix(1);
            throw core::Error(core::ErrorKind::config, "", std::string(problem));
        }
}

// --- reading ----------------------------------------------------------------------------------

const Setting& Config::setting(std::string_view key) const {
    const auto found = settings_.find(key);
    MOXIE_CHECK(found != settings_.end());
    return found->second;
}

bool Config::boolean(std::string_view key) const {
    return std::get<bool>(setting(key).value);
}

int64_t Config::integer(std::string_view key) const {
    return std::get<int64_t>(setting(key).value);
}

double Config::number(std::string_view key) const {
    return std::get<double>(setting(key).value);
}

const std::string& Config::text(std::string_view key) const {
    return std::get<std::string>(setting(key).value);
}

const std::vector<std::string>& Config::texts(std::string_view key) const {
    return std::get<std::vector<std::string>>(setting(key).value);
}

std::vector<const ModelProfile*> Config::profiles_for(std::string_view name,
                                                      std::string_view other_name) const {
    std::vector<const ModelProfile*> found;
    const auto fits = [](const std::string& glob, std::string_view candidate) {
        return !candidate.empty() &&
               ::fnmatch(glob.c_str(), std::string(candidate).c_str(), FNM_CASEFOLD) == 0;
    };
    for (const ModelProfile& profile : profiles_)
        if (fits(profile.glob, name) || fits(profile.glob, other_name)) found.push_back(&profile);
    return found;
}

const std::string& Config::file_to_edit() const {
    return sources_.chosen_file.empty() ? sources_.user_file : sources_.chosen_file;
}

}  // namespace app
