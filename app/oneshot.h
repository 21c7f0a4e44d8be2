// One prompt, one answer on standard output: for pipes and scripts.
//
// Standard output gets the answer and nothing else, with exactly one newline at its end, whatever
// the model wrote; everything else goes to standard error. What goes to a terminal is sanitized.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/chat/channel.h"
#include "core/chat/protocol.h"

namespace app {

struct OneShotOptions {
    std::string model_path = {};
    std::string prompt = {};
    bool read_input = false;  // standard input is no terminal: it belongs to the prompt
    bool raw = false;         // continue the text, without a chat format
    bool json = false;        // one object instead of the text
    bool verbose = false;     // model, tokens and speed on standard error
    std::string system = {};
    std::string template_name = {};
    chat::Sampling sampling = {};
    uint32_t max_tokens = 0;
    std::vector<std::string> stop = {};
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
};

// The prompt from the command line with what standard input adds. Reads until its end, so before
// signals are blocked. Throws core::Error(usage) when there is no prompt at all.
std::string complete_prompt(const OneShotOptions& options);

// Blocks the signals that run_oneshot() reads from a descriptor, in this thread and all that it
// starts. REQUIRES: called before the engine's threads are started.
void block_oneshot_signals();

// Loads, asks, prints. Returns the exit status: 0, that of a failure, 128 + signal when interrupted
// (what was written stays written), 141 when nobody reads any more. Throws core::Error.
// REQUIRES: something is attached to the channel.
int run_oneshot(const OneShotOptions& options, chat::Channel& channel);

}  // namespace app
