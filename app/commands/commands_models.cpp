// Commands of models: which is loaded, and how.
#include <array>
#include <charconv>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/models/model_list.h"
#include "core/base/cpu.h"
#include "core/base/units.h"

namespace app {
namespace {

void show_model(ChatApp& app) {
    const auto& model = app.session().model();
    if (!model) return app.say("No model is loaded. /model PATH loads one.");
    app.say(model->name + ": family " + model->family + ", format " + model->format + ", context " +
            std::to_string(model->context) + ", vocabulary " + std::to_string(model->vocab) +
            ", weights " + core::human_bytes(model->weight_bytes) + ", KV " +
            core::human_bytes(model->kv_bytes) + ", " + app.session().loaded_path());
}

void list_models(ChatApp& app) {
    const LoadSettings load = app.settings().load_settings({});
    std::string text;
    size_t number = 0;
    for (const std::string& row :
         model_rows(app.models().models(), load.context, load.kv, core::available_memory()))
        text += "#" + std::to_string(++number) + "  " + row + "\n";
    if (app.models().searching()) text += "still looking ...\n";
    if (text.empty()) text = "No models found. models.dirs in config.toml names folders.\n";
    text.pop_back();
    app.say(text);
}

// "--ctx 4096 --kv q8 --threads 4" behind the name; what is said once holds for the session.
void take_options(ChatApp& app, const std::vector<std::string_view>& words) {
    constexpr std::string_view kKnown = "there are --ctx N, --kv TYPE and --threads N";
    LoadWish wish;
    for (size_t i = 1; i < words.size(); i += 2) {
        if (i + 1 == words.size()) usage("/model", std::string(words[i]) + " has no value", kKnown);
        if (words[i] == "--ctx") {
            wish.context = number_in("--ctx", words[i + 1], 1, 1U << 30U);
        } else if (words[i] == "--kv") {
            wish.kv = kv_choice_named(words[i + 1]);
            if (!wish.kv)
                usage("--kv " + std::string(words[i + 1]), "unknown", "use f32, f16 or q8");
        } else if (words[i] == "--threads") {
            wish.threads = number_in("--threads", words[i + 1], 1, 1024);
        } else {
            usage("/model " + std::string(words[i]), "unknown", kKnown);
        }
    }
    app.settings().override_load(wish);
}

void run_model(ChatApp& app, std::string_view arguments) {
    const std::vector<std::string_view> words = words_of(arguments);
    if (words.empty()) return app.toggle_panel("models");
    if (words[0] == "show") return show_model(app);
    if (words[0] == "list") return list_models(app);
    require_idle(app, "/model");
    take_options(app, words);
    app.load_model(std::string(words[0]));
}

std::vector<std::string> complete_model(const ChatApp& app, std::string_view begun) {
    if (begun.find(' ') != std::string_view::npos)
        return beginning_with(last_word(begun), {"--ctx", "--kv", "--threads"});
    std::vector<std::string> words = app.models().names();
    words.insert(words.begin(), {"list", "show"});
    return beginning_with(begun, words);
}

void run_unload(ChatApp& app, std::string_view /*arguments*/) {
    app.report(app.session().unload());
}

void run_reload(ChatApp& app, std::string_view /*arguments*/) {
    require_idle(app, "/reload");
    if (app.session().loaded_path().empty())
        usage("/reload", "no model was loaded yet", "/model PATH loads one");
    app.load_model(app.session().loaded_path());
}

constexpr std::array kCommands = {
    Command{"model", "", "[NAME|PATH|#N|list|show] [--ctx N] [--kv TYPE] [--threads N]",
            "load another model; alone: the models of this machine", "C-x m|F3", run_model,
            complete_model},
    Command{"unload", "", "", "let go of the model and its memory", "", run_unload},
    Command{"reload", "", "", "load the model again", "", run_reload},
};

}  // namespace

CommandGroup model_commands() {
    return {.title = "Models", .commands = kCommands};
}

}  // namespace app
