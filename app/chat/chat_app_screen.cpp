// The part of ChatApp that is seen: the session's state as a screen, and what stays at the end.
#include <algorithm>
#include <utility>

#include "app/chat/chat_app.h"
#include "app/chat/chat_view.h"
#include "app/settings/parameters.h"
#include "core/base/utf8.h"

namespace app {
namespace {

std::string join(const std::vector<std::string>& parts, std::string_view between) {
    std::string text;
    for (const std::string& part : parts) {
        if (!text.empty()) text += between;
        text += part;
    }
    return text;
}

}  // namespace

// Brings the transcript in step with the session.
void ChatApp::sync_transcript() {
    const uint32_t number = session_.conversation_number();
    if (std::exchange(shown_conversation_, number) != number) browsed_ = 0;
    feed_.sync();
    // The selected turn may have left the line with what was done to it.
    if (browsed_ != 0 && !session_.conversation().is_on_line(browsed_))
        browsed_ = session_.conversation().tip();
    transcript_.select(browsed_ == 0 ? std::nullopt : std::optional<uint64_t>(browsed_));
}

// Numbers that change with every token are shown four times a second: a row that flickers cannot be
// read, and costs bytes on a slow line. Where nothing is to move they wait for the end.
void ChatApp::refresh_status() {
    const Activity activity = session_.activity();
    const bool streaming = activity == Activity::generating || activity == Activity::prefill;
    const bool same = streaming && activity == status_activity_;
    status_behind_ = same && !no_motion() && now_ - status_time_ < kStatusPeriod;
    if (status_behind_ || (same && no_motion() && status_time_ != TimePoint{})) return;
    status_ = status_segments(session_, now_, differences_text(),
                              settings_.config().number("context.warn"));
    status_time_ = now_;
    status_activity_ = activity;
}

std::string ChatApp::number_of(chat::TurnId turn) const {
    return std::to_string(session_.conversation().line(turn).size());
}

std::string ChatApp::differences_text() const {
    return differences(settings_.usual().sampling, session_.sampling());
}

ui::ScreenState ChatApp::screen_state() const {
    ui::ScreenState state;
    state.title = title_of(session_);
    state.title_aside = branch_of(session_);
    state.composer = {.text = editor_.text(),
                      .cursor = editor_.cursor(),
                      .prompt = editor_.prompt(),
                      .hint = session_.conversation().empty() ? "Write a message, or /help" : ""};
    state.status = status_;
    const auto insert = [&state](const std::string& text) {
        state.status.insert(
            state.status.begin() + 1,
            {.text = core::sanitize(text), .priority = 95, .style = ui::StyleName::toast});
    };
    if (!toast_.empty()) insert(toast_);
    if (!editor_.candidates().empty()) insert(join(editor_.candidates(), " "));
    if (prefix_.pressed()) insert("C-x-");
    if (prefix_.shown()) state.hints = keys_behind("C-x", bindings_);
    state.zoomed = zoomed_;
    if (background_) insert("running " + background_->line() + " (C-c stops it)");
    if (question_) insert(question_->text);
    if (const std::string hint = browser_.hint(*this); !hint.empty())
        insert(hint);
    else if (browsed_ != 0)
        insert("message " + number_of(browsed_) +
               ": j k move, y copy, e edit, r again, [ ] others, f fork, q back");
    if (editing_ != 0) insert("editing message " + number_of(editing_) + " (C-c leaves it)");
    return state;
}

bool ChatApp::draw(TimePoint now) {
    const bool due = draw_now_ || (draw_soon_ && now >= last_draw_ + frame()) ||
                     (status_behind_ && now >= status_time_ + kStatusPeriod);
    if (!due) return false;
    now_ = now;
    sync_transcript();
    refresh_status();
    ui::ScreenState state = screen_state();
    const bool asking = panel_ && panel_->name() == "context";
    if (session_.context_question() == nullptr && asking) panel_.reset();
    if (session_.context_question() != nullptr && !panel_) open_panel("context");
    if (panel_) {
        panel_->refresh(*this);
        state.panel = &panel_->list();
        state.panel_columns = static_cast<int>(settings_.config().integer("ui.panel_width"));
    }
    ui::Frame frame = ui::draw_screen(terminal_.size(), state, transcript_, theme_);
    if (panel_) panel_->look(*this);
    terminal_.present(frame.surface, frame.cursor);
    screen_ = std::move(frame.surface);
    cursor_ = frame.cursor;
    last_draw_ = now;
    draw_now_ = draw_soon_ = false;
    return true;
}

std::string ChatApp::farewell() const {
    constexpr size_t kRows = 10;
    if (session_.load_failure()) return core::sanitize(session_.load_failure()->sentence) + "\n";
    const chat::Conversation& conversation = session_.conversation();
    const chat::TurnId answer = conversation.last_answer();
    std::string resume = session_.saver().conversation_id();
    if (!resume.empty()) resume = "resume: moxie -r " + resume + "\n";
    if (answer == 0 || conversation.turn(answer).text.empty()) return resume;
    const std::string text = core::sanitize(conversation.turn(answer).text);
    size_t begin = text.size();
    for (size_t rows = 0; rows < kRows && begin != 0; ++rows) {
        const size_t newline = text.rfind('\n', begin - 1);
        begin = newline == std::string::npos ? 0 : newline;
    }
    if (begin > 0 && text[begin] == '\n') ++begin;
    return title_of(session_) + "\n" + text.substr(begin) + "\n" + resume;
}

}  // namespace app
