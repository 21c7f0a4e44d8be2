// A scripted engine for tests: the same protocol, tokens, delays, errors and probabilities from a
// TOML file, on a thread of its own. Format: docs/mock_backend.md.
#pragma once

#include <memory>
#include <string>

#include "core/chat/channel.h"

namespace core {

class MockEngine {
  public:
    // Reads the script. Throws Error(config) with file and line when it does not make sense.
    // `fake_time`: delays are not slept but counted, so that a test runs at full speed.
    MockEngine(const std::string& script_path, bool fake_time);
    ~MockEngine();
    MockEngine(const MockEngine&) = delete;
    MockEngine& operator=(const MockEngine&) = delete;

    void attach(chat::Channel& channel);
    void detach(chat::Channel& channel);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace core
