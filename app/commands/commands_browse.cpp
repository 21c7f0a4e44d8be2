// What keys do to the message that is selected in the transcript.
#include <algorithm>
#include <array>
#include <string>

#include "app/chat/chat_app.h"
#include "app/commands/commands.h"

namespace app {
namespace {

using chat::TurnId;

// The message `step` places on along the line; beyond its ends the first or the last.
void move_to(ChatApp& app, int step) {
    const std::vector<TurnId> line = app.session().conversation().line();
    const auto here = std::find(line.begin(), line.end(), app.browsed()) - line.begin();
    const auto last = static_cast<std::ptrdiff_t>(line.size()) - 1;
    if (last < 0) return app.browse(0);
    app.browse(line[static_cast<size_t>(std::clamp<std::ptrdiff_t>(here + step, 0, last))]);
}

template <int kStep>
void move(ChatApp& app, std::string_view /*arguments*/) {
    move_to(app, kStep);
}

template <int kRows>
void scroll(ChatApp& app, std::string_view /*arguments*/) {
    app.transcript().scroll(kRows);
}

template <int kPages>
void page(ChatApp& app, std::string_view /*arguments*/) {
    app.transcript().scroll_page(kPages);
}

template <int kStep>
void sibling(ChatApp& app, std::string_view /*arguments*/) {
    const auto& tree = app.session().conversation();
    const TurnId turn = app.browsed();
    const size_t place = tree.line(turn).size();
    app.report(app.session().show_sibling(kStep, turn));
    const std::vector<TurnId> line = tree.line();
    if (place <= line.size()) app.browse(line[place - 1]);
}

// The same actions as those of the slash commands, on this message.
void edit(ChatApp& app, std::string_view /*arguments*/) {
    app.begin_edit(app.browsed());
}

void regenerate(ChatApp& app, std::string_view /*arguments*/) {
    const TurnId turn = app.browsed();
    app.browse(0);
    app.report(app.session().regenerate({.prompt = turn}, app.now()));
}

void fork(ChatApp& app, std::string_view /*arguments*/) {
    const TurnId turn = app.browsed();
    app.browse(0);
    app.report(app.session().fork(turn, {}));
}

void resume(ChatApp& app, std::string_view /*arguments*/) {
    const TurnId turn = app.browsed();
    app.browse(0);
    app.report(app.session().resume_answer(turn, {}, app.now()));
}

template <bool chat::TurnFlags::*kFlag>
void toggle(ChatApp& app, std::string_view /*arguments*/) {
    chat::TurnFlags flags = app.session().conversation().turn(app.browsed()).flags;
    flags.*kFlag = !(flags.*kFlag);
    if (const auto trouble = app.session().set_flags(app.browsed(), flags)) app.report(trouble);
}

void remove(ChatApp& app, std::string_view /*arguments*/) {
    if (const auto trouble = app.session().remove_subtree(app.browsed()))
        return app.report(trouble);
    app.toast("removed with what follows it; U brings it back", app.now());
}

void restore(ChatApp& app, std::string_view /*arguments*/) {
    if (const auto trouble = app.session().restore_subtree()) app.report(trouble);
}

void leave(ChatApp& app, std::string_view /*arguments*/) {
    app.browse(0);
}

void copy(ChatApp& app, std::string_view /*arguments*/) {
    app.copy(app.session().conversation().turn(app.browsed()).text, "message");
}

void copy_code(ChatApp& app, std::string_view /*arguments*/) {
    app.browser().copy_code(app, app.browsed());
}

void fold(ChatApp& app, std::string_view /*arguments*/) {
    app.transcript().fold(app.browsed());
}

void choose_rows(ChatApp& app, std::string_view /*arguments*/) {
    app.transcript().choose_rows(app.browsed());
}

template <bool kBackwards>
void ask_search(ChatApp& app, std::string_view /*arguments*/) {
    app.browser().ask_search(kBackwards);
}

template <bool kAgainst>
void search_on(ChatApp& app, std::string_view /*arguments*/) {
    app.browser().search_on(app, kAgainst);
}

void set_bookmark(ChatApp& app, std::string_view /*arguments*/) {
    app.browser().ask_bookmark();
}

void jump(ChatApp& app, std::string_view /*arguments*/) {
    app.browser().ask_jump();
}

constexpr int kFar = 1'000'000'000;

constexpr std::array kCommands = {
    Command{"next-message", "", "", "the message below", "j|Down|M-Down", move<1>},
    Command{"previous-message", "", "", "the message above", "k|Up|M-Up", move<-1>},
    Command{"first-message", "", "", "the first message", "g", move<-kFar>},
    Command{"last-message", "", "", "the last message", "G", move<kFar>},
    Command{"line-down", "", "", "scroll a row", "J", scroll<1>},
    Command{"line-up", "", "", "scroll a row back", "K", scroll<-1>},
    Command{"scroll-on", "", "", "scroll a page", "d|Space", page<1>},
    Command{"scroll-back", "", "", "scroll a page back", "u|b", page<-1>},
    Command{"search-on", "", "", "find a text", "/", ask_search<false>},
    Command{"search-back", "", "", "find it before this", "?", ask_search<true>},
    Command{"next-found", "", "", "the next place of it", "n", search_on<false>},
    Command{"last-found", "", "", "the place before", "N", search_on<true>},
    Command{"copy-message", "", "", "copy it", "y", copy},
    Command{"copy-code-block", "", "", "copy its blocks of code, one after another", "Y",
            copy_code},
    Command{"choose-rows", "", "", "choose rows with j and k, y copies them", "v", choose_rows},
    Command{"fold-message", "", "", "show one row of it, or all", "Enter", fold},
    Command{"bookmark", "", "", "a letter for it", "m", set_bookmark},
    Command{"jump", "", "", "to the message with a letter", "'", jump},
    Command{"edit-message", "", "", "change it, as a sibling", "e", edit},
    Command{"answer-again", "", "", "another answer at this place", "r", regenerate},
    Command{"next-sibling", "", "", "the next of its siblings", "]|Right", sibling<1>},
    Command{"previous-sibling", "", "", "the one before", "[|Left", sibling<-1>},
    Command{"fork-message", "", "", "a new conversation up to here", "f", fork},
    Command{"continue-message", "", "", "go on with this answer", "c", resume},
    Command{"pin-message", "", "", "keep it in the context (toggle)", "p",
            toggle<&chat::TurnFlags::pinned>},
    Command{"exclude-message", "", "", "leave it out of the context (toggle)", "x",
            toggle<&chat::TurnFlags::excluded>},
    Command{"remove-message", "", "", "remove it with what follows", "D", remove},
    Command{"restore-message", "", "", "take the last removal back", "U", restore},
    Command{"back", "", "", "back to the composer", "q|Esc|i|C-g", leave},
};

}  // namespace

CommandGroup browse_commands() {
    return {
        .title = "A selected message (M-Up, Esc)", .commands = kCommands, .reach = Reach::browse};
}

}  // namespace app
