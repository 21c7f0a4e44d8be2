// `moxie config`: which files, which values and who set them, mistakes, and the editor.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "app/settings/config.h"

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

}  // namespace app
