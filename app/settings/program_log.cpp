#include "app/settings/program_log.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/chat/request_log.h"

namespace app {
namespace {

constexpr std::array<std::string_view, 4> kLevels = {"debug", "info", "warning", "error"};

}  // namespace

std::string log_path() {
    return core::state_folder() + "/moxie.log";
}

ProgramLog::ProgramLog(const Config& config) {
    try {
        core::make_private_folder(core::state_folder());
        core::open_log({.path = log_path(),
                        .max_bytes = static_cast<uint64_t>(config.integer("log.max_mb")) << 20U,
                        .files = static_cast<uint32_t>(config.integer("log.files")),
                        .json = config.text("log.format") == "json"});
    } catch (const core::Error&) {
        return;  // a state directory that is read-only is no reason to stop
    }
    apply_log_settings(config);
    core::log_info("moxie " MOXIE_VERSION " begins, process " + std::to_string(::getpid()));
    for (const ConfigNotice& notice : config.notices())
        core::log(notice.mistake ? core::LogLevel::warning : core::LogLevel::info, notice.text);
}

ProgramLog::~ProgramLog() {
    core::log_info("moxie ends, process " + std::to_string(::getpid()));
    core::close_log();
}

void apply_log_settings(const Config& config) {
    core::set_log_level(log_level_named(config.text("log.level")).value_or(core::LogLevel::info));
    chat::log_prompts(config.boolean("log.prompts"));
}

std::optional<core::LogLevel> log_level_named(std::string_view name) {
    const auto* found = std::ranges::find(kLevels, name);
    if (found == kLevels.end()) return std::nullopt;
    return static_cast<core::LogLevel>(std::distance(kLevels.begin(), found));
}

std::string_view log_level_name(core::LogLevel level) {
    return kLevels.at(static_cast<size_t>(level));
}

}  // namespace app
