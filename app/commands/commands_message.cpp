// Commands of the message that is being written: its files, other places to write and read it, and
// what waits to be sent.
#include <array>
#include <string>

#include "app/chat/chat_app.h"
#include "app/chat/errands.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/machine/clipboard.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/store/formats.h"

namespace app {
namespace {

// --- files ------------------------------------------------------------------------------------

void run_file(ChatApp& app, std::string_view arguments) {
    MessageFiles& files = app.message_files();
    if (trim(arguments) == "--clear") {
        files.clear();
        return app.toast("nothing is attached", app.now());
    }
    const std::vector<FileWish> wishes = file_arguments(arguments);
    if (wishes.empty()) {
        if (files.attached().empty())
            usage("/file", "no file is named", "/file PATH..., or @PATH in the message");
        return app.toast(core::counted(files.attached().size(), "file") +
                             " attached; /file --clear drops what is attached",
                         app.now());
    }
    chat::Attachments read;
    for (const FileWish& wish : wishes)
        for (auto& file : read_files(wish))
            read.push_back(std::move(file));
    files.attach(read);
    app.toast("attached " + core::counted(read.size(), "file") + " to the next message", app.now());
}

std::vector<std::string> complete_file(const ChatApp& /*app*/, std::string_view arguments) {
    const std::string_view begun = last_word(arguments);
    return begun.starts_with("--") ? beginning_with(begun, {"--as", "--lines", "--clear"})
                                   : paths_beginning(begun);
}

// "[--as code|text]": as text it goes into the line, as code it is attached.
void run_paste(ChatApp& app, std::string_view arguments) {
    const std::vector<std::string_view> words = words_of(arguments);
    const bool asked = words.size() == 2 && words[0] == "--as";
    const bool as_code = asked && words[1] == "code";
    if (!words.empty() && !as_code && !(asked && words[1] == "text"))
        usage("/paste " + std::string(arguments), "is not understood", "there is --as code|text");
    const ClipboardText pasted = paste_from_clipboard();
    if (!as_code) return app.insert(pasted.text);
    app.message_files().attach_text("pasted", pasted.text);
    app.toast("attached what the " + pasted.from + " has", app.now());
}

std::vector<std::string> complete_paste(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, {"--as code", "--as text"});
}

// --- editor and pager -------------------------------------------------------------------------

void run_editor(ChatApp& app, std::string_view arguments) {
    edit_text(app, "message", arguments.empty() ? app.composer_text() : std::string(arguments),
              [](ChatApp& back, const std::string& text) { back.compose(text); });
}

void run_pager(ChatApp& app, std::string_view /*arguments*/) {
    const chat::Conversation& conversation = app.session().conversation();
    if (conversation.empty()) usage("/pager", "there is nothing to read yet", "write a message");
    core::StoredConversation shown;
    shown.head.title = app.session().title();
    shown.conversation = conversation;
    page_text(app, core::conversation_text(shown, core::FileFormat::text, false));
}

// --- the queue --------------------------------------------------------------------------------

std::string first_line(const std::string& text) {
    const std::string line = core::sanitize(text.substr(0, text.find('\n')));
    return line + (line.size() < text.size() ? " …" : "");
}

void list_queue(ChatApp& app) {
    const auto& queue = app.session().queue();
    if (queue.empty()) return app.toast("nothing waits", app.now());
    std::string text =
        std::to_string(queue.size()) + (queue.size() == 1 ? " message waits:" : " messages wait:");
    for (size_t i = 0; i < queue.size(); ++i)
        text +=
            "\n" + std::to_string(i + 1) + "  " + first_line(queue[i].text) +
            (queue[i].files.empty() ? ""
                                    : " (" + core::counted(queue[i].files.size(), "file") + ")");
    app.say(text);
}

// "[list|edit n|drop n|clear]". What is dropped goes to where C-y brings it back from.
void run_queue(ChatApp& app, std::string_view arguments) {
    const auto [word, number] = split(arguments);
    if (word.empty() || word == "list") return list_queue(app);
    if (word != "edit" && word != "drop" && word != "clear")
        usage("/queue " + std::string(word), "is not known",
              "there are list, edit, drop and clear");
    const auto count = static_cast<uint32_t>(app.session().queue().size());
    if (count == 0) usage("/queue", "nothing waits", "Enter queues while an answer is written");
    if (word == "clear") {
        std::string texts;
        for (const chat::Prompt& prompt : app.session().take_queue())
            texts += (texts.empty() ? "" : "\n") + prompt.text;
        app.compose(texts);
        app.clear_line();
        return app.toast("dropped " + std::to_string(count) + "; C-y brings the text back",
                         app.now());
    }
    const uint32_t place = number.empty() ? count : number_in("message", number, 1, count);
    chat::Prompt prompt = app.session().take_queued(place - 1);
    app.compose(prompt.text);
    if (word == "edit") return app.message_files().attach(prompt.files);
    app.clear_line();
    app.toast("dropped; C-y brings the text back", app.now());
}

std::vector<std::string> complete_queue(const ChatApp& /*app*/, std::string_view begun) {
    return beginning_with(begun, {"list", "edit", "drop", "clear"});
}

constexpr std::array kCommands = {
    Command{"file", "", "PATH... [--as code|text] [--lines A-B]",
            "files with the next message (@PATH in it does too); --clear", "C-x a", run_file,
            complete_file},
    Command{"paste", "", "[--as code|text]", "what the clipboard has", "", run_paste,
            complete_paste},
    Command{"editor", "", "[TEXT]", "write the message in $VISUAL or $EDITOR", "C-x C-e",
            run_editor},
    Command{"pager", "", "", "read the conversation in $PAGER", "C-x o", run_pager},
    Command{"queue", "", "[list|edit N|drop N|clear]", "messages that wait for an answer to end",
            "", run_queue, complete_queue},
};

}  // namespace

CommandGroup message_commands() {
    return {.title = "The message", .commands = kCommands};
}

}  // namespace app
