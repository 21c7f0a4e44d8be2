// Commands of what is configured: parameters, presets, files, the log.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/chat/chat_settings.h"
#include "app/chat/errands.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/commands/show.h"
#include "app/settings/config_text.h"
#include "app/settings/parameters.h"
#include "app/settings/program_log.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/text/chat_format.h"

namespace app {
namespace {

// --- parameters -------------------------------------------------------------------------------

// The template is chosen with the model, which is loaded again.
void set_template(ChatApp& app, std::string_view name) {
    const std::string object = "/set template " + std::string(name);
    core::ChatFormat::named(name);  // or there is none of that name
    require_idle(app, object);
    if (app.session().loaded_path().empty())
        usage(object, "no model is loaded", "/model PATH loads one");
    app.settings().override_load({.template_name = std::string(name)});
    app.load_model(app.session().loaded_path());
}

void run_set(ChatApp& app, std::string_view arguments) {
    std::string spaced(arguments);
    // "temperature=1", "temperature+=0.1" and "temperature 1" are the same thing.
    if (const size_t equals = spaced.find('='); equals != std::string::npos && equals > 0) {
        const bool changes = spaced[equals - 1] == '+' || spaced[equals - 1] == '-';
        spaced.replace(changes ? equals - 1 : equals, changes ? 0 : 1, " ");
    }
    const auto [name, value] = split(spaced);
    if (name.empty()) return run_show(app, "params");
    if (name == "template") return set_template(app, value);
    if (name == "reset") {
        app.settings().reset(value, app.session());
        return app.toast(value.empty() ? "parameters reset" : std::string(value) + " reset",
                         app.now());
    }
    app.settings().set(name, value, app.session());
    if (name == "max_tokens") return app.toast("max_tokens " + std::string(value), app.now());
    const Parameter& parameter = parameter_named(name);
    const bool random = parameter.name == "seed" && !app.session().fixed_seed();
    app.toast(std::string(parameter.name) + " " +
                  (random ? "random" : value_of(app.session().sampling(), parameter)),
              app.now());
}

std::vector<std::string> complete_set(const ChatApp& /*app*/, std::string_view begun) {
    std::vector<std::string> names = {"max_tokens", "reset", "template"};
    for (const Parameter& parameter : parameters())
        names.emplace_back(parameter.name);
    if (begun.starts_with("template "))
        names.assign(core::chat_format_names().begin(), core::chat_format_names().end());
    return beginning_with(last_word(begun), names);
}

void run_seed(ChatApp& app, std::string_view arguments) {
    const chat::Conversation& conversation = app.session().conversation();
    const chat::TurnId answer = conversation.last_answer();
    if (arguments == "lock" && answer == 0)
        usage("/seed lock", "there is no answer yet", "it keeps the seed of the last one");
    const std::string value = arguments == "lock"
                                  ? std::to_string(conversation.turn(answer).sampling.seed)
                                  : std::string(arguments);
    if (value.empty())
        usage("/seed", "a number is missing", "use /seed N, /seed lock or /seed random");
    run_set(app, "seed " + value);
}

std::vector<std::string> complete_seed(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, {"random", "lock"});
}

// --- presets ----------------------------------------------------------------------------------

void list_presets(ChatApp& app) {
    std::string text;
    for (const std::string& name : app.settings().presets().names())
        text += (text.empty() ? "" : "\n") + name;
    app.say(text.empty() ? "There are no presets yet. /preset save NAME makes one." : text);
}

// What the preset would change.
void compare_preset(ChatApp& app, const std::string& name) {
    SamplingLayers layers;
    layers.put(SamplingSource::live, sampling_values({.sampling = app.session().sampling(),
                                                      .fixed_seed = app.session().fixed_seed()}));
    std::string text;
    for (const auto& [parameter, value] : app.settings().presets().load(name)) {
        const auto found = layers.layer(SamplingSource::live).find(parameter);
        const std::string now =
            found == layers.layer(SamplingSource::live).end() ? "-1" : found->second;
        SamplingLayers one;
        one.put(SamplingSource::live, {{parameter, value}});
        const SamplingValues wanted = sampling_values(one.choice());
        const auto then = wanted.find(parameter);
        const std::string text_then = then == wanted.end() ? value : then->second;
        if (text_then != now)
            text.append(text.empty() ? "" : "\n")
                .append(parameter)
                .append(" ")
                .append(now)
                .append(" → ")
                .append(text_then);
    }
    app.say(text.empty() ? "All that the preset says is in force already." : text);
}

void run_preset(ChatApp& app, std::string_view arguments) {
    const auto [word, rest] = split(arguments);
    const std::string name(rest);
    if (word.empty() || word == "list") return list_presets(app);
    if (name.empty())
        usage("/preset " + std::string(word), "the name is missing", "give it behind");
    if (word == "load") {
        app.settings().use_preset(name, app.session());
        app.toast("preset " + name, app.now());
    } else if (word == "save") {
        const SamplingChoice choice{.sampling = app.session().sampling(),
                                    .fixed_seed = app.session().fixed_seed(),
                                    .max_tokens = app.settings().layers().choice().max_tokens};
        app.say("Saved as " + app.settings().presets().save(name, sampling_values(choice)) + ".");
    } else if (word == "diff") {
        compare_preset(app, name);
    } else {
        usage("/preset " + std::string(word), "unknown", "there are list, load, save and diff");
    }
}

std::vector<std::string> complete_preset(const ChatApp& app, std::string_view begun) {
    const size_t space = begun.rfind(' ');
    if (space == std::string_view::npos)
        return beginning_with(begun, {"list", "load", "save", "diff"});
    return beginning_with(begun.substr(space + 1), app.settings().presets().names());
}

// --- files and log ----------------------------------------------------------------------------

std::string notices_text(const Config& config) {
    std::string text;
    for (const ConfigNotice& notice : config.notices())
        text += (text.empty() ? "" : "\n") + notice.text;
    return text;
}

void run_config_command(ChatApp& app, std::string_view arguments) {
    const auto [word, rest] = split(arguments);
    if (word == "reload") {
        app.settings().reload(app.session());
        app.on_configured();
        const std::string notices = notices_text(app.settings().config());
        app.say(
            "Configuration read again; threads, cache folder and log file stay until the next "
            "start." +
            (notices.empty() ? "" : "\n" + notices));
    } else if (word == "path") {
        app.say(app.settings().config().file_to_edit());
    } else if (word == "check") {
        const std::string notices = notices_text(app.settings().config());
        app.say(notices.empty() ? "No mistakes found." : notices);
    } else if (word.empty() || word == "show") {
        app.say(config_listing(app.settings().config(), std::string(rest), true));
    } else {
        usage("/config " + std::string(word), "unknown",
              "there are show, path, check and reload; moxie config edit opens the file");
    }
}

std::vector<std::string> complete_config(const ChatApp& /*app*/, std::string_view begun) {
    const size_t space = begun.rfind(' ');
    if (space == std::string_view::npos)
        return beginning_with(begun, {"show", "path", "check", "reload"});
    std::vector<std::string> names;
    std::ranges::transform(config_keys(), std::back_inserter(names), full_name);
    return beginning_with(begun.substr(space + 1), names);
}

void run_log(ChatApp& app, std::string_view arguments) {
    if (arguments.empty())
        return app.say("Log: " + log_path() + ", level " +
                       std::string(log_level_name(core::log_level())) + ".");
    if (arguments == "show") return page_file(app, log_path());
    const auto level = log_level_named(arguments);
    if (!level)
        usage("/log " + std::string(arguments), "no such level",
              "there are show, debug, info, warning and error");
    core::set_log_level(*level);
    app.toast("log level " + std::string(arguments), app.now());
}

std::vector<std::string> complete_log(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, {"show", "debug", "info", "warning", "error"});
}

// "TEXT..." each of which may stand in quotes, or "off".
void run_stop_at(ChatApp& app, std::string_view arguments) {
    if (arguments == "off") {
        app.session().set_stop({});
    } else if (!arguments.empty()) {
        app.session().set_stop(quoted_words(arguments));
    }
    std::string texts;
    for (const std::string& text : app.session().stop_texts())
        texts += (texts.empty() ? "" : ", ") + ("\"" + text + "\"");
    app.say(texts.empty() ? "Answers end where the model ends them."
                          : "Answers end at " + texts + ", from the next one on.");
}

std::vector<std::string> complete_stop_at(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, {"off"});
}

// Alone it opens and folds.
void run_think(ChatApp& app, std::string_view arguments) {
    const bool folded = app.feed().thinking() == ThinkingView::fold;
    const auto view = arguments.empty()
                          ? std::optional(folded ? ThinkingView::show : ThinkingView::fold)
                          : thinking_view_named(arguments);
    if (!view)
        usage(
            "/think " + std::string(arguments), "unknown",
            "there are fold, show and hide; whether a model thinks cannot be set in this version");
    app.feed().set_thinking(*view);
}

std::vector<std::string> complete_think(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, {"fold", "show", "hide"});
}

void run_theme(ChatApp& app, std::string_view arguments) {
    if (arguments.empty()) {
        std::string names;
        for (const std::string& name : ui::Theme::names())
            names += (names.empty() ? "" : ", ") + name;
        return app.say("Theme: " + app.theme_name() + ". There are " + names + ".");
    }
    app.use_theme(std::string(arguments));
    app.toast("theme " + std::string(arguments), app.now());
}

std::vector<std::string> complete_theme(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, ui::Theme::names());
}

constexpr std::array kCommands = {
    Command{"set", "", "NAME VALUE|reset [NAME]", "sampling, from the next token on; the template",
            "", run_set, complete_set},
    Command{"seed", "", "N|random|lock", "where the chances of answers come from", "", run_seed,
            complete_seed},
    Command{"stop-at", "", "[TEXT...|off]", "texts that end an answer", "", run_stop_at,
            complete_stop_at},
    Command{"show", "", kShowArguments, "what is in force, who set it, and what it takes", "",
            run_show, complete_show},
    Command{"preset", "", "list|load|save|diff [NAME]", "named sets of parameters", "", run_preset,
            complete_preset},
    Command{"config", "", "show [KEY]|path|check|reload", "the configuration and its files", "",
            run_config_command, complete_config},
    Command{"theme", "", "[NAME]", "colours; a file that changes shows at once", "", run_theme,
            complete_theme},
    Command{"think", "", "[fold|show|hide]", "reasoning in front of answers", "C-x v", run_think,
            complete_think},
    Command{"log", "", "[show|LEVEL]", "where the log is, and how much is in it", "", run_log,
            complete_log},
};

}  // namespace

CommandGroup settings_commands() {
    return {.title = "Settings", .commands = kCommands};
}

}  // namespace app
