// Commands of conversations: beginning, finding, naming, leaving and removing them.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "app/chat/attachments.h"
#include "app/chat/chat_app.h"
#include "app/chat/personas.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/session/library.h"
#include "core/store/formats.h"

namespace app {
namespace {

// Ids of saved conversations that begin with the word, or whose titles have it.
std::vector<std::string> complete_conversation(const ChatApp& app, std::string_view begun) {
    std::vector<std::string> by_id;
    std::vector<std::string> by_title;
    for (const core::ConversationHead& head : app.session().library().conversations()) {
        if (head.id.starts_with(begun)) by_id.push_back(head.id);
        if (head.title.find(begun) != std::string::npos) by_title.push_back(head.id);
    }
    return by_id.empty() ? by_title : by_id;
}

std::vector<std::string> complete_path(const ChatApp& /*app*/, std::string_view begun) {
    return paths_beginning(begun);
}

// "[TITLE] [--system TEXT|@FILE] [--model NAME]"
void run_new(ChatApp& app, std::string_view arguments) {
    require_idle(app, "/new");
    std::string title;
    std::optional<std::string> system;
    std::string model;
    const std::vector<std::string> words = quoted_words(arguments);
    for (size_t i = 0; i < words.size(); ++i) {
        const bool option = words[i] == "--system" || words[i] == "--model";
        if (option && i + 1 == words.size())
            usage("/new", words[i] + " has no value", "--system @FILE or @PERSONA, --model NAME");
        if (words[i] == "--system") {
            system = instructions_of(words[++i]);
        } else if (words[i] == "--model") {
            model = app.models().path_of(words[++i]);  // throws before anything has happened
        } else {
            title += (title.empty() ? "" : " ") + words[i];
        }
    }
    app.new_chat(false);
    if (!title.empty()) app.report(app.session().change({.title = title}));
    if (system) app.session().set_system(*system);
    if (!model.empty()) app.load_model(model);
}

std::vector<std::string> complete_new(const ChatApp& app, std::string_view arguments) {
    const std::string_view begun = last_word(arguments);
    const std::string_view before = trim(arguments.substr(0, arguments.size() - begun.size()));
    if (before.ends_with("--system")) return complete_instructions(begun);
    if (before.ends_with("--model")) return beginning_with(begun, app.models().names());
    return beginning_with(begun, {"--system", "--model"});
}

void run_temporary(ChatApp& app, std::string_view /*arguments*/) {
    require_idle(app, "/temporary");
    app.new_chat(true);
}

void require_store(const ChatApp& app, std::string_view command) {
    if (app.session().saver().store() == nullptr)
        usage(command, "nothing is saved in a temporary session",
              "start moxie without --temporary");
}

struct ListWord {
    std::string_view word;
    core::ListKind kind;
};

constexpr std::array kListWords = {ListWord{"--archived", core::ListKind::archived},
                                   ListWord{"--trash", core::ListKind::deleted}};

void run_list(ChatApp& app, std::string_view arguments) {
    require_store(app, "/list");
    core::ListKind kind = core::ListKind::open;
    const auto [word, rest] = split(arguments);
    for (const ListWord& known : kListWords)
        if (known.word == word) kind = known.kind;
    app.session().library().tell_list(kind,
                                      std::string(kind == core::ListKind::open ? arguments : rest));
}

std::vector<std::string> complete_list(const ChatApp& /*app*/, std::string_view begun) {
    std::vector<std::string> found;
    for (const ListWord& known : kListWords)
        if (known.word.starts_with(begun)) found.emplace_back(known.word);
    return found;
}

void run_open(ChatApp& app, std::string_view arguments) {
    require_idle(app, "/open");
    if (arguments.empty()) return app.open_panel("conversations");
    app.session().open(std::string(arguments));
}

void run_rename(ChatApp& app, std::string_view arguments) {
    if (arguments.empty())
        usage("/rename", "no title is given", "/rename TITLE, or --auto asks the model");
    if (arguments == "--auto") return app.report(app.session().name_by_model(app.now()));
    app.report(app.session().change({.title = std::string(arguments)}));
}

// "text [--all] [--role user|assistant] [--model NAME]": of this conversation, or of all.
void run_find(ChatApp& app, std::string_view arguments) {
    require_store(app, "/find");
    core::SearchTurns wanted{.conversation = app.session().saver().conversation_id()};
    const std::vector<std::string_view> words = words_of(arguments);
    for (size_t i = 0; i < words.size(); ++i) {
        const std::string_view value = i + 1 < words.size() ? words[i + 1] : std::string_view();
        if (words[i] == "--all") {
            wanted.conversation.clear();
        } else if (words[i] == "--role") {
            if (value != "user" && value != "assistant")
                usage("/find --role", "is " + std::string(value), "must be user or assistant");
            wanted.role = value == "user" ? chat::Role::user : chat::Role::assistant;
            ++i;
        } else if (words[i] == "--model") {
            wanted.model = value;
            ++i;
        } else {
            wanted.text += (wanted.text.empty() ? "" : " ") + std::string(words[i]);
        }
    }
    if (wanted.text.empty()) usage("/find", "no text is given", "/find TEXT [--all]");
    app.session().library().search(std::move(wanted), true);
}

std::vector<std::string> complete_find(const ChatApp& /*app*/, std::string_view arguments) {
    return beginning_with(last_word(arguments), {"--all", "--role", "--model"});
}

void run_delete(ChatApp& app, std::string_view arguments) {
    app.report(app.session().remove(core::Removal::remove, std::string(arguments)));
}

void run_undelete(ChatApp& app, std::string_view arguments) {
    require_idle(app, "/undelete");
    app.report(app.session().remove(core::Removal::restore, std::string(arguments)));
}

void run_purge(ChatApp& app, std::string_view arguments) {
    if (arguments == "yes") return app.report(app.session().remove(core::Removal::purge));
    app.say(
        "This removes the conversation and all that was read of it from this disk, for ever. "
        "/purge yes does it; /delete can be taken back.");
}

// "path [--branch|--tree]"
void run_export(ChatApp& app, std::string_view arguments) {
    const auto [path, word] = split(arguments);
    if (path.empty())
        usage("/export", "no file is given", "end its name with .jsonl, .json, .md, .html or .txt");
    if (!word.empty() && word != "--branch" && word != "--tree")
        usage("/export " + std::string(word), "is not understood", "there are --branch and --tree");
    core::file_format_of(path);
    app.report(app.session().export_to(std::string(path), word != "--branch"));
}

void run_import(ChatApp& app, std::string_view arguments) {
    require_store(app, "/import");
    if (arguments.empty()) usage("/import", "no file is given", "/import FILE");
    app.session().library().import_from(std::string(arguments));
}

// --- what the KV cache has of them ------------------------------------------------------------

struct KvWord {
    std::string_view name;
    chat::KvAction action;
};

constexpr std::array kKvWords = {
    KvWord{"list", chat::KvAction::list}, KvWord{"save", chat::KvAction::save},
    KvWord{"drop", chat::KvAction::drop}, KvWord{"prefetch", chat::KvAction::prefetch}};

// "[list|save|drop|prefetch] [ID|TITLE]"
void run_kv(ChatApp& app, std::string_view arguments) {
    const auto [word, wanted] = split(arguments);
    const std::string_view name = word.empty() ? "list" : word;
    const auto known = std::ranges::find(kKvWords, name, &KvWord::name);
    if (known == kKvWords.end())
        usage("/kv " + std::string(name), "unknown", "there are list, save, drop and prefetch");
    if (wanted.empty()) return app.report(app.session().manage_kv(known->action));
    require_store(app, "/kv");
    app.report(app.session().manage_kv(known->action, app.session().library().id_of(wanted)));
}

std::vector<std::string> complete_kv(const ChatApp& app, std::string_view begun) {
    const size_t space = begun.find(' ');
    if (space != std::string_view::npos)
        return complete_conversation(app, trim(begun.substr(space)));
    std::vector<std::string> words(std::size(kKvWords));
    std::ranges::transform(kKvWords, words.begin(), &KvWord::name);
    return beginning_with(begun, words);
}

template <const std::string_view& kName>
void toggle_panel(ChatApp& app, std::string_view /*arguments*/) {
    app.toggle_panel(kName);
}

constexpr std::string_view kConversations = "conversations";
constexpr std::string_view kTree = "tree";

constexpr std::array kCommands = {
    Command{"new", "", "[TITLE] [--system TEXT|@FILE] [--model NAME]", "a new, empty conversation",
            "C-x n", run_new, complete_new},
    Command{"conversations", "", "", "the list of conversations, to open, find, name, remove",
            "C-x s|F2", toggle_panel<kConversations>},
    Command{"tree", "", "", "the branches of this conversation", "C-x t|F8", toggle_panel<kTree>},
    Command{"open", "", "ID|TITLE", "another conversation", "", run_open, complete_conversation},
    Command{"list", "", "[TITLE] [--archived] [--trash]", "saved conversations", "", run_list,
            complete_list},
    Command{"find", "", "TEXT [--all] [--role R] [--model M]", "what was said here, or anywhere",
            "C-x /", run_find, complete_find},
    Command{"rename", "", "TITLE|--auto", "another title; --auto asks the model", "", run_rename},
    Command{"delete", "", "[ID]", "remove this conversation, or one; /undelete takes it back", "",
            run_delete, complete_conversation},
    Command{"undelete", "", "[ID]", "bring back what was deleted last; 30 days long", "",
            run_undelete},
    Command{"purge", "", "[yes]", "remove this conversation for ever", "", run_purge},
    Command{"temporary", "", "", "a new conversation of which nothing is kept", "", run_temporary},
    Command{"kv", "", "[list|save|drop|prefetch] [ID|TITLE]", "what the cache has of it, or of one",
            "", run_kv, complete_kv},
    Command{"export", "", "FILE [--branch|--tree]", "write it as .jsonl .json .md .html .txt",
            "C-x w", run_export, complete_path},
    Command{"import", "", "FILE", "read conversations: moxie's, ChatGPT's, ShareGPT's", "",
            run_import, complete_path},
};

}  // namespace

CommandGroup conversation_commands() {
    return {.title = "Conversations", .commands = kCommands};
}

}  // namespace app
