// What is configured, and which layer said so: flag > variable MOXIE_SECTION_KEY > --config FILE or
// the user's file > the system's file > built-in. Nothing here writes a file.
//
// A mistake in a file never stops the program: it is a notice with file and line, and what the key
// would have had without it is used. Only --strict-config makes it an error.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/settings/config_file.h"
#include "app/settings/config_keys.h"

namespace app {

enum class ConfigLayer : uint8_t { built_in, system_file, user_file, environment, flag };

struct Setting {
    ConfigValue value;
    ConfigLayer layer = ConfigLayer::built_in;
    std::string origin = "built-in";  // "/home/x/.config/moxie/config.toml:14", "--threads", ...
};

// A value from the command line.
struct ConfigFlag {
    std::string key;   // "model.threads"
    std::string flag;  // "--threads"
    std::string text;
};

// Where settings come from. An empty path: no such file.
struct ConfigSources {
    std::string system_file = {};
    std::string user_file = {};
    std::string chosen_file = {};  // --config; then the user's file is not read
    std::vector<std::pair<std::string, std::string>> environment = {};
    std::vector<ConfigFlag> flags = {};
};

// Those of this process, without flags. Before threads are started.
ConfigSources process_sources();

// Something to tell about the configuration: a mistake, or a key without effect.
struct ConfigNotice {
    std::string text;
    bool mistake = true;
};

// The first mistake, as --strict-config tells it; nothing: there is none. Throws Error(config).
void require_no_mistake(const std::vector<ConfigNotice>& notices);

// [model_profile."glob"]: what holds for models of that name.
struct ModelProfile {
    std::string glob;
    std::map<std::string, Setting, std::less<>> settings;  // by name, without section
};

// [keys]: what an action is on instead of its own keys.
struct KeyWish {
    std::string action;
    std::vector<std::string> keys;  // none: it is on no key
    std::string where;              // "config.toml:5"
};

class Config {
  public:
    // Built-in values only.
    Config();
    // Throws core::Error(config) when the file that --config names cannot be read, and Error(usage)
    // for a flag's value.
    static Config load(ConfigSources sources);
    // The same sources once more.
    Config reloaded() const { return load(sources_); }

    // By full name. REQUIRES: the key is in the table, with that type.
    const Setting& setting(std::string_view key) const;
    bool boolean(std::string_view key) const;
    int64_t integer(std::string_view key) const;
    double number(std::string_view key) const;
    const std::string& text(std::string_view key) const;
    const std::vector<std::string>& texts(std::string_view key) const;
    // Somebody chose it: a file, a variable or a flag.
    bool is_set(std::string_view key) const { return layer_of(key) != ConfigLayer::built_in; }
    bool is_flag(std::string_view key) const { return layer_of(key) == ConfigLayer::flag; }

    // Those whose glob fits one of the names, the strongest last.
    std::vector<const ModelProfile*> profiles_for(std::string_view name,
                                                  std::string_view other_name) const;
    const std::vector<ModelProfile>& profiles() const { return profiles_; }

    // As they are written; app/commands/key_bindings.h knows which make sense.
    const std::vector<KeyWish>& key_wishes() const { return key_wishes_; }

    const std::vector<ConfigNotice>& notices() const { return notices_; }
    const ConfigSources& sources() const { return sources_; }
    // The file that `moxie config edit` opens.
    const std::string& file_to_edit() const;

  private:
    ConfigLayer layer_of(std::string_view key) const { return setting(key).layer; }
    void read_file(const std::string& path, ConfigLayer layer);
    void take_entry(const FileEntry& entry, const std::string& path, ConfigLayer layer);
    void take_profile_entry(const FileEntry& entry, const std::string& path, ConfigLayer layer);
    void take_key_entry(const FileEntry& entry, const std::string& where);
    void read_environment();
    void read_flags();
    void note(std::string text, const ConfigKey* key, bool mistake = true);
    void finish_notices();

    ConfigSources sources_;
    std::map<std::string, Setting, std::less<>> settings_;
    std::vector<ModelProfile> profiles_;
    std::vector<KeyWish> key_wishes_;
    std::vector<ConfigNotice> notices_;
    std::vector<const ConfigKey*> fallbacks_;  // beside notices_: whose value is used instead
};

}  // namespace app
