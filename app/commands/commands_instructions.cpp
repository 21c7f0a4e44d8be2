// Commands of instructions and prompts: what stands in front of a conversation, and texts that are
// kept under names.
#include <array>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/chat/errands.h"
#include "app/chat/personas.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"

namespace app {
namespace {

void set_system(ChatApp& app, const std::string& text) {
    app.session().set_system(text);
    app.say(text.empty() ? "System prompt removed."
                         : "System prompt set; it is in force from the next answer on.");
}

void run_system(ChatApp& app, std::string_view arguments) {
    if (arguments.empty() || arguments == "show") {
        const std::string& text = app.session().conversation().system();
        app.say(text.empty() ? "No system prompt. /system TEXT sets one."
                             : "System prompt: " + text);
    } else if (arguments == "edit") {
        edit_text(app, "system", app.session().conversation().system(),
                  [](ChatApp& back, const std::string& text) { set_system(back, text); });
    } else {
        set_system(app, arguments == "off" ? "" : instructions_of(std::string(arguments)));
    }
}

std::vector<std::string> complete_system(const ChatApp& /*app*/, std::string_view begun) {
    return begun.starts_with('@') ? complete_instructions(begun)
                                  : beginning_with(begun, {"show", "edit", "off"});
}

// --- texts with names -------------------------------------------------------------------------

// What personas and prompts have different.
struct Kind {
    std::string_view command;
    NamedFiles (*files)();
    void (*use)(ChatApp& app, const std::string& name, const std::string& text);
    // What `save NAME` keeps; empty: `nothing` says why there is nothing.
    std::string (*current)(const ChatApp& app);
    std::string_view nothing;
};

void use_persona(ChatApp& app, const std::string& name, const std::string& text) {
    app.session().set_system(text);
    app.say("Persona " + name + ": its text is the system prompt from the next answer on.");
}

std::string system_prompt(const ChatApp& app) {
    return app.session().conversation().system();
}

void use_prompt(ChatApp& app, const std::string& /*name*/, const std::string& text) {
    app.compose(text);
}

// What the user wrote last.
std::string last_message(const ChatApp& app) {
    const chat::Conversation& conversation = app.session().conversation();
    std::string text;
    for (const chat::TurnId id : conversation.line())
        if (conversation.turn(id).role == chat::Role::user) text = conversation.turn(id).text;
    return text;
}

constexpr Kind kPersona{"/persona", personas, use_persona, system_prompt,
                        "there is no system prompt to keep"};
constexpr Kind kPrompt{"/prompt", prompts, use_prompt, last_message,
                       "there is no message to keep yet"};

const std::vector<std::string> kWords = {"list", "save", "edit", "rm"};

void list_texts(ChatApp& app, const Kind& kind) {
    std::string text;
    for (const std::string& name : kind.files().names())
        text += (text.empty() ? "" : "\n") + name +
                (text_of(kind.files().read(name)) == kind.current(app) ? "  ● in use" : "");
    const std::string command(kind.command);
    app.say(text.empty() ? "There are none yet. " + command + " save NAME keeps one." : text);
}

// "NAME [TEXT]": the text, or what there is now.
void save_text(ChatApp& app, const Kind& kind, std::string_view arguments) {
    const auto [name, words] = split(arguments);
    const std::string command = std::string(kind.command) + " save";
    if (name.empty()) usage(command, "the name is missing", command + " NAME [TEXT]");
    if (std::ranges::find(kWords, name) != std::end(kWords))
        usage(command + " " + std::string(name), "is a word of the command", "another name");
    const std::string text = words.empty() ? kind.current(app) : std::string(words);
    if (text.empty()) usage(command, kind.nothing, command + " NAME TEXT");
    app.say("Saved as " + kind.files().write(std::string(name), text + "\n") + ".");
}

void edit_named(ChatApp& app, const Kind& kind, const std::string& name) {
    const NamedFiles files = kind.files();
    edit_text(app, "text", files.has(name) ? text_of(files.read(name)) : "",
              [files, name](ChatApp& back, const std::string& text) {
                  if (text.empty()) return back.toast("it is empty; nothing was saved", back.now());
                  back.say("Saved as " + files.write(name, text + "\n") + ".");
              });
}

// "[list] | NAME | save NAME [TEXT] | edit NAME | rm NAME"
template <const Kind& kKind>
void run_named(ChatApp& app, std::string_view arguments) {
    const auto [word, rest] = split(arguments);
    if (word.empty() || word == "list") return list_texts(app, kKind);
    if (word == "save") return save_text(app, kKind, rest);
    const std::string name(rest);
    const bool acts = word == "edit" || word == "rm";
    if (acts && name.empty())
        usage(std::string(kKind.command) + " " + std::string(word), "the name is missing",
              "give it behind");
    if (word == "edit") return edit_named(app, kKind, name);
    if (word == "rm") return app.say("Removed " + kKind.files().remove(name) + ".");
    kKind.use(app, std::string(arguments), text_of(kKind.files().read(std::string(arguments))));
}

template <const Kind& kKind>
std::vector<std::string> complete_named(const ChatApp& /*app*/, std::string_view begun) {
    const size_t space = begun.rfind(' ');
    std::vector<std::string> words = kKind.files().names();
    if (space != std::string_view::npos) return beginning_with(begun.substr(space + 1), words);
    words.insert(words.begin(), kWords.begin(), kWords.end());
    return beginning_with(begun, words);
}

constexpr std::array kCommands = {
    Command{"system", "", "TEXT|@FILE|@PERSONA|edit|show|off",
            "instructions in front of the conversation", "C-x y", run_system, complete_system},
    Command{"persona", "", "[NAME|save NAME [TEXT]|edit NAME|rm NAME]",
            "instructions that are kept under a name; alone: which there are", "",
            run_named<kPersona>, complete_named<kPersona>},
    Command{"prompt", "", "[NAME|save NAME [TEXT]|edit NAME|rm NAME]",
            "texts that are kept under a name, into the composer", "", run_named<kPrompt>,
            complete_named<kPrompt>},
};

}  // namespace

CommandGroup instruction_commands() {
    return {.title = "Instructions and prompts", .commands = kCommands};
}

}  // namespace app
