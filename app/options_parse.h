// What the files that read the command line (options*.cpp) share. They alone use CLI11.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "app/options.h"

namespace app {

// Throws core::Error(usage).
[[noreturn]] void refuse(std::string object, std::string problem, std::string advice);

// Parses; gives the text of --help or --version when that is what was asked for. Throws
// core::Error(usage).
std::optional<PrintText> parse_arguments(CLI::App& app, const std::vector<std::string>& arguments);

// Wrong names are told at once, not after a load. Throws core::Error(usage).
void check_names(const std::string& isa, const std::string& chat_format);

// "a, b, c"
std::string list_of(std::span<const std::string_view> names);

void add_kv_folder(CLI::App& app, std::string& folder);

// Options that stand for configuration keys, so that flags are one of the layers of a value.
class ConfigOptions {
  public:
    // --config, --strict-config, and where models are looked for.
    void add_to(CLI::App& app);
    // `names` as CLI11 takes them; the last one is told in mistakes. `help`: empty = the key's.
    CLI::Option* add(CLI::App& app, const std::string& names, const std::string& key,
                     const std::string& type_name, std::string help = {});
    // A flag that sets the key to `value`.
    void add_flag(CLI::App& app, const std::string& name, const std::string& key,
                  const std::string& value, const std::string& help);

    // The layers with what was given. Throws core::Error(usage) for a flag's value, Error(config)
    // for a missing file or with --strict-config for any mistake.
    Config load() const;
    ConfigSources sources() const;

  private:
    std::vector<ConfigFlag> flags_;
    std::vector<std::string> model_folders_;
    std::string file_;
    bool strict_ = false;
};

// Nothing when the first argument names no subcommand.
std::optional<Invocation> parse_subcommand(const std::vector<std::string>& arguments);
// The chat and the one-shot program.
Invocation parse_main(const std::vector<std::string>& arguments, Terminals terminals);

}  // namespace app
