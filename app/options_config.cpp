// Flags that are a layer of the configuration, and the commands that have no others.
#include <algorithm>
#include <utility>

#include "app/commands/key_bindings.h"
#include "app/options_parse.h"
#include "core/base/error.h"

namespace app {

void ConfigOptions::add_to(CLI::App& app) {
    app.add_option("--config", file_, "configuration file in the place of the user's")
        ->type_name("FILE");
    app.add_flag("--strict-config", strict_, "end with status 3 when it has mistakes");
    app.add_option("--models-dir", model_folders_, "folder with models; may be repeated")
        ->type_name("DIR")
        ->allow_extra_args(false);
}

CLI::Option* ConfigOptions::add(CLI::App& app, const std::string& names, const std::string& key,
                                const std::string& type_name, std::string help) {
    const size_t dot = key.find('.');
    const ConfigKey* known = find_config_key(key.substr(0, dot), key.substr(dot + 1));
    MOXIE_CHECK(known != nullptr);
    if (help.empty()) help = known->help;
    const size_t comma = names.rfind(',');
    const std::string flag = comma == std::string::npos ? names : names.substr(comma + 1);
    const auto take = [this, key, flag](const std::string& text) {
        flags_.push_back({.key = key, .flag = flag, .text = text});
    };
    auto* option = app.add_option_function<std::string>(names, take, help)->type_name(type_name);
    if (!known->fallback.empty()) option->default_str(std::string(known->fallback));
    return option;
}

void ConfigOptions::add_flag(CLI::App& app, const std::string& name, const std::string& key,
                             const std::string& value, const std::string& help) {
    app.add_flag_callback(
        name,
        [this, name, key, value] { flags_.push_back({.key = key, .flag = name, .text = value}); },
        help);
}

ConfigSources ConfigOptions::sources() const {
    ConfigSources sources = process_sources();
    sources.chosen_file = file_;
    sources.flags = flags_;
    std::string folders;
    for (const std::string& folder : model_folders_)
        folders += (folders.empty() ? "" : ",") + folder;
    if (!folders.empty())
        sources.flags.push_back({.key = "models.dirs", .flag = "--models-dir", .text = folders});
    return sources;
}

Config ConfigOptions::load() const {
    Config config = Config::load(sources());
    if (strict_) {
        require_no_mistake(config.notices());
        require_no_mistake(KeyBindings(config).notices());
    }
    return config;
}

Invocation parse_config(const std::vector<std::string>& arguments) {
    CLI::App app("Tells what is configured, and where.", "moxie config");
    ConfigCmdOptions options;
    ConfigOptions common;
    common.add_to(app);
    app.require_subcommand(1);
    app.fallthrough();  // --json behind them too
    app.add_subcommand("path", "the file that you may write");
    auto* show = app.add_subcommand("show", "the values in force");
    show->add_option("key", options.key, "a key or a section; default: all");
    show->add_flag("--origin", options.origin, "with the file, variable or flag that said so");
    app.add_subcommand("check", "looks for mistakes; status 3 when there are any");
    app.add_subcommand("edit", "opens the file in $VISUAL or $EDITOR");
    app.add_flag("--json", options.json, "JSON instead of text");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.sources = common.sources();
    options.action = app.got_subcommand("path")    ? ConfigAction::path
                     : app.got_subcommand("check") ? ConfigAction::check
                     : app.got_subcommand("edit")  ? ConfigAction::edit
                                                   : ConfigAction::show;
    return options;
}

Invocation parse_models(const std::vector<std::string>& arguments) {
    CLI::App app("Lists the models of this machine and whether they fit.", "moxie models");
    ModelsOptions options;
    ConfigOptions common;
    common.add_to(app);
    common.add(app, "--ctx", "model.ctx", "N", "tokens of context that shall fit");
    common.add(app, "--kv", "model.kv_type", "TYPE", "type of the KV cache: f32, f16, q8");
    app.add_flag("--json", options.json, "JSON instead of text");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.config = common.load();
    return options;
}

}  // namespace app
