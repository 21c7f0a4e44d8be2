// The configuration as text: what is in force, what a new file begins with, and the texts of
// docs/config.md and configs/default.toml, which are made from the table of keys.
#pragma once

#include <string>

#include "app/settings/config.h"

namespace app {

// The values in force as TOML, each with its origin behind it if wanted. `key`: only that key or
// section; throws core::Error(usage) with the nearest name when there is none.
std::string config_listing(const Config& config, const std::string& key, bool origin);
// The same as a JSON array of {"key", "value", "origin", "effective"}.
std::string config_json(const Config& config, const std::string& key);

// Every key as a comment with its built-in value: what a new config.toml begins with.
std::string config_template();
// docs/config.md
std::string config_reference();

}  // namespace app
