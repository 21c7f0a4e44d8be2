#include "app/backend.h"

#include <optional>

#include "core/engine/engine.h"
#include "core/engine/mock.h"

namespace app {

struct Backend::Engines {
    std::optional<core::Engine> engine;
    std::optional<core::MockEngine> mock;
};

Backend::Backend(const BackendOptions& options) : engines_(std::make_unique<Engines>()) {
    if (options.mock_script.empty()) {
        engines_->engine.emplace(core::EngineOptions{.threads = options.threads,
                                                     .isa = options.isa,
                                                     .kv_directory = options.kv_directory,
                                                     .kv_disk_bytes = options.kv_disk_bytes,
                                                     .kv_min_tokens = options.kv_min_tokens});
        engines_->engine->attach(channel_);
    } else {
        engines_->mock.emplace(options.mock_script, options.fake_time);
        engines_->mock->attach(channel_);
    }
}

Backend::~Backend() {
    if (engines_->engine) engines_->engine->detach(channel_);
    if (engines_->mock) engines_->mock->detach(channel_);
}

}  // namespace app
