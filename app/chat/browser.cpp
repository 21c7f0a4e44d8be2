#include "app/chat/browser.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/chat/code_blocks.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using chat::TurnId;

std::string small_letters(std::string_view text) {
    std::string small(text);
    for (char& c : small)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    return small;
}

bool leaves(std::string_view name) {
    return name == "Esc" || name == "C-g" || name == "C-c";
}

bool is_letter(std::string_view name) {
    return name.size() == 1 &&
           ((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z'));
}

}  // namespace

bool Browser::on_key(ChatApp& app, const ui::Key& key, std::string_view name) {
    switch (waiting_) {
        case Waiting::nothing: return on_choice_key(app, name);
        case Waiting::search: return on_search_key(app, key, name);
        case Waiting::bookmark:
        case Waiting::jump: break;
    }
    letter(app, name, std::exchange(waiting_, Waiting::nothing));
    return true;
}

// --- searching --------------------------------------------------------------------------------

void Browser::ask_search(bool backwards) {
    waiting_ = Waiting::search;
    backwards_ = backwards;
    input_.clear();
}

bool Browser::on_search_key(ChatApp& app, const ui::Key& key, std::string_view name) {
    if (leaves(name)) {
        waiting_ = Waiting::nothing;
    } else if (name == "Enter") {
        waiting_ = Waiting::nothing;
        // Nothing typed: the same once more.
        if (!input_.empty()) wanted_ = small_letters(input_);
        found_.reset();
        app.transcript().highlight(wanted_);
        search_on(app, false);
    } else if (name == "BS") {
        while (!input_.empty() && (static_cast<unsigned char>(input_.back()) & 0xc0U) == 0x80U)
            input_.pop_back();
        if (!input_.empty()) input_.pop_back();
    } else if (key.code == ui::KeyCode::character &&
               (key.modifiers & (ui::kControl | ui::kAlt)) == 0) {
        input_ += key.bytes;
    }
    return true;
}

std::optional<Browser::Place> Browser::find(const ChatApp& app, Place from, bool backwards) const {
    const chat::Conversation& conversation = app.session().conversation();
    const std::vector<TurnId> line = conversation.line();
    const auto count = static_cast<std::ptrdiff_t>(line.size());
    const auto here = std::find(line.begin(), line.end(), from.turn) - line.begin();
    // The message in which it begins is the last one too, with its other part.
    for (std::ptrdiff_t step = 0; step <= count; ++step) {
        const std::ptrdiff_t index = (here + (backwards ? count - step % count : step)) % count;
        const TurnId turn = line[static_cast<size_t>(index)];
        const std::string text = small_letters(conversation.turn(turn).text);
        size_t byte = std::string::npos;
        if (step > 0)
            byte = backwards ? text.rfind(wanted_) : text.find(wanted_);
        else if (!backwards)
            byte = text.find(wanted_, from.byte);
        else if (from.byte > 0)
            byte = text.rfind(wanted_, from.byte - 1);
        if (byte != std::string::npos) return Place{.turn = turn, .byte = byte};
    }
    return std::nullopt;
}

void Browser::search_on(ChatApp& app, bool against) {
    if (wanted_.empty()) return app.toast("nothing was searched for yet; / begins", app.now());
    const bool backwards = backwards_ != against;
    Place from{.turn = app.browsed()};
    if (found_ && found_->turn == from.turn) from.byte = found_->byte + (backwards ? 0 : 1);
    const std::vector<TurnId> line = app.session().conversation().line();
    if (line.empty()) return;
    found_ = find(app, from, backwards);
    if (!found_) return app.toast("no \"" + wanted_ + "\" in this conversation", app.now());
    const auto order = [&line](TurnId turn) {
        return std::find(line.begin(), line.end(), turn) - line.begin();
    };
    const bool around =
        backwards ? order(found_->turn) > order(from.turn) : order(found_->turn) < order(from.turn);
    if (around) app.toast("around the end", app.now());
    app.browse(found_->turn);
    app.feed().show(found_->turn, found_->byte);
}

// --- bookmarks --------------------------------------------------------------------------------

void Browser::letter(ChatApp& app, std::string_view name, Waiting what) {
    if (!is_letter(name)) return;
    if (what == Waiting::bookmark) {
        app.session().set_bookmark(std::string(name), app.browsed());
        return app.toast("bookmark " + std::string(name), app.now());
    }
    const std::map<std::string, TurnId>& marks = app.session().bookmarks();
    const auto mark = marks.find(std::string(name));
    if (mark == marks.end()) return app.toast("no bookmark " + std::string(name), app.now());
    if (!app.session().conversation().is_on_line(mark->second))
        app.report(app.session().show_turn(mark->second));
    app.browse(mark->second);
}

// --- code and rows ----------------------------------------------------------------------------

void Browser::copy_code(ChatApp& app, TurnId turn) {
    const auto blocks = code_blocks(app.session().conversation().turn(turn).text);
    if (blocks.empty()) return app.toast("no block of code in this message", app.now());
    if (std::exchange(code_of_, turn) != turn) next_block_ = 0;
    const size_t block = next_block_++ % blocks.size();
    app.copy(std::string(blocks[block].text), blocks.size() == 1
                                                  ? "block of code"
                                                  : "block of code " + std::to_string(block + 1) +
                                                        " of " + std::to_string(blocks.size()));
}

bool Browser::on_choice_key(ChatApp& app, std::string_view name) {
    ui::Transcript& transcript = app.transcript();
    if (!transcript.choosing()) return false;
    if (name == "j" || name == "J" || name == "Down") {
        transcript.extend_choice(1);
    } else if (name == "k" || name == "K" || name == "Up") {
        transcript.extend_choice(-1);
    } else if (name == "y") {
        app.copy(transcript.take_choice(), "rows");
    } else if (leaves(name) || name == "v" || name == "q") {
        transcript.drop_choice();
    } else {
        return false;
    }
    return true;
}

void Browser::leave(ChatApp& app) {
    waiting_ = Waiting::nothing;
    app.transcript().drop_choice();
    app.transcript().highlight({});
}

std::string Browser::hint(const ChatApp& app) const {
    switch (waiting_) {
        case Waiting::search: return (backwards_ ? "?" : "/") + core::sanitize(input_) + "▏";
        case Waiting::bookmark: return "bookmark: a letter";
        case Waiting::jump: return "to bookmark: a letter";
        case Waiting::nothing: break;
    }
    return app.transcript().choosing() ? "rows: j k more or fewer, y copy, v back" : "";
}

}  // namespace app
