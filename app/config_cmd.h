// `moxie config`: which files, which values and who set them, mistakes, and the editor. Also the
// texts of docs/config.md and configs/default.toml, which are made from the table of keys.
#pragma once

#include <iosfwd>
#include <string>

#include "app/config.h"

namespace app {

enum class ConfigAction : uint8_t { path, show, check, edit };

struct ConfigCmdOptions {
    ConfigAction action = ConfigAction::show;
    bool origin = false;
    bool json = false;
    std::string key = {};  // of show; empty: all
    ConfigSources sources = {};
};

// Returns the exit status: 3 when check or edit find mistakes. Throws core::Error.
int run_config(const ConfigCmdOptions& options, std::ostream& out);

// The values in force as TOML, each with its origin behind it if wanted. `key`: only that key or
// section; throws core::Error(usage) with the nearest name when there is none.
std::string config_listing(const Config& config, const std::string& key, bool origin);

// Every key as a comment with its built-in value: what a new config.toml begins with.
std::string config_template();
// docs/config.md
std::string config_reference();

}  // namespace app
