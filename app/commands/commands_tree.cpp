// Commands that grow and walk the tree of turns. Messages are numbered from 1 along the line.
#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <string>

#include "app/chat/chat_app.h"
#include "app/chat/code_blocks.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/settings/parameters.h"

namespace app {
namespace {

using chat::TurnId;

// The turn with a number, or with none the last one of the line. Throws core::Error(usage).
TurnId turn_numbered(const ChatApp& app, std::string_view number) {
    const chat::Conversation& conversation = app.session().conversation();
    if (number.empty()) return conversation.tip();
    const std::vector<TurnId> line = conversation.line();
    if (line.empty())
        usage("message " + std::string(number), "is not there", "say something first");
    return line[number_in("message", number, 1, static_cast<uint32_t>(line.size())) - 1];
}

bool is_number(std::string_view word) {
    return !word.empty() && word.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<std::string> numbers_up_to(size_t count, std::string_view begun) {
    std::vector<std::string> found;
    for (size_t number = 1; number <= count; ++number)
        if (std::to_string(number).starts_with(begun)) found.push_back(std::to_string(number));
    return found;
}

std::vector<std::string> complete_numbers(const ChatApp& app, std::string_view begun) {
    if (begun.find(' ') != std::string_view::npos) return {};
    return numbers_up_to(app.session().conversation().line().size(), begun);
}

constexpr uint32_t kMostAnswers = 16;

// "[n] [--n K] [k=v...]"
void run_regen(ChatApp& app, std::string_view arguments) {
    Attempt attempt;
    chat::Sampling sampling = app.session().sampling();
    bool changed = false;
    const std::vector<std::string_view> words = words_of(arguments);
    for (size_t i = 0; i < words.size(); ++i) {
        const size_t equals = words[i].find('=');
        if (words[i] == "--n") {
            const std::string_view count = i + 1 < words.size() ? words[++i] : std::string_view();
            attempt.count = number_in("--n", count, 1, kMostAnswers);
        } else if (equals != std::string_view::npos) {
            const Parameter& parameter = parameter_named(words[i].substr(0, equals));
            set_parameter(sampling, parameter, words[i].substr(equals + 1));
            attempt.fixed_seed = attempt.fixed_seed || parameter.name == "seed";
            changed = true;
        } else if (is_number(words[i])) {
            attempt.prompt = turn_numbered(app, words[i]);
        } else {
            usage("/regen " + std::string(words[i]), "is not understood",
                  "give a message's number, --n K, or NAME=VALUE");
        }
    }
    if (changed) attempt.sampling = sampling;
    app.report(app.session().regenerate(attempt, app.now()));
}

std::vector<std::string> complete_regen(const ChatApp& app, std::string_view arguments) {
    const std::string_view begun = last_word(arguments);
    std::vector<std::string> found = complete_numbers(app, begun);
    if (std::string_view("--n").starts_with(begun)) found.emplace_back("--n");
    for (const Parameter& parameter : parameters())
        if (parameter.name.starts_with(begun)) found.push_back(std::string(parameter.name) + "=");
    return found;
}

// Without a number the last message of the user.
void run_edit(ChatApp& app, std::string_view arguments) {
    const chat::Conversation& conversation = app.session().conversation();
    TurnId turn = turn_numbered(app, arguments);
    if (arguments.empty())
        while (turn != 0 && conversation.turn(turn).role != chat::Role::user)
            turn = conversation.turn(turn).parent;
    if (turn == 0) usage("/edit", "nothing was sent yet", "write a message");
    require_idle(app, "/edit");
    app.begin_edit(turn);
}

void run_continue(ChatApp& app, std::string_view arguments) {
    app.report(app.session().resume_answer(0, std::string(arguments), app.now()));
}

uint32_t steps(std::string_view object, std::string_view arguments) {
    return arguments.empty() ? 1 : number_in(object, arguments, 1, 1'000'000);
}

void run_undo(ChatApp& app, std::string_view arguments) {
    app.report(app.session().undo(steps("/undo", arguments)));
}

void run_redo(ChatApp& app, std::string_view arguments) {
    app.report(app.session().redo(steps("/redo", arguments)));
}

template <int kStep>
void run_sibling(ChatApp& app, std::string_view /*arguments*/) {
    app.report(app.session().show_sibling(kStep));
}

// "[n] [title]"
void run_fork(ChatApp& app, std::string_view arguments) {
    auto [number, title] = split(arguments);
    if (!is_number(number)) {
        number = {};
        title = trim(arguments);
    }
    app.report(app.session().fork(turn_numbered(app, number), std::string(title)));
}

template <bool chat::TurnFlags::*kFlag>
void toggle_flag(ChatApp& app, std::string_view command, std::string_view arguments,
                 std::string_view on, std::string_view off) {
    const TurnId turn = turn_numbered(app, arguments);
    if (turn == 0) usage(command, "nothing was said yet", "write a message");
    chat::TurnFlags flags = app.session().conversation().turn(turn).flags;
    flags.*kFlag = !(flags.*kFlag);
    const auto trouble = app.session().set_flags(turn, flags);
    if (trouble) return app.report(trouble);
    app.toast(std::string(flags.*kFlag ? on : off), app.now());
}

void run_pin(ChatApp& app, std::string_view arguments) {
    toggle_flag<&chat::TurnFlags::pinned>(app, "/pin", arguments, "pinned", "not pinned any more");
}

void run_exclude(ChatApp& app, std::string_view arguments) {
    toggle_flag<&chat::TurnFlags::excluded>(app, "/exclude", arguments, "left out of the context",
                                            "in the context again");
}

// Without a number the only one; where there are several they are told.
void copy_code(ChatApp& app, std::string_view number) {
    const chat::Conversation& conversation = app.session().conversation();
    const TurnId answer = conversation.last_answer();
    const std::vector<CodeBlock> blocks =
        answer == 0 ? std::vector<CodeBlock>() : code_blocks(conversation.turn(answer).text);
    if (blocks.empty())
        usage("/copy code", "the last answer has no block of code", "/copy copies it");
    const auto count = static_cast<uint32_t>(blocks.size());
    if (number.empty() && count > 1) {
        app.toast("the answer has " + std::to_string(count) + " blocks of code; say which",
                  app.now());
        return app.compose("/copy code ");
    }
    const uint32_t k = number.empty() ? 1 : number_in("block", number, 1, count);
    app.copy(std::string(blocks[k - 1].text),
             count == 1 ? "block of code" : "block of code " + std::to_string(k));
}

// "[last|n|all|code [k]]"; without: the last answer.
void run_copy(ChatApp& app, std::string_view arguments) {
    const chat::Conversation& conversation = app.session().conversation();
    std::string text;
    if (const auto [word, number] = split(arguments); word == "code") return copy_code(app, number);
    if (arguments == "all") {
        for (const TurnId id : conversation.line())
            text += (text.empty() ? "" : "\n\n") + conversation.turn(id).text;
        return app.copy(text, "conversation");
    }
    const bool last = arguments.empty() || arguments == "last";
    const TurnId turn = last ? conversation.last_answer() : turn_numbered(app, arguments);
    if (turn == 0) usage("/copy", "there is no answer yet", "say something first");
    app.copy(conversation.turn(turn).text, last ? "answer" : "message");
}

std::vector<std::string> complete_copy(const ChatApp& app, std::string_view begun) {
    const chat::Conversation& conversation = app.session().conversation();
    if (begun.starts_with("code ") && conversation.last_answer() != 0)
        return numbers_up_to(code_blocks(conversation.turn(conversation.last_answer()).text).size(),
                             begun.substr(5));
    std::vector<std::string> found = complete_numbers(app, begun);
    std::ranges::move(beginning_with(begun, {"last", "all", "code"}), std::back_inserter(found));
    return found;
}

constexpr std::array kCommands = {
    Command{"regen", "regenerate", "[n] [--n K] [NAME=VALUE]",
            "another answer, or K; the others stay", "C-x r|F5", run_regen, complete_regen},
    Command{"edit", "", "[n]", "message n again, to change and send; the old one stays", "",
            run_edit, complete_numbers},
    Command{"continue", "", "[TEXT]", "go on with the answer, after TEXT", "", run_continue},
    Command{"undo", "", "[n]", "take the last message and answer off the line", "", run_undo},
    Command{"redo", "", "[n]", "put back what undo took", "", run_redo},
    Command{"next", "", "", "the next of several answers or edits", "C-x ]", run_sibling<1>},
    Command{"prev", "", "", "the one before", "C-x [", run_sibling<-1>},
    Command{"fork", "", "[n] [TITLE]", "a new conversation that begins with this, up to message n",
            "C-x b", run_fork, complete_numbers},
    Command{"copy", "", "[n|all|code [k]]",
            "the last answer, message n, all or a block of code to the clipboard", "C-x c",
            run_copy, complete_copy},
    Command{"pin", "", "[n]", "keep message n when the context is shifted (toggle)", "", run_pin,
            complete_numbers},
    Command{"exclude", "", "[n]", "leave message n out of the context (toggle)", "", run_exclude,
            complete_numbers},
};

}  // namespace

CommandGroup tree_commands() {
    return {.title = "Answers and branches", .commands = kCommands};
}

}  // namespace app
