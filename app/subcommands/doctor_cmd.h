// `moxie doctor`: what is fine on this machine and what is not, without a chat.
#pragma once

#include <iosfwd>
#include <string>

#include "app/settings/config.h"

namespace app {

struct DoctorOptions {
    std::string data_folder = {};
    std::string kv_folder = {};
    bool json = false;
    Config config = {};
};

// Prints; 0, or 9 when the database is damaged. Other findings are told and no failure.
int run_doctor(const DoctorOptions& options, std::ostream& out);

}  // namespace app
