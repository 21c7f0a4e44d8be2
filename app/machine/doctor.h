// What is fine on this machine and what is not, for /doctor and `moxie doctor`. Looks at files,
// variables and the processor; nothing is changed, nothing is asked of a network.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/settings/config.h"
#include "core/store/records.h"

namespace app {

struct Finding {
    std::string subject;
    std::string text;
    std::string advice = {};  // empty: it is fine
};

// What the files of the cache are; the chat knows it from the engine.
struct CacheUsage {
    uint64_t bytes = 0;
    uint64_t pages = 0;
    uint64_t budget = 0;  // 0: not known
};

struct Patient {
    const Config& config;
    std::string terminal_size = {};  // "100x30"; empty: there is none
    std::string data_folder = {};    // empty: nothing is saved
    std::optional<core::Checked> database = {};
    std::string database_trouble = {};  // why it was not looked at
    CacheUsage cache = {};
    std::string isa = {};  // a limit; empty: none
};

std::vector<Finding> examine(const Patient& patient);

// One line for each, and advice below those that need some.
std::string doctor_text(std::span<const Finding> findings);

}  // namespace app
