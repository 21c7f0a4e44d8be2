// `moxie models`: the models of this machine, what they are and whether they fit.
#pragma once

#include <iosfwd>

#include "app/settings/config.h"

namespace app {

struct ModelsOptions {
    bool json = false;
    Config config = {};
};

int run_models(const ModelsOptions& options, std::ostream& out);

}  // namespace app
