// The log: lines in a file, never on the terminal. The only file that uses spdlog.
//
// Writing is handed to a thread of its own, so that neither the screen nor the engine waits for a
// disk; when that thread falls behind by thousands of lines, the oldest are dropped. Until
// open_log() and after close_log() lines go nowhere. Texts have the form of error texts; what
// users typed and what models said is logged only where log.prompts asks for it
// (core/chat/request_log.h). The files have mode 0600.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace core {

enum class LogLevel : uint8_t { debug, info, warning, error };

struct LogOptions {
    std::string path;  // its folder exists
    LogLevel level = LogLevel::info;
    uint64_t max_bytes = 10 << 20;  // then path becomes path.1 and so on
    uint32_t files = 3;             // kept besides the current one
    bool json = false;              // a line is an object: {"time", "level", "message"}
};

// Starts the log's thread. To be called after the supervisor has forked; threads do not survive
// that. Throws Error(storage) when the file cannot be written.
void open_log(const LogOptions& options);

// Writes what is queued and stops the thread.
void close_log();

// From the next line on. Any thread.
void set_log_level(LogLevel level) noexcept;
LogLevel log_level() noexcept;
// Whether a line of that level would be written: before a text is put together that is long or
// often not wanted. Any thread.
bool is_logged(LogLevel level) noexcept;

// Any thread. Never throws, never blocks on the disk. Control characters become `?`.
void log(LogLevel level, std::string_view text) noexcept;

inline void log_debug(std::string_view text) noexcept {
    log(LogLevel::debug, text);
}
inline void log_info(std::string_view text) noexcept {
    log(LogLevel::info, text);
}
inline void log_warning(std::string_view text) noexcept {
    log(LogLevel::warning, text);
}
inline void log_error(std::string_view text) noexcept {
    log(LogLevel::error, text);
}

}  // namespace core
