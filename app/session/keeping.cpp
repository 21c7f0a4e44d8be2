#include "app/session/keeping.h"

#include <string>

namespace app {

Keeping keeping_of(const Config& config) {
    Keeping keeping{.token_ids = config.boolean("privacy.save_tokens")};
    const std::string& when = config.text("kv.save_on");
    if (when == "exit") keeping.pages = KeepPages::at_the_end;
    if (when == "never") keeping.pages = KeepPages::never;
    return keeping;
}

}  // namespace app
