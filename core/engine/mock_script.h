// What the mock engine plays: the TOML script as plain values. Format: docs/mock_backend.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/chat/protocol.h"

namespace core {

using Milliseconds = std::chrono::milliseconds;

// What a reply waits for before it goes on, besides its delay.
enum class MockHold : uint8_t { none, cancel, update };

struct MockToken {
    chat::Token token;  // `bytes` may contain placeholders
    Milliseconds delay{0};
    MockHold hold = MockHold::none;
};

struct MockError {
    uint32_t after = 0;  // tokens that come before it
    std::string sentence;
    int exit_code = 1;
};

struct MockReply {
    std::optional<std::string> match;  // substring of the last message; nothing = any
    uint32_t times = 0;                // how often it may be used; 0 = always
    uint32_t prompt_tokens = 0;        // 0 = counted in words
    uint32_t reused_tokens = 0;
    uint32_t restored_tokens = 0;  // of the reused, from the disk
    Milliseconds restore_delay{0};
    uint32_t prefill_chunk = 64;
    Milliseconds prefill_delay{0};  // per chunk
    std::string prefill_reason;
    bool hold_prefill = false;  // stays in prefill until cancelled
    std::vector<MockToken> tokens;
    bool endless = false;  // begins again after the last token
    chat::FinishReason finish = chat::FinishReason::stop;
    std::optional<MockError> error;
};

struct MockModel {
    chat::ModelReady ready;  // what LoadModel answers
    Milliseconds load_delay{0};
    uint32_t load_steps = 4;
    bool hold_load = false;  // loads until cancelled
    std::string
        load_waits_for;  // loads until there is a file of this name; empty: it does not wait
    std::optional<MockError> error;
    Milliseconds stats_every{250};
};

// What Kv requests are answered with.
struct MockKv {
    // Of the lines asked for, in order; lines beyond them are wholly resident, a token a word.
    std::vector<chat::KvEntry> entries;
    chat::KvListed totals;         // without entries
    uint32_t prefetch_tokens = 0;  // come from the disk when a prefetch is asked for
    Milliseconds prefetch_delay{0};
};

struct MockScript {
    MockModel model;
    MockKv kv;
    std::vector<MockReply> replies;  // the first that matches answers
};

// Throws Error(config) with file and line when the script does not make sense, and
// Error(model_not_found) when there is none.
MockScript read_mock_script(const std::string& path);

// Cuts a text before each space and after each line feed: "a b" is "a", " b".
std::vector<std::string> mock_words(const std::string& text);

}  // namespace core
