#include "app/subcommands/doctor_cmd.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>
#include <ostream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "app/machine/doctor.h"
#include "core/base/error.h"
#include "core/kv/disk_store.h"
#include "core/store/waiting_store.h"

namespace app {
namespace {

std::string size_of_terminal() {
    winsize size = {};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
    return std::to_string(size.ws_col) + "x" + std::to_string(size.ws_row);
}

// Opening makes the file, so that is not done where there is none.
void look_at_database(Patient& patient) {
    std::error_code ignored;
    if (!std::filesystem::exists(patient.data_folder + "/chats.db", ignored)) return;
    core::WaitingStore store({.folder = patient.data_folder});
    const core::StoreEvent event = store.try_ask(core::CheckStore{});
    if (const auto* checked = std::get_if<core::Checked>(&event))
        patient.database = *checked;
    else if (const auto* failed = std::get_if<core::StoreFailed>(&event))
        patient.database_trouble =
            store.opened().sentence.empty() ? failed->sentence : store.opened().sentence;
}

}  // namespace

int run_doctor(const DoctorOptions& options, std::ostream& out) {
    Patient patient{.config = options.config,
                    .terminal_size = size_of_terminal(),
                    .data_folder = options.data_folder};
    if (options.config.boolean("kv.persist")) {
        patient.cache.budget = static_cast<uint64_t>(options.config.number("kv.max_gb") * 1e9);
        for (const core::StoredPage& page : core::list_pages(options.kv_folder)) {
            patient.cache.bytes += page.bytes;
            ++patient.cache.pages;
        }
    }
    look_at_database(patient);
    const std::vector<Finding> found = examine(patient);
    if (options.json) {
        nlohmann::ordered_json rows = nlohmann::ordered_json::array();
        for (const Finding& finding : found)
            rows.push_back({{"subject", finding.subject},
                            {"ok", finding.advice.empty()},
                            {"text", finding.text},
                            {"advice", finding.advice}});
        out << rows.dump(1, ' ', true, nlohmann::json::error_handler_t::replace) << '\n';
    } else {
        out << doctor_text(found) << '\n';
    }
    const bool damaged = patient.database && !patient.database->problems.empty();
    return damaged ? static_cast<int>(core::ErrorKind::storage) : 0;
}

}  // namespace app
