#include "app/commands/commands.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "app/chat/attachments.h"
#include "app/chat/chat_app.h"
#include "app/chat/panel.h"
#include "app/commands/command_words.h"
#include "app/commands/key_bindings.h"
#include "app/settings/nearest.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr size_t kHelpColumn = 34;

std::string listed_keys(std::string_view keys) {
    std::string text;
    any_key(keys, [&text](std::string_view key) {
        text += (text.empty() ? "" : ", ") + std::string(key);
        return false;
    });
    return text;
}

// By name, by alias, or by the beginning of one name alone.
const Command* find_command(std::string_view name) {
    std::vector<const Command*> by_prefix;
    for (const CommandGroup& group : command_groups()) {
        if (group.reach != Reach::slash) continue;
        for (const Command& command : group.commands) {
            if (command.name == name || (!command.alias.empty() && command.alias == name))
                return &command;
            if (command.name.starts_with(name)) by_prefix.push_back(&command);
        }
    }
    return by_prefix.size() == 1 && !name.empty() ? by_prefix.front() : nullptr;
}

std::vector<std::string_view> slash_names() {
    std::vector<std::string_view> names;
    for (const CommandGroup& group : command_groups())
        if (group.reach == Reach::slash)
            for (const Command& command : group.commands)
                names.push_back(command.name);
    return names;
}

void run_checked(ChatApp& app, std::string_view line) {
    const auto [word, arguments] = split(line);
    const Command* command = find_command(word.substr(1));
    if (command == nullptr) {
        const auto meant = similar(word.substr(1), slash_names());
        usage(word, "no such command",
              (meant ? "did you mean /" + std::string(*meant) : "/help lists them") +
                  " (a message that begins with a slash is written with two)");
    }
    if (arguments == "--help") return app.say(help_text(*command, true, app.bindings()));
    command->run(app, arguments);
}

}  // namespace

std::span<const CommandGroup> command_groups() {
    static const std::array groups = {
        message_commands(), run_commands(),     conversation_commands(), instruction_commands(),
        tree_commands(),    context_commands(), settings_commands(),     bias_commands(),
        model_commands(),   general_commands(), key_commands(),          browse_commands()};
    return groups;
}

void run_command(ChatApp& app, std::string_view line) {
    try {
        run_checked(app, line);
    } catch (const core::Error& error) {
        app.refuse(error.sentence());
    }
}

bool run_key(ChatApp& app, std::string_view key, bool browsing) {
    for (const CommandGroup& group : command_groups()) {
        if ((group.reach == Reach::browse) != browsing) continue;
        for (const Command& command : group.commands) {
            const bool bound = any_key(app.bindings().keys_of(command),
                                       [key](std::string_view each) { return each == key; });
            if (!bound || (command.applies != nullptr && !command.applies(app))) continue;
            // What cannot be without arguments is begun in the composer.
            if (!command.arguments.empty() && command.arguments.front() != '[') {
                app.compose("/" + std::string(command.name) + " ");
                return true;
            }
            try {
                command.run(app, {});
            } catch (const core::Error& error) {
                app.refuse(error.sentence());
            }
            return true;
        }
    }
    return false;
}

std::vector<std::string> complete_command(const ChatApp& app, std::string_view line) {
    std::vector<std::string> found;
    if (!line.starts_with('/')) return complete_mention(line);
    const size_t space = line.find(' ');
    if (space != std::string_view::npos) {
        const Command* command = find_command(line.substr(1, space - 1));
        if (command == nullptr || command->complete == nullptr) return found;
        return command->complete(app, line.substr(space + 1));
    }
    for (const std::string_view name : slash_names())
        if (name.starts_with(line.substr(1))) found.push_back("/" + std::string(name));
    return found;
}

std::string help_text(const Command& command, bool slash, const KeyBindings& bindings) {
    const std::string keys = listed_keys(bindings.keys_of(command));
    std::string left = slash ? "/" + std::string(command.name) : keys;
    if (slash && !command.arguments.empty()) left += " " + std::string(command.arguments);
    std::string text = left + ": " + std::string(command.help);
    if (slash && !command.alias.empty()) text += " (also /" + std::string(command.alias) + ")";
    if (slash && !keys.empty()) text += " [" + keys + "]";
    return text;
}

std::string help_text(const KeyBindings& bindings) {
    std::string text = "A unique beginning of a command is enough; each knows --help.\n";
    for (const CommandGroup& group : command_groups()) {
        text += std::string(group.title) + ":\n";
        const bool slash = group.reach == Reach::slash;
        for (const Command& command : group.commands) {
            const std::string keys = listed_keys(bindings.keys_of(command));
            std::string left = "  " + (slash ? "/" + std::string(command.name) : keys);
            if (slash && !command.arguments.empty()) left += " " + std::string(command.arguments);
            left.resize(left.size() + std::max(kHelpColumn, core::display_width(left) + 2) -
                            core::display_width(left),
                        ' ');
            text += left + std::string(command.help);
            if (slash && !keys.empty()) text += " [" + keys + "]";
            text += "\n";
        }
    }
    text += "Panels: j k g G PgUp PgDn move, / filters, Enter chooses, q closes; and\n";
    for (const std::unique_ptr<Panel>& panel : all_panels()) {
        text += "  in " + panel->title() + ":";
        for (const PanelKey& key : panel->keys())
            text += " " + std::string(key.key) + " " + std::string(key.help) + ",";
        text.back() = '\n';
    }
    text +=
        "  //TEXT sends a text that begins with a slash. Everything else edits the line as "
        "readline "
        "does (C-r search, C-y yank, ...).";
    return text;
}

}  // namespace app
