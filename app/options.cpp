#include "app/options.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "app/commands/key_bindings.h"
#include "app/options_parse.h"
#include "core/base/error.h"
#include "core/kernels/kernels.h"
#include "core/text/chat_format.h"

namespace app {

void refuse(std::string object, std::string problem, std::string advice) {
    throw core::Error(core::ErrorKind::usage, std::move(object), std::move(problem),
                      std::move(advice));
}

namespace {

// CLI11 says it in sentences of its own; the form is ours.
std::string as_problem(std::string text) {
    if (!text.empty() && text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
        text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    while (text.ends_with('.') || text.ends_with('\n'))
        text.pop_back();
    std::ranges::replace(text, '\n', ' ');
    return text;
}

}  // namespace

std::optional<PrintText> parse_arguments(CLI::App& app, const std::vector<std::string>& arguments) {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    try {
        app.parse(reversed);
    } catch (const CLI::CallForHelp&) {
        return PrintText{app.help()};
    } catch (const CLI::CallForVersion&) {
        return PrintText{"moxie " MOXIE_VERSION "\n"};
    } catch (const CLI::ParseError& error) {
        refuse("", as_problem(error.what()), "see " + app.get_name() + " --help");
    }
    return std::nullopt;
}

void check_names(const std::string& isa, const std::string& chat_format) {
    core::select_kernels(isa);
    if (!chat_format.empty()) core::ChatFormat::named(chat_format);
}

std::string list_of(std::span<const std::string_view> names) {
    std::string list;
    for (const std::string_view name : names)
        list += (list.empty() ? "" : ", ") + std::string(name);
    return list;
}

void add_kv_folder(CLI::App& app, std::string& folder) {
    app.add_option("--kv-dir", folder,
                   "folder for what was read of conversations; default: $XDG_CACHE_HOME/moxie/kv")
        ->type_name("DIR");
}

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

Invocation parse_command_line(const std::vector<std::string>& arguments, Terminals terminals) {
    auto subcommand = parse_subcommand(arguments);
    return subcommand ? *std::move(subcommand) : parse_main(arguments, terminals);
}

}  // namespace app
