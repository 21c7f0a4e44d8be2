// Commands of the program: help, cache, system prompt.
#include <algorithm>
#include <array>
#include <string>

#include "app/attachments.h"
#include "app/chat_app.h"
#include "app/command_words.h"
#include "app/commands.h"
#include "app/errands.h"

namespace app {
namespace {

void run_help(ChatApp& app, std::string_view arguments) {
    if (arguments.empty()) return app.say_at_length(help_text(app.bindings()));
    run_command(app,
                "/" + std::string(arguments.substr(arguments.front() == '/' ? 1 : 0)) + " --help");
}

std::vector<std::string> complete_help(const ChatApp& /*app*/, std::string_view begun) {
    std::vector<std::string> found;
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands)
            if (group.reach == Reach::slash && command.name.starts_with(begun))
                found.emplace_back(command.name);
    return found;
}

struct KvWord {
    std::string_view name;
    chat::KvAction action;
};

constexpr std::array kKvWords = {
    KvWord{"list", chat::KvAction::list}, KvWord{"save", chat::KvAction::save},
    KvWord{"drop", chat::KvAction::drop}, KvWord{"prefetch", chat::KvAction::prefetch}};

void run_kv(ChatApp& app, std::string_view arguments) {
    const std::string_view word = arguments.empty() ? "list" : arguments;
    for (const KvWord& known : kKvWords)
        if (known.name == word) return app.report(app.session().manage_kv(known.action));
    usage("/kv " + std::string(arguments), "unknown", "there are list, save, drop and prefetch");
}

std::vector<std::string> complete_kv(const ChatApp& /*app*/, std::string_view begun) {
    std::vector<std::string> found;
    for (const KvWord& word : kKvWords)
        if (word.name.starts_with(begun)) found.emplace_back(word.name);
    return found;
}

void set_system(ChatApp& app, const std::string& text) {
    app.session().set_system(text);
    app.say(text.empty() ? "System prompt removed."
                         : "System prompt set; it is in force from the next answer on.");
}

void run_system(ChatApp& app, std::string_view arguments) {
    if (arguments.empty() || arguments == "show") {
        const std::string& text = app.session().conversation().system();
        app.say(text.empty() ? "No system prompt. /system TEXT sets one."
                             : "System prompt: " + text);
    } else if (arguments == "edit") {
        edit_text(app, "system", app.session().conversation().system(),
                  [](ChatApp& back, const std::string& text) { set_system(back, text); });
    } else {
        set_system(app, arguments == "off" ? "" : text_or_file(std::string(arguments)));
    }
}

std::vector<std::string> complete_system(const ChatApp& /*app*/, std::string_view begun) {
    return begun.starts_with('@') ? complete_mention(begun)
                                  : beginning_with(begun, {"show", "edit", "off"});
}

void run_quit(ChatApp& app, std::string_view /*arguments*/) {
    app.end_of_input();
}

constexpr std::array kCommands = {
    Command{"system", "", "TEXT|@FILE|edit|show|off", "instructions in front of the conversation",
            "C-x y", run_system, complete_system},
    Command{"kv", "", "[WORD]", "what was read of it: list, save, drop, prefetch", "", run_kv,
            complete_kv},
    Command{"help", "?", "[COMMAND]", "commands and keys", "C-x ?|F1", run_help, complete_help},
    Command{"quit", "exit", "", "leave", "C-x q", run_quit},
};

}  // namespace

CommandGroup general_commands() {
    return {.title = "Program", .commands = kCommands};
}

}  // namespace app
