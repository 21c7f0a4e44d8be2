#include "app/commands.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "app/chat_app.h"
#include "app/nearest.h"
#include "app/parameters.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

std::string_view trim(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t\n");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

// The first word and the rest.
std::pair<std::string_view, std::string_view> split(std::string_view text) {
    text = trim(text);
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    return {text.substr(0, end), trim(text.substr(end))};
}

[[noreturn]] void usage(std::string_view object, std::string_view problem,
                        std::string_view advice) {
    throw core::Error(core::ErrorKind::usage, std::string(object), std::string(problem),
                      std::string(advice));
}

void require_idle(const ChatApp& app, std::string_view command) {
    if (app.session().busy()) usage(command, "not while something runs", "stop it first (C-c)");
}

std::string parameter_table(const ChatApp& app) {
    std::string text;
    for (const Parameter& parameter : parameters()) {
        std::string value = value_of(app.session().sampling(), parameter);
        if (parameter.name == "seed" && !app.session().fixed_seed()) value = "random";
        const std::string normal = value_of(app.default_sampling(), parameter);
        std::string row(parameter.name);
        row.resize(std::max<size_t>(row.size(), 20), ' ');
        row += value;
        row.resize(std::max<size_t>(row.size(), 30), ' ');
        text += row + " " + std::string(parameter.help);
        if (parameter.name != "seed" && value != normal) text += " (normally " + normal + ")";
        text += "\n";
    }
    text.pop_back();
    return text;
}

// --- the commands -----------------------------------------------------------------------------

void run_help(ChatApp& app, std::string_view /*arguments*/) {
    app.say(help_text());
}

void run_new(ChatApp& app, std::string_view /*arguments*/) {
    require_idle(app, "/new");
    app.new_chat(false);
}

void run_temporary(ChatApp& app, std::string_view /*arguments*/) {
    require_idle(app, "/temporary");
    app.new_chat(true);
}

void report(ChatApp& app, const std::optional<std::string>& trouble) {
    if (trouble) app.refuse(*trouble);
}

void run_delete(ChatApp& app, std::string_view /*arguments*/) {
    report(app, app.session().remove(core::Removal::remove));
}

void run_undelete(ChatApp& app, std::string_view /*arguments*/) {
    require_idle(app, "/undelete");
    report(app, app.session().remove(core::Removal::restore));
}

void run_purge(ChatApp& app, std::string_view arguments) {
    if (arguments == "yes") return report(app, app.session().remove(core::Removal::purge));
    app.say(
        "This removes the conversation and all that was read of it from this disk, for ever. "
        "/purge yes does it; /delete can be taken back.");
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
        if (known.name == word) return report(app, app.session().manage_kv(known.action));
    usage("/kv " + std::string(arguments), "unknown", "there are list, save, drop and prefetch");
}

void run_regen(ChatApp& app, std::string_view /*arguments*/) {
    if (const auto trouble = app.session().regenerate(app.now())) app.refuse(*trouble);
}

void run_system(ChatApp& app, std::string_view arguments) {
    if (arguments.empty() || arguments == "show") {
        const std::string& text = app.session().conversation().system();
        app.say(text.empty() ? "No system prompt. /system TEXT sets one."
                             : "System prompt: " + text);
    } else {
        app.session().set_system(arguments == "off" ? "" : std::string(arguments));
        app.say(arguments == "off" ? "System prompt removed."
                                   : "System prompt set; it is in force from the next answer on.");
    }
}

void reset_parameters(ChatApp& app, std::string_view name) {
    chat::Sampling sampling = app.session().sampling();
    if (name.empty()) {
        sampling = app.default_sampling();
    } else {
        const Parameter& parameter = parameter_named(name);
        set_parameter(sampling, parameter, value_of(app.default_sampling(), parameter));
    }
    app.session().set_sampling(sampling, false);
    app.toast(name.empty() ? "parameters reset" : std::string(name) + " reset", app.now());
}

void run_set(ChatApp& app, std::string_view arguments) {
    std::string spaced(arguments);
    // "temperature=1", "temperature+=0.1" and "temperature 1" are the same thing.
    if (const size_t equals = spaced.find('='); equals != std::string::npos && equals > 0) {
        const bool changes = spaced[equals - 1] == '+' || spaced[equals - 1] == '-';
        spaced.replace(changes ? equals - 1 : equals, changes ? 0 : 1, " ");
    }
    const auto [name, value] = split(spaced);
    if (name.empty()) return app.say(parameter_table(app));
    if (name == "reset") return reset_parameters(app, value);
    const Parameter& parameter = parameter_named(name);
    chat::Sampling sampling = app.session().sampling();
    const bool random = parameter.name == "seed" && value == "random";
    if (!random) set_parameter(sampling, parameter, value);
    const bool fixed = parameter.name == "seed" ? !random : app.session().fixed_seed();
    app.session().set_sampling(sampling, fixed);
    app.toast(
        std::string(parameter.name) + " " + (random ? "random" : value_of(sampling, parameter)),
        app.now());
}

void run_show(ChatApp& app, std::string_view arguments) {
    if (arguments.empty() || arguments == "params") return app.say(parameter_table(app));
    if (arguments == "model") {
        const auto& model = app.session().model();
        if (!model) return app.say("No model is loaded. /model PATH loads one.");
        return app.say(model->name + ": family " + model->family + ", format " + model->format +
                       ", context " + std::to_string(model->context) + ", vocabulary " +
                       std::to_string(model->vocab) + ", weights " +
                       std::to_string(model->weight_bytes >> 20U) + " MiB");
    }
    if (arguments == "keys") return app.say(help_text());
    usage("/show " + std::string(arguments), "unknown", "there are params, model and keys");
}

void run_model(ChatApp& app, std::string_view arguments) {
    if (arguments.empty()) return run_show(app, "model");
    require_idle(app, "/model");
    app.session().load(std::string(arguments), app.now());
}

void run_quit(ChatApp& app, std::string_view /*arguments*/) {
    app.quit(0);
}

constexpr std::array kCommands = {
    Command{"help", "?", "", "commands and keys", run_help},
    Command{"new", "", "", "a new, empty conversation", run_new},
    Command{"temporary", "", "", "a new conversation of which nothing is kept", run_temporary},
    Command{"delete", "", "", "remove this conversation; /undelete takes it back", run_delete},
    Command{"undelete", "", "", "bring back what was deleted last", run_undelete},
    Command{"purge", "", "[yes]", "remove this conversation for ever", run_purge},
    Command{"regen", "", "", "another answer; the one before stays", run_regen},
    Command{"set", "", "NAME VALUE|reset", "sampling, from the next token on", run_set},
    Command{"show", "", "params|model|keys", "what is in force", run_show},
    Command{"system", "", "TEXT|show|off", "instructions in front of the conversation", run_system},
    Command{"kv", "", "[WORD]", "what was read of it: list, save, drop, prefetch", run_kv},
    Command{"model", "", "PATH", "load another model", run_model},
    Command{"quit", "exit", "", "leave", run_quit},
};

const Command* find_command(std::string_view name) {
    const Command* by_prefix = nullptr;
    for (const Command& command : kCommands) {
        if (command.name == name || (!command.alias.empty() && command.alias == name))
            return &command;
        if (!command.name.starts_with(name)) continue;
        if (by_prefix != nullptr) return nullptr;
        by_prefix = &command;
    }
    return name.empty() ? nullptr : by_prefix;
}

void run_checked(ChatApp& app, std::string_view line) {
    const auto [word, arguments] = split(line);
    const std::string_view name = word.substr(1);
    const Command* command = find_command(name);
    if (command == nullptr) {
        std::vector<std::string_view> names;
        names.reserve(std::size(kCommands));
        for (const Command& known : kCommands)
            names.push_back(known.name);
        usage(word, "no such command",
              "did you mean /" + std::string(nearest(name, names)) +
                  " (a message that begins with a slash is written with two)");
    }
    if (arguments == "--help")
        return app.say("/" + std::string(command->name) + " " + std::string(command->arguments) +
                       " - " + std::string(command->help));
    command->run(app, arguments);
}

}  // namespace

std::span<const Command> commands() {
    return kCommands;
}

void run_command(ChatApp& app, std::string_view line) {
    try {
        run_checked(app, line);
    } catch (const core::Error& error) {
        app.refuse(error.sentence());
    }
}

std::vector<std::string> complete_command(std::string_view line) {
    std::vector<std::string> found;
    const size_t space = line.find(' ');
    if (!line.starts_with('/')) return found;
    if (space == std::string_view::npos) {
        for (const Command& command : kCommands)
            if (command.name.starts_with(line.substr(1)))
                found.push_back("/" + std::string(command.name));
    } else if (line.substr(0, space) == "/set") {
        const std::string_view begun = line.substr(space + 1);
        for (const Parameter& parameter : parameters())
            if (parameter.name.starts_with(begun)) found.emplace_back(parameter.name);
    } else if (line.substr(0, space) == "/show") {
        for (const std::string_view word : {"params", "model", "keys"})
            if (word.starts_with(line.substr(space + 1))) found.emplace_back(word);
    } else if (line.substr(0, space) == "/kv") {
        for (const KvWord& word : kKvWords)
            if (word.name.starts_with(line.substr(space + 1))) found.emplace_back(word.name);
    }
    return found;
}

std::string help_text() {
    std::string text = "Commands (a unique beginning is enough):\n";
    for (const Command& command : kCommands) {
        std::string left = "  /" + std::string(command.name) + " " + std::string(command.arguments);
        left.resize(std::max<size_t>(core::display_width(left) + 2, 28), ' ');
        text += left + std::string(command.help) + "\n";
    }
    text += R"(  //TEXT                    send a text that begins with a slash
Keys:
  Enter send, while answering queue     C-j or M-Enter newline
  C-c stop; else clear the line         C-d on an empty line: quit
  PgUp PgDn scroll, C-End to the end    C-z suspend, C-l repaint
  C-x r or F5 another answer            C-x [ and C-x ] other answers
  C-x n new chat, C-x q quit            C-x ? or F1 this help
  Everything else edits the line as readline does (C-r search, C-y yank, ...).)";
    return text;
}

}  // namespace app
