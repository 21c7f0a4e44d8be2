// The command line: which program is wanted and with what. The only file that uses CLI11.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "app/backend.h"
#include "app/bench_cmd.h"
#include "app/chat_app.h"
#include "app/eval_cmd.h"
#include "app/inspect_cmd.h"
#include "app/kv_cmd.h"
#include "app/oneshot.h"
#include "app/tokenize_cmd.h"

namespace app {

// The interactive chat.
struct ChatInvocation {
    ChatOptions chat;
    BackendOptions backend;
    bool supervised = true;
};

// `moxie "prompt"`, or standard input is no terminal.
struct OneShotInvocation {
    OneShotOptions oneshot;
    BackendOptions backend;
};

// --help and --version.
struct PrintText {
    std::string text;
};

using Invocation =
    std::variant<ChatInvocation, OneShotInvocation, TokenizeOptions, EvalLogitsOptions,
                 EvalPerplexityOptions, InspectOptions, KvOptions, BenchOptions, PrintText>;

// What the descriptors of the process are, for choosing between chat and one-shot.
struct Terminals {
    bool standard_input = false;
    bool standard_output = false;
};

// Reads the command line, argv[0] left out. Throws core::Error(usage) with a hint at --help, and
// core::Error(model_not_found) when no model is given and none is bundled.
Invocation parse_command_line(const std::vector<std::string>& arguments, Terminals terminals);

// The model that is used when nobody chooses one: $MOXIE_MODEL, else the first *.gguf by name in
// the folders given. Empty: there is none.
std::string find_default_model(const std::vector<std::string>& folders);
// models/ of the source tree, and ../models and ../share/moxie beside the executable.
std::vector<std::string> model_folders();

}  // namespace app
