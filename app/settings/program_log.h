// The log of a running moxie: where it is, as the configuration wants it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "app/settings/config.h"
#include "core/base/log.h"

namespace app {

// $XDG_STATE_HOME/moxie/moxie.log
std::string log_path();

// The log is open while this lives. Where it cannot be written the program goes on without one.
// REQUIRES: the process does not fork while it lives.
class ProgramLog {
  public:
    explicit ProgramLog(const Config& config);
    ~ProgramLog();
    ProgramLog(const ProgramLog&) = delete;
    ProgramLog& operator=(const ProgramLog&) = delete;
};

// What log.level and log.prompts say, from now on.
void apply_log_settings(const Config& config);

std::optional<core::LogLevel> log_level_named(std::string_view name);
std::string_view log_level_name(core::LogLevel level);

}  // namespace app
