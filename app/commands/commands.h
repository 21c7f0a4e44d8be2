// Everything a user can do, in one table: what /NAME, a key, Tab, /help and F1 know comes from it.
//
// Commands live in groups, one file each (commands_*.cpp). A group's commands are all typed behind
// a slash, or all on keys alone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace app {

class ChatApp;
class KeyBindings;

struct Command {
    std::string_view name;   // without the slash; also the action's name where keys are configured
    std::string_view alias;  // empty: none
    std::string_view arguments;
    std::string_view help;
    // What runs it without arguments: "C-x r|F5". Names as ui::key_name() gives them.
    std::string_view keys = {};
    // May throw core::Error; run_command() shows it.
    void (*run)(ChatApp& app, std::string_view arguments) = nullptr;
    // What Tab offers for the last word of the arguments; null: nothing.
    std::vector<std::string> (*complete)(const ChatApp& app, std::string_view arguments) = nullptr;
    // Whether its keys mean this now; null: always. Else they belong to the line editor.
    bool (*applies)(const ChatApp& app) = nullptr;
};

enum class Reach : uint8_t {
    slash,   // typed behind a slash, and on keys everywhere
    keys,    // on keys everywhere
    browse,  // on keys while a message of the transcript is selected
};

struct CommandGroup {
    std::string_view title;
    std::span<const Command> commands;
    Reach reach = Reach::slash;
};

// The groups, each in its file.
CommandGroup conversation_commands();  // commands_kept.cpp
CommandGroup message_commands();       // commands_message.cpp
CommandGroup instruction_commands();   // commands_instructions.cpp
CommandGroup run_commands();           // commands_run.cpp
CommandGroup tree_commands();          // commands_tree.cpp
CommandGroup context_commands();       // commands_context.cpp
CommandGroup settings_commands();      // commands_settings.cpp
CommandGroup bias_commands();          // commands_bias.cpp
CommandGroup model_commands();         // commands_models.cpp
CommandGroup general_commands();       // commands_general.cpp
CommandGroup key_commands();           // commands_keys.cpp
CommandGroup browse_commands();        // commands_browse.cpp

std::span<const CommandGroup> command_groups();

// Runs "/name arguments". A unique prefix of a name is enough; an unknown name is answered with the
// nearest one. Every core::Error becomes a sentence in the transcript.
void run_command(ChatApp& app, std::string_view line);

// Runs what is on a key ("F5", "C-x r"), everywhere or while browsing. False: nothing is, now.
bool run_key(ChatApp& app, std::string_view key, bool browsing = false);

// What Tab offers for a line that begins with a slash.
std::vector<std::string> complete_command(const ChatApp& app, std::string_view line);

// Commands and keys, for /help and F1.
std::string help_text(const KeyBindings& bindings);
// "/regen [--n K] (C-x r, F5): ..." of one.
std::string help_text(const Command& command, bool slash, const KeyBindings& bindings);

}  // namespace app
