// The table of configuration keys: what config.toml, MOXIE_SECTION_KEY and the flags may set, of
// which type, within which range, and what each is for. Everything that names a key (parsing,
// `moxie config`, docs/config.md) reads this table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace app {

enum class ConfigType : uint8_t { boolean, integer, number, text, choice, texts };

using ConfigValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;

struct ConfigKey {
    std::string_view section;  // "" = at the top of the file
    std::string_view name;
    ConfigType type = ConfigType::text;
    std::string_view fallback;  // the built-in value, as env and flags write it
    double minimum = 0;         // of numbers
    double maximum = 0;
    std::string_view choices = {};  // of a choice, "a|b|c"
    std::string_view help = {};
    // What it comes with, where nothing in this version reads it; empty: it has effect.
    std::string_view waits_for = {};

    constexpr bool effective() const { return waits_for.empty(); }
};

// In the order of the documentation, sections together.
std::span<const ConfigKey> config_keys();
// Keys of [model_profile."glob"], besides those of [sampling]; the section is "model_profile".
std::span<const ConfigKey> profile_keys();

// Null: there is no such key.
const ConfigKey* find_config_key(std::string_view section, std::string_view name);
const ConfigKey* find_profile_key(std::string_view name);
bool is_config_section(std::string_view section);
// The key of the section that was meant; null when none has a name like it.
const ConfigKey* similar_config_key(std::string_view section, std::string_view name);
std::optional<std::string_view> similar_config_section(std::string_view section);

// "sampling.temperature"
std::string full_name(const ConfigKey& key);
// "MOXIE_SAMPLING_TEMPERATURE"
std::string environment_name(const ConfigKey& key);

ConfigValue built_in(const ConfigKey& key);
// From the text of a variable or a flag; lists are separated by commas. Throws core::Error(config)
// whose problem is "is X, must be ..."; its object is full_name().
ConfigValue value_from_text(const ConfigKey& key, std::string_view text);
// The value in the key's type and range, or the same Error. Whole numbers serve as numbers.
ConfigValue checked_value(const ConfigKey& key, ConfigValue value);
// "is X, must be Y", for a value of any type.
std::string what_is_wrong(const ConfigKey& key, std::string_view seen);
// As TOML: "8192", "\"f16\"", "[\"a\", \"b\"]".
std::string toml_text(const ConfigValue& value);

}  // namespace app
