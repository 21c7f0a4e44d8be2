// The engine: one thread that owns the model, its KV cache and the sampler, and serves Channels.
//
// Nothing outside app/ names this class; everybody else speaks the protocol. The mock engine
// (mock.h) serves the same Channels from a script.
#pragma once

#include <memory>
#include <string>

#include "core/chat/channel.h"

namespace core {

struct EngineOptions {
    unsigned threads = 0;         // 0 = physical cores allowed
    std::string isa = {};         // "" = best
    uint32_t prefill_chunk = 64;  // tokens per pass of prefill; cancel and progress happen between
    std::string kv_directory = {};  // pages of the KV cache on disk; "" = memory only
    uint64_t kv_disk_bytes = 0;     // budget of that directory
    uint32_t kv_min_tokens = 0;     // what is shorter is not worth a file there
};

class Engine {
  public:
    // Starts the thread. Throws Error(usage) for an impossible isa.
    explicit Engine(const EngineOptions& options);
    // Cancels what runs, joins the thread.
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Serves a channel until detached. Any thread. The channel must outlive its attachment.
    void attach(chat::Channel& channel);
    // Cancels the channel's requests; after the return the engine does not touch it any more.
    void detach(chat::Channel& channel);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace core
