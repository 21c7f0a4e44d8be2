#include "app/settings/config.h"
#include "app/settings/config_file.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void config(Bytes bytes) {
    const auto parsed = app::parse_config_text(text_of(bytes));
    const bool sound = std::holds_alternative<std::vector<app::FileEntry>>(parsed);

    static const MemoryFile file;
    file.write(bytes);
    app::ConfigSources sources;
    sources.chosen_file = file.path();
    // Whatever is wrong in it is told and not thrown.
    const app::Config loaded = app::Config::load(sources);
    if (!sound && loaded.notices().empty()) __builtin_trap();
    keep(loaded.profiles_for("grok-1", "grok-1.gguf").size());
}

}  // namespace fuzz
