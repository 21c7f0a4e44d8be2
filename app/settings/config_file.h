// TOML text as a flat list of entries with their lines. The only file of app/ that uses toml++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "app/settings/config_keys.h"

namespace app {

// `name = value` of [section] or [section."part"]. A table where a value could be has no value.
struct FileEntry {
    std::string section = {};  // "" = before the first [section]
    std::string part = {};     // "grok-2*" of [model_profile."grok-2*"]
    std::string name = {};
    std::optional<ConfigValue> value = {};  // nothing: of a kind that no key has
    uint32_t line = 0;
};

struct SyntaxError {
    uint32_t line = 0;
    uint32_t column = 0;
    std::string problem = {};  // lower case, no full stop
};

// The entries by line, or where the text stops to be TOML.
std::variant<std::vector<FileEntry>, SyntaxError> parse_config_text(std::string_view text);

}  // namespace app
