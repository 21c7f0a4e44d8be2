// The command line: which program is wanted and with what. Only options*.cpp use CLI11.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "app/backend.h"
#include "app/chat/chat_app.h"
#include "app/oneshot/oneshot.h"
#include "app/settings/config.h"
#include "app/subcommands/bench_cmd.h"
#include "app/subcommands/chats_cmd.h"
#include "app/subcommands/config_cmd.h"
#include "app/subcommands/convert_cmd.h"
#include "app/subcommands/doctor_cmd.h"
#include "app/subcommands/eval_cmd.h"
#include "app/subcommands/inspect_cmd.h"
#include "app/subcommands/kv_cmd.h"
#include "app/subcommands/models_cmd.h"
#include "app/subcommands/tokenize_cmd.h"

namespace app {

// The interactive chat.
struct ChatInvocation {
    ChatOptions chat;
    BackendOptions backend;
    Config config;
    bool supervised = true;
};

// `moxie "prompt"`, or standard input is no terminal.
struct OneShotInvocation {
    OneShotOptions oneshot;
    BackendOptions backend;
    Config config;
};

// --help and --version.
struct PrintText {
    std::string text;
};

using Invocation =
    std::variant<ChatInvocation, OneShotInvocation, TokenizeOptions, EvalLogitsOptions,
                 EvalPerplexityOptions, InspectOptions, KvOptions, ChatsOptions, BenchOptions,
                 ConfigCmdOptions, ModelsOptions, DoctorOptions, ConvertCommandOptions, PrintText>;

// What the descriptors of the process are, for choosing between chat and one-shot.
struct Terminals {
    bool standard_input = false;
    bool standard_output = false;
};

// Reads the command line, argv[0] left out. Throws core::Error(usage) with a hint at --help, and
// core::Error(model_not_found) when no model is given and none is bundled.
Invocation parse_command_line(const std::vector<std::string>& arguments, Terminals terminals);

}  // namespace app
