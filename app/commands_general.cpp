// Commands of the program: help, parameters, model, cache.
#include <algorithm>
#include <array>
#include <string>

#include "app/chat_app.h"
#include "app/command_words.h"
#include "app/commands.h"
#include "app/parameters.h"

namespace app {
namespace {

std::vector<std::string> beginning_with(std::string_view begun,
                                        std::span<const std::string_view> words) {
    std::vector<std::string> found;
    for (const std::string_view word : words)
        if (word.starts_with(begun)) found.emplace_back(word);
    return found;
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

void run_help(ChatApp& app, std::string_view arguments) {
    if (arguments.empty()) return app.say(help_text());
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

std::vector<std::string> complete_set(const ChatApp& /*app*/, std::string_view begun) {
    std::vector<std::string> found;
    for (const Parameter& parameter : parameters())
        if (parameter.name.starts_with(begun)) found.emplace_back(parameter.name);
    return found;
}

constexpr std::array<std::string_view, 3> kShowWords = {"params", "model", "keys"};

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

std::vector<std::string> complete_show(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, kShowWords);
}

void run_model(ChatApp& app, std::string_view arguments) {
    if (arguments.empty()) return run_show(app, "model");
    require_idle(app, "/model");
    app.session().load(std::string(arguments), app.now());
}

void run_quit(ChatApp& app, std::string_view /*arguments*/) {
    app.end_of_input();
}

constexpr std::array kCommands = {
    Command{"set", "", "NAME VALUE|reset", "sampling, from the next token on", "", run_set,
            complete_set},
    Command{"show", "", "params|model|keys", "what is in force", "", run_show, complete_show},
    Command{"system", "", "TEXT|show|off", "instructions in front of the conversation", "",
            run_system},
    Command{"kv", "", "[WORD]", "what was read of it: list, save, drop, prefetch", "", run_kv,
            complete_kv},
    Command{"model", "", "PATH", "load another model", "", run_model},
    Command{"help", "?", "[COMMAND]", "commands and keys", "C-x ?|F1", run_help, complete_help},
    Command{"quit", "exit", "", "leave", "C-x q", run_quit},
};

}  // namespace

CommandGroup general_commands() {
    return {.title = "Program", .commands = kCommands};
}

}  // namespace app
