// The one place that makes an engine, real or scripted, with a channel to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/chat/channel.h"

namespace app {

struct BackendOptions {
    std::string mock_script = {};   // "" = the real engine
    bool fake_time = false;         // of the mock
    unsigned threads = 0;           // 0 = physical cores allowed
    std::string isa = {};           // "" = the best tier
    std::string kv_directory = {};  // of KV pages; "" = they are kept in memory only
    uint64_t kv_disk_bytes = 0;     // budget of that directory
    uint32_t kv_min_tokens = 0;     // what is shorter is not written there
};

class Backend {
  public:
    // Starts the engine's threads. Throws core::Error.
    explicit Backend(const BackendOptions& options);
    // Cancels what runs and joins them.
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    chat::Channel& channel() { return channel_; }

  private:
    struct Engines;
    chat::Channel channel_;
    std::unique_ptr<Engines> engines_;  // after the channel: detached from it first
};

}  // namespace app
