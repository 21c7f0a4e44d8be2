// Slash commands: a table of names, arguments, help and functions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace app {

class ChatApp;

struct Command {
    std::string_view name;  // without the slash
    std::string_view alias;
    std::string_view arguments;
    std::string_view help;
    // May throw core::Error; run_command() shows it.
    void (*run)(ChatApp& app, std::string_view arguments);
};

std::span<const Command> commands();

// Runs "/name arguments". A unique prefix of a name is enough; an unknown name is answered with the
// nearest one. Every core::Error becomes a sentence in the transcript.
void run_command(ChatApp& app, std::string_view line);

// What Tab offers for a line that begins with a slash.
std::vector<std::string> complete_command(std::string_view line);

// The keys of the program, for /help and C-x ?.
std::string help_text();

}  // namespace app
