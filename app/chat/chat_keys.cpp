// The part of ChatApp that keys go through: commands on keys first, the line editor after them.
#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "app/chat/chat_app.h"
#include "app/commands/commands.h"
#include "app/machine/clipboard.h"
#include "core/base/error.h"
#include "core/base/units.h"
#include "ui/key_names.h"

namespace app {
namespace {

using ui::Key;
using ui::KeyCode;

bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\n") == std::string_view::npos;
}

}  // namespace

void ChatApp::dispatch(const ui::Input& input) {
    draw_now_ = true;
    if (const auto* key = std::get_if<Key>(&input)) {
        on_key(*key);
    } else if (const auto* paste = std::get_if<ui::Paste>(&input)) {
        on_paste(paste->text);
    } else if (const auto* wheel = std::get_if<ui::Wheel>(&input)) {
        transcript_.scroll(wheel->lines);
    } else if (const auto* report = std::get_if<ui::ModeReport>(&input)) {
        constexpr int kSynchronizedUpdate = 2026;
        const bool known = report->value == 1 || report->value == 2;
        if (report->mode == kSynchronizedUpdate) terminal_.synchronize_updates(known);
    } else if (const auto* focus = std::get_if<ui::FocusReport>(&input)) {
        bell_.set_focus(focus->focused);
    }
}

void ChatApp::on_key(const Key& key) {
    const std::string name = ui::key_name(key);
    if (prefix_.pressed()) {
        const Key prefix = prefix_.take();
        if (name == "C-g" || name == "C-c" || name == "Esc") return;
        changed_by_user();
        if (!run_key(*this, "C-x " + name)) give_to_editor(prefix.bytes + key.bytes);
        return;
    }
    if (on_question_key(name)) return;
    // What runs is stopped first; then what is open is left.
    if (name == "C-c" && (!panel_ || session_.busy())) return interrupt(now_);
    if (on_offer_key(name) || on_panel_key(key, name) || on_browse_key(key, name))
        return changed_by_user();
    if (editor_.wants_all_keys()) return give_to_editor(key.bytes);
    if (name == "C-x") {
        prefix_.press(key, now_);
    } else if (run_key(*this, name)) {
        changed_by_user();
    } else if (key.is(KeyCode::escape)) {
        // A lone Escape means nothing outside of vi mode; readline would wait for the rest of it.
        if (editor_.is_vi()) give_to_editor(key.bytes);
    } else if (!move_vertically(key)) {
        give_to_editor(key.bytes);
    }
}

namespace {

struct OfferKey {
    Offer offer;
    std::string_view key;
    std::string_view command;  // empty: everything stays as it is
};

constexpr std::array kOfferKeys = {
    OfferKey{Offer::continue_or_regenerate, "c", "/continue"},
    OfferKey{Offer::continue_or_regenerate, "r", "/regen"},
    OfferKey{Offer::read_only_or_temporary, "r", ""},
    OfferKey{Offer::read_only_or_temporary, "t", "/temporary"},
};

}  // namespace

// A question is answered with one key, as long as nothing was typed; any other key means what it
// always does, and the question is no longer one.
bool ChatApp::on_offer_key(std::string_view name) {
    if (session_.offer() == Offer::none || panel_) return false;
    for (const OfferKey& choice : kOfferKeys) {
        if (choice.offer != session_.offer() || choice.key != name || !editor_.text().empty())
            continue;
        if (session_.busy()) {
            toast("not yet; " + std::string(name) + " works in a moment", now_);
            return true;
        }
        session_.take_offer();
        if (!choice.command.empty()) run_command(*this, choice.command);
        return true;
    }
    session_.take_offer();
    return false;
}

// A large paste is more often a mistake than a message.
void ChatApp::on_paste(const std::string& text) {
    const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
    if (lines <= settings_.config().integer("terminal.paste_lines_confirm"))
        return editor_.paste(text);
    const auto all = core::with_commas(static_cast<uint64_t>(lines));
    const auto insert_it = [text](ChatApp& app) { app.insert(text); };
    const auto attach_it = [text](ChatApp& app) {
        app.message_files().attach_text("pasted", text);
        app.changed_by_user();
    };
    ask({.text = "paste " + all + " lines? y yes, f as a file with the message, n no",
         .answers = {{"y", insert_it}, {"Enter", insert_it}, {"f", attach_it}}});
}

bool ChatApp::on_question_key(std::string_view name) {
    if (!question_) return false;
    if (name == "n" || name == "Esc" || name == "C-c" || name == "C-g") {
        question_.reset();
        return true;
    }
    for (const KeyQuestion::Answer& answer : question_->answers) {
        if (answer.key != name) continue;
        const auto action = answer.action;
        question_.reset();
        try {
            action(*this);
        } catch (const core::Error& error) {
            refuse(error.sentence());
        }
        return true;
    }
    return true;
}

// Nothing that is typed while a message is selected reaches the composer.
bool ChatApp::on_browse_key(const Key& key, std::string_view name) {
    if (browsed_ == 0) return false;
    if (browser_.on_key(*this, key, name)) return true;
    if (run_key(*this, name, true)) return true;
    const bool everywhere = (key.modifiers & (ui::kControl | ui::kAlt)) != 0 ||
                            key.code == KeyCode::function || key.is(KeyCode::page_up) ||
                            key.is(KeyCode::page_down);
    return !everywhere;
}

void ChatApp::copy(const std::string& text, std::string_view what) {
    const std::string way =
        copy_to_clipboard(text, terminal_, settings_.config().text("terminal.clipboard"));
    toast("copied the " + std::string(what) + " via " + way, now_);
}

void ChatApp::browse(chat::TurnId turn) {
    browsed_ = turn;
    if (turn != 0) return;
    browser_.leave(*this);
    transcript_.to_end();
}

// What is typed into a panel never reaches the composer; C-x and function keys stay commands.
bool ChatApp::on_panel_key(const Key& key, std::string_view name) {
    const bool everywhere = name == "C-x" || name == "C-l" || name == "C-z" || name == "C-\\" ||
                            key.code == KeyCode::function;
    if (!panel_ || everywhere) return false;
    try {
        std::unique_ptr<Panel> panel = std::move(panel_);
        const bool stays = panel->on_key(*this, key);
        // A command may have opened another one.
        if (stays && !panel_) panel_ = std::move(panel);
    } catch (const core::Error& error) {
        refuse(error.sentence());
    }
    return true;
}

// Up and Down move between the rows of the text; at its edges they are history (readline's).
bool ChatApp::move_vertically(const Key& key) {
    if (!key.is(KeyCode::up) && !key.is(KeyCode::down)) return false;
    const ui::Composer composer = ui::lay_out_composer(
        terminal_.size(), {.text = editor_.text(), .cursor = editor_.cursor()});
    const auto byte = composer.vertical(key.is(KeyCode::up) ? -1 : 1);
    if (byte) editor_.move_cursor(*byte);
    return byte.has_value();
}

void ChatApp::give_to_editor(std::string_view bytes) {
    editor_.feed(bytes);
    if (const auto line = editor_.take_line()) submit(*line);
}

void ChatApp::submit(const std::string& line) {
    if (is_blank(line) && message_files_.attached().empty()) return;
    const Config& config = settings_.config();
    if (!config.boolean("input.history_ignore_space") || !line.starts_with(' '))
        editor_.add_history(line);
    transcript_.to_end();
    zoomed_ = false;
    changed_by_user();
    const bool command = line.starts_with('/') && !line.starts_with("//");
    if (command) return run_command(*this, line);
    if (answer_question(line)) return;
    if (session_.busy() && !config.boolean("chat.queue")) {
        editor_.set_text(line);
        return toast("not while something runs; stop it first (C-c)", now_);
    }
    try {
        send_message(line.starts_with("//") ? line.substr(1) : line);
    } catch (const core::Error& error) {
        editor_.set_text(line);
        refuse(error.sentence());
    }
}

void ChatApp::send_message(const std::string& line) {
    if (editing_ != 0 && session_.busy()) {
        editor_.set_text(line);
        return toast("Stop the answer first (C-c).", now_);
    }
    const bool answer =
        editing_ != 0 && session_.conversation().turn(editing_).role == chat::Role::assistant;
    chat::Prompt prompt = answer ? chat::Prompt{.text = line} : message_files_.take(line);
    if (const chat::TurnId edited = std::exchange(editing_, 0); edited != 0)
        return report(session_.edit(edited, std::move(prompt), now_));
    session_.send(std::move(prompt), now_);
}

void ChatApp::begin_edit(chat::TurnId turn) {
    browse(0);
    editing_ = turn;
    editor_.set_text(session_.conversation().turn(turn).text);
    message_files_.edit(session_.conversation().turn(turn));
}

// What a user does shows at once, in the status row too.
void ChatApp::changed_by_user() {
    status_time_ = {};
}

void ChatApp::interrupt(TimePoint now) {
    now_ = now;
    draw_now_ = true;
    changed_by_user();
    if (editor_.wants_all_keys()) {
        editor_.abort();
    } else if (background_) {
        background_->stop();
    } else if (session_.busy()) {
        session_.stop();
        // What waits is not sent after a stop; it comes back to be looked at.
        std::string waiting;
        for (const chat::Prompt& prompt : session_.take_queue()) {
            waiting += prompt.text + "\n";
            message_files_.attach(prompt.files);
        }
        if (waiting.empty()) return;
        waiting += editor_.text();
        if (waiting.ends_with('\n')) waiting.pop_back();
        editor_.set_text(waiting);
    } else if (std::exchange(editing_, 0) != 0) {
        editor_.kill_line();
        message_files_.clear();
        toast("not edited; C-y brings the text back", now);
    } else if (!editor_.text().empty()) {
        editor_.kill_line();
        toast("cleared; C-y brings it back", now);
    } else if (!message_files_.attached().empty()) {
        message_files_.clear();
        toast("nothing is attached any more", now);
    } else {
        toast("C-d to quit", now);
    }
}

void ChatApp::end_of_input() {
    const std::string& wish = settings_.config().text("ui.confirm_quit");
    const bool ask = wish == "always" || (wish != "never" && !session_.queue().empty());
    if (!ask || quit_confirmed_)
        return quit(session_.load_failure() ? session_.load_failure()->exit_code : 0);
    quit_confirmed_ = true;
    const size_t waiting = session_.queue().size();
    if (waiting == 0) return toast("once more to quit", now_);
    toast(std::to_string(waiting) + (waiting == 1 ? " message waits" : " messages wait") +
              "; once more to quit",
          now_);
}

void ChatApp::report(const std::optional<std::string>& trouble) {
    if (trouble) {
        toast(*trouble, now_);
    } else {
        transcript_.to_end();
    }
}

}  // namespace app
