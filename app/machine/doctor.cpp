#include "app/machine/doctor.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/base/cpu.h"
#include "core/base/paths.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/kernels/kernels.h"

namespace app {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
    // Nothing here changes the environment.
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return value == nullptr ? "" : value;
}

// Where ncurses looks, by the first letter of the name.
bool has_terminfo(const std::string& name) {
    if (name.empty() || name.find('/') != std::string::npos) return false;
    std::array<char, 4> hexadecimal = {};
    std::snprintf(hexadecimal.data(), hexadecimal.size(), "%02x",
                  static_cast<unsigned>(static_cast<unsigned char>(name[0])));
    const std::array<std::string, 5> folders = {variable("TERMINFO"),
                                                variable("HOME") + "/.terminfo", "/etc/terminfo",
                                                "/lib/terminfo", "/usr/share/terminfo"};
    std::error_code ignored;
    return std::ranges::any_of(folders, [&](const std::string& folder) {
        return !folder.empty() &&
               (fs::exists(folder + "/" + name[0] + "/" + name, ignored) ||
                fs::exists(folder + "/" + hexadecimal.data() + "/" + name, ignored));
    });
}

Finding terminal(const Patient& patient) {
    const std::string name = variable("TERM");
    Finding found{.subject = "terminal", .text = name.empty() ? "TERM is not set" : name};
    if (!patient.terminal_size.empty()) found.text += ", " + patient.terminal_size;
    if (name == "dumb")
        found.advice =
            "it cannot place its cursor; set TERM=xterm-256color, or give the prompt as "
            "an argument";
    else if (!has_terminfo(name))
        found.advice =
            "its terminfo is not installed; install ncurses-term, or set "
            "TERM=xterm-256color";
    return found;
}

Finding locale() {
    std::string name;
    for (const char* each : {"LC_ALL", "LC_CTYPE", "LANG"})
        if (name.empty()) name = variable(each);
    std::string small = name;
    std::ranges::transform(small, small.begin(), [](unsigned char c) { return std::tolower(c); });
    const bool utf8 =
        small.find("utf-8") != std::string::npos || small.find("utf8") != std::string::npos;
    return {.subject = "locale",
            .text = name.empty() ? "none is set" : name,
            .advice = utf8 ? "" : "it is not UTF-8, so C.UTF-8 is used; set LANG=C.UTF-8"};
}

Finding colours(const Patient& patient) {
    const std::string wish = patient.config.text("terminal.color");
    if (wish == "auto" && !variable("NO_COLOR").empty())
        return {.subject = "colours", .text = "none, NO_COLOR is set"};
    const std::string depth = variable("COLORTERM");
    return {.subject = "colours",
            .text = "terminal.color is " + wish + ", theme " + patient.config.text("ui.theme") +
                    (depth.empty() ? "" : ", COLORTERM " + depth)};
}

std::string mode_text(mode_t mode) {
    std::array<char, 8> text = {};
    std::snprintf(text.data(), text.size(), "%04o", mode & 07777U);
    return text.data();
}

// What conversations are in must be their owner's alone.
Finding folder(const std::string& subject, const std::string& path, bool secret) {
    struct stat status = {};
    Finding found{.subject = subject, .text = path};
    if (::stat(path.c_str(), &status) != 0) {
        found.text += ", not made yet";
        return found;
    }
    found.text += ", mode " + mode_text(status.st_mode);
    struct statvfs space = {};
    const bool measured = ::statvfs(path.c_str(), &space) == 0;
    const uint64_t room = uint64_t{space.f_bavail} * space.f_frsize;
    constexpr uint64_t kLittle = uint64_t{100} << 20U;
    if (measured) found.text += ", " + core::human_bytes(room) + " free";
    if (!S_ISDIR(status.st_mode))
        found.advice = "it is no folder; move it out of the way";
    else if (::access(path.c_str(), W_OK | X_OK) != 0)
        found.advice = "it cannot be written; nothing is saved there";
    else if (secret && (status.st_mode & 077U) != 0)
        found.advice = "others may look into it; chmod 700 " + path;
    else if (measured && room < kLittle)
        found.advice = "there is little room left on its disk";
    return found;
}

Finding configuration(const Patient& patient) {
    const auto& notices = patient.config.notices();
    const auto mistakes =
        std::ranges::count_if(notices, [](const ConfigNotice& notice) { return notice.mistake; });
    return {.subject = "config file",
            .text = patient.config.file_to_edit() + ", " +
                    (mistakes == 0 ? "no mistakes"
                                   : core::counted(static_cast<uint64_t>(mistakes), "mistake")),
            .advice = mistakes == 0 ? "" : "moxie config check tells them"};
}

Finding database(const Patient& patient) {
    Finding found{.subject = "chats", .text = {}};
    if (patient.data_folder.empty()) {
        found.text = "nothing is saved in a temporary session";
    } else if (!patient.database) {
        found.text =
            patient.database_trouble.empty() ? "none are saved yet" : patient.database_trouble;
        if (!patient.database_trouble.empty()) found.advice = "nothing of them can be read now";
    } else {
        const core::Checked& checked = *patient.database;
        found.text = core::counted(checked.conversations, "conversation") + ", " +
                     core::counted(checked.turns, "turn") +
                     (checked.problems.empty() ? ", the database is whole" : "");
        for (const std::string& problem : checked.problems)
            found.text += ", " + core::sanitize(problem);
        if (!checked.problems.empty())
            found.advice =
                "moxie chats export what can be read; copies from before updates are in " +
                patient.data_folder + "/backups";
    }
    return found;
}

Finding memory() {
    const uint64_t free = core::available_memory();
    constexpr uint64_t kLittle = uint64_t{512} << 20U;
    return {.subject = "memory",
            .text = core::human_bytes(free) + " can be had, this process has " +
                    core::human_bytes(core::resident_memory()),
            .advice = free < kLittle ? "a model of any size does not fit" : ""};
}

Finding processor(const Patient& patient) {
    const int64_t wanted = patient.config.integer("model.threads");
    const unsigned cores = core::physical_cores();
    Finding found{.subject = "processor",
                  .text = core::counted(cores, "core") + " may be used, model.threads is " +
                          std::to_string(wanted) + ", kernels for " +
                          std::string(core::select_kernels(patient.isa).name)};
    if (wanted > int64_t{cores})
        found.advice = "more threads than cores wait for each other; set model.threads = 0";
    else if (core::select_kernels(patient.isa).name == "scalar")
        found.advice = "without AVX2 answers are many times slower";
    return found;
}

Finding cache(const Patient& patient) {
    if (!patient.config.boolean("kv.persist"))
        return {.subject = "KV cache",
                .text = "not kept on disk, conversations are read again after a restart"};
    if (patient.cache.budget == 0)
        return {.subject = "KV cache", .text = "told once a model is loaded"};
    return {.subject = "KV cache",
            .text = core::counted(patient.cache.pages, "page") + ", " +
                    core::human_bytes(patient.cache.bytes) + " of " +
                    core::human_bytes(patient.cache.budget) + " on disk"};
}

}  // namespace

std::vector<Finding> examine(const Patient& patient) {
    std::vector<Finding> found = {terminal(patient), locale(), colours(patient),
                                  configuration(patient)};
    found.push_back(folder("config", core::config_folder(), false));
    found.push_back(folder("data", core::data_folder(), true));
    found.push_back(folder("state", core::state_folder(), true));
    found.push_back(folder("cache", core::cache_folder(), true));
    found.push_back(database(patient));
    found.push_back(cache(patient));
    found.push_back(memory());
    found.push_back(processor(patient));
    return found;
}

std::string doctor_text(std::span<const Finding> findings) {
    constexpr size_t kSubject = 12;
    std::string text;
    for (const Finding& finding : findings) {
        std::string subject = finding.subject;
        subject.resize(std::max(subject.size(), kSubject), ' ');
        text += (finding.advice.empty() ? "ok  " : "!!  ") + subject +
                core::sanitize(finding.text) + "\n";
        if (!finding.advice.empty())
            text += std::string(kSubject + 4, ' ') + core::sanitize(finding.advice) + "\n";
    }
    const auto wrong = std::ranges::count_if(
        findings, [](const Finding& finding) { return !finding.advice.empty(); });
    return text + (wrong == 0   ? "All is well."
                   : wrong == 1 ? "One thing to look at."
                                : std::to_string(wrong) + " things to look at.");
}

}  // namespace app
