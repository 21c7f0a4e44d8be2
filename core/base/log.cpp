#include "core/base/log.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include <spdlog/async.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/spdlog.h>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace core {
namespace {

constexpr size_t kQueueLines = 8192;

// The one thing in moxie that is global on purpose: everybody logs, and passing a log through every
// constructor would tell a reader nothing. The mutex guards the pointer, not the writing.
struct Log {
    std::mutex mutex;
    std::shared_ptr<spdlog::details::thread_pool> writer;
    std::shared_ptr<spdlog::async_logger> logger;
    std::atomic<bool> open = false;
    std::atomic<bool> json = false;
    std::atomic<LogLevel> level = LogLevel::info;
};

Log& instance() {
    static Log log;
    return log;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

std::string printable(std::string_view text) {
    std::string line(text);
    const auto is_control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };
    std::ranges::replace_if(line, is_control, '?');
    return line;
}

// The inside of a JSON string; controls are gone already.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : sanitize(text)) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

constexpr const char* kTextLines = "%Y-%m-%dT%H:%M:%S.%e%z %-7l %v";
constexpr const char* kJsonLines =
    R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":"%v"})";

// A file that rotation makes is as private as the first.
spdlog::file_event_handlers private_files() {
    spdlog::file_event_handlers handlers;
    handlers.after_open = [](const spdlog::filename_t&, std::FILE* file) {
        ::fchmod(::fileno(file), S_IRUSR | S_IWUSR);
    };
    return handlers;
}

}  // namespace

void open_log(const LogOptions& options) {
    close_log();
    try {
        auto writer = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
        auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
            options.path, options.max_bytes, options.files, false, private_files());
        auto logger = std::make_shared<spdlog::async_logger>(
            "moxie", std::move(sink), writer, spdlog::async_overflow_policy::overrun_oldest);
        logger->set_pattern(options.json ? kJsonLines : kTextLines);
        logger->set_level(spdlog::level::trace);  // the level is looked at before
        logger->flush_on(spdlog::level::info);
        // spdlog's default prints to the terminal; a full disk must not draw on the screen.
        logger->set_error_handler([](const std::string&) {});
        Log& log = instance();
        const std::lock_guard lock(log.mutex);
        log.writer = std::move(writer);
        log.logger = std::move(logger);
        log.json = options.json;
        log.level = options.level;
        log.open = true;
    } catch (const std::exception& error) {
        throw Error(ErrorKind::storage, options.path,
                    std::string("cannot be used as log file: ") + error.what());
    }
}

void close_log() {
    Log& log = instance();
    std::shared_ptr<spdlog::async_logger> logger;
    std::shared_ptr<spdlog::details::thread_pool> writer;
    {
        const std::lock_guard lock(log.mutex);
        log.open = false;
        logger = std::move(log.logger);
        writer = std::move(log.writer);
    }
    if (logger != nullptr) logger->flush();
    // The pool's destructor runs the queue empty and joins its thread.
}

void set_log_level(LogLevel level) noexcept {
    instance().level = level;
}

LogLevel log_level() noexcept {
    return instance().level;
}

bool is_logged(LogLevel level) noexcept {
    const Log& log = instance();
    return log.open && level >= log.level;
}

void log(LogLevel level, std::string_view text) noexcept {
    if (!is_logged(level)) return;
    try {
        Log& log = instance();
        std::shared_ptr<spdlog::async_logger> logger;
        {
            const std::lock_guard lock(log.mutex);
            logger = log.logger;
        }
        const std::string line = printable(text);
        if (logger != nullptr) logger->log(to_spdlog(level), log.json ? escaped(line) : line);
    } catch (const std::exception&) {
        // A log that cannot allocate must not end what it reports about.
        return;
    }
}

}  // namespace core
