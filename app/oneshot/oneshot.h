// One prompt, one answer on standard output: for pipes and scripts.
//
// Standard output gets the answer and nothing else, with exactly one newline at its end, whatever
// the model wrote; everything else goes to standard error. What goes to a terminal is sanitized.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/session/keeping.h"
#include "app/settings/sampling_layers.h"
#include "core/chat/channel.h"
#include "core/chat/protocol.h"
#include "core/store/records.h"

namespace app {

enum class OutputForm : uint8_t { text, json, json_lines };

// As many as the engine tells of each token.
inline constexpr uint32_t kMostAlternatives = 20;

struct OneShotOptions {
    std::string model_path = {};
    bool model_chosen = false;  // by a flag; a conversation that is continued has its own else
    std::string prompt = {};
    std::vector<std::string> files = {};  // follow it
    bool read_input = false;              // standard input is no terminal: it comes last
    bool raw = false;                     // continue the text, without a chat format
    OutputForm form = OutputForm::text;
    bool thinking = false;  // reasoning in front of the answer is printed with it
    bool escapes = false;   // terminal control in the answer reaches a pipe as it is
    bool verbose = false;   // model, tokens and speed on standard error
    bool quiet = false;     // nothing there
    std::vector<std::string> warnings = {};  // told there at first
    std::optional<uint32_t> logprobs = {};   // alternatives of each token, in the JSON
    double timeout_seconds = 0;              // 0 = none
    std::string system = {};
    std::string template_name = {};
    SamplingLayers sampling = {};
    std::vector<std::string> stop = {};
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    // The conversation to continue: the beginning of its id, or empty for the last one.
    std::optional<std::string> resume = {};
    bool temporary = false;        // nothing is kept, in a folder that was named either
    bool save = false;             // question and answer become turns of a saved conversation
    Keeping keeping = {};          // what goes to the disk beside the texts
    std::string data_folder = {};  // of saved conversations, where one is continued or saved
};

// The prompt from the command line, then files, then standard input, which are fenced unless they
// are all there is. Reads until the end, so before signals are blocked. Throws core::Error(usage)
// when there is no prompt at all or a file cannot be read.
std::string complete_prompt(const OneShotOptions& options);

// Blocks the signals that run_oneshot() reads from a descriptor, in this thread and all that it
// starts. REQUIRES: called before the engine's threads are started.
void block_oneshot_signals();

// Loads, asks, prints. Returns the exit status: 0, that of a failure, 124 after the timeout,
// 128 + signal when interrupted (what was written stays written), 141 when nobody reads any more.
// Throws core::Error. REQUIRES: something is attached to the channel, and to `store` where the
// options have a data folder.
int run_oneshot(const OneShotOptions& options, chat::Channel& channel, core::StoreChannel* store);

}  // namespace app
