#include "app/chat_app.h"

#include <algorithm>
#include <utility>

#include "app/chat_view.h"
#include "app/commands.h"
#include "app/parameters.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using ui::Key;
using ui::KeyCode;

constexpr std::chrono::milliseconds kFrame{33};  // 30 frames a second
constexpr std::chrono::milliseconds kStatusPeriod{250};
constexpr std::chrono::seconds kToastTime{3};

constexpr std::string_view kBundledModelText =
    "This is moxie with its bundled model: tiny, so that it starts at once on any machine, and it "
    "will be wrong about most things. /model PATH loads a better one (GGUF). Nothing leaves this "
    "computer. C-x ? shows the keys, /help the commands.";

bool is_blank(std::string_view text) {
    return text.find_first_not_of(" \t\n") == std::string_view::npos;
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
    std::string text;
    for (const std::string& part : parts) {
        if (!text.empty()) text += between;
        text += part;
    }
    return text;
}

SessionOptions session_options(const ChatOptions& options) {
    return {.model_path = options.model_path,
            .model_chosen = options.model_chosen,
            .sampling = options.sampling,
            .fixed_seed = options.fixed_seed,
            .system = options.system,
            .temporary = options.temporary,
            .template_name = options.template_name,
            .context = options.context,
            .kv = options.kv,
            .max_tokens = options.max_tokens,
            .stop = options.stop};
}

}  // namespace

ChatApp::ChatApp(const ChatOptions& options, chat::Channel& channel, ui::LineEditor& editor,
                 ui::Terminal& terminal, core::StoreChannel* store)
    : options_(options),
      theme_(ui::Theme::named(options.theme)),
      session_(session_options(options), channel, store),
      editor_(editor),
      terminal_(terminal) {
    editor_.set_completer([](std::string_view line) { return complete_command(line); });
}

void ChatApp::start(TimePoint now) {
    now_ = now;
    if (options_.resume) return session_.open(*options_.resume);
    if (options_.bundled_model) session_.say(std::string(kBundledModelText));
    session_.start(now);
}

void ChatApp::on_input(std::string_view bytes, TimePoint now) {
    now_ = now;
    for (const ui::Input& input : ui::fold_wheel(decoder_.feed(bytes, now)))
        dispatch(input);
}

void ChatApp::on_events(TimePoint now) {
    now_ = now;
    const Activity before = session_.activity();
    if (!session_.drain(now)) return;
    transcript_stale_ = true;
    draw_soon_ = true;
    // The end of an answer is worth a frame of its own: somebody who pressed C-c waits for it.
    if (session_.activity() != before) draw_now_ = true;
}

void ChatApp::on_resize() {
    terminal_.measure();
    draw_now_ = true;
}

void ChatApp::on_resumed(TimePoint now) {
    terminal_.resume();
    toast("continued", now);
}

void ChatApp::on_timeout(TimePoint now) {
    now_ = now;
    for (const ui::Input& input : decoder_.expire(now))
        dispatch(input);
    session_.tick(now);
    if (!toast_.empty() && now >= toast_end_) {
        toast_.clear();
        draw_now_ = true;
    }
}

std::optional<TimePoint> ChatApp::next_wakeup() const {
    std::optional<TimePoint> next = decoder_.deadline();
    const auto consider = [&next](TimePoint time) { next = next ? std::min(*next, time) : time; };
    if (!toast_.empty()) consider(toast_end_);
    if (status_behind_) consider(status_time_ + kStatusPeriod);
    if (const auto time = session_.next_wakeup()) consider(*time);
    if (draw_now_) {
        consider(last_draw_);
    } else if (draw_soon_) {
        consider(last_draw_ + kFrame);
    }
    return next;
}

void ChatApp::toast(std::string text, TimePoint now) {
    toast_ = std::move(text);
    toast_end_ = now + kToastTime;
    draw_now_ = true;
}

// --- keys -------------------------------------------------------------------------------------

void ChatApp::dispatch(const ui::Input& input) {
    draw_now_ = true;
    if (const auto* key = std::get_if<Key>(&input)) {
        on_key(*key);
    } else if (const auto* paste = std::get_if<ui::Paste>(&input)) {
        editor_.paste(paste->text);
    } else if (const auto* wheel = std::get_if<ui::Wheel>(&input)) {
        transcript_.scroll(wheel->lines);
    } else if (const auto* report = std::get_if<ui::ModeReport>(&input)) {
        constexpr int kSynchronizedUpdate = 2026;
        const bool known = report->value == 1 || report->value == 2;
        if (report->mode == kSynchronizedUpdate) terminal_.synchronize_updates(known);
    }
}

void ChatApp::on_key(const Key& key) {
    if (prefix_) {
        const Key prefix = *std::exchange(prefix_, std::nullopt);
        if (!on_prefixed_key(key)) give_to_editor(prefix.bytes + key.bytes);
        return;
    }
    if (key.is_control('c')) return interrupt(now_);
    if (editor_.wants_all_keys()) return give_to_editor(key.bytes);
    if (key.is_control('x')) {
        prefix_ = key;
    } else if (!on_control_key(key) && !on_program_key(key)) {
        give_to_editor(key.bytes);
    }
}

// C-x and a key; false: it is readline's.
bool ChatApp::on_prefixed_key(const Key& key) {
    if (key.is_control('g') || key.is_control('c') || key.is(KeyCode::escape)) return true;
    if (key.code != KeyCode::character || key.modifiers != 0) return false;
    changed_by_user();
    switch (key.character) {
        case 'r': report(session_.regenerate(now_)); return true;
        case '[':
        case ']': show_sibling(key.character == '[' ? -1 : 1); return true;
        case 'n': run_command(*this, "/new"); return true;
        case 'q': end_of_input(); return true;
        case '?': run_command(*this, "/help"); return true;
        default: return false;
    }
}

bool ChatApp::on_control_key(const Key& key) {
    if (key.is_control('d') && editor_.text().empty()) {
        end_of_input();
    } else if (key.is_control('z')) {
        suspend_ = true;
    } else if (key.is_control('l')) {
        terminal_.repaint();
    } else if (key.is_control('\\')) {
        quit(131);
    } else {
        return false;
    }
    return true;
}

bool ChatApp::on_program_key(const Key& key) {
    const bool function = key.code == KeyCode::function && key.modifiers == 0;
    if (key.is(KeyCode::page_up) || (key.character == 'v' && key.modifiers == ui::kAlt)) {
        transcript_.scroll_page(-1);
    } else if (key.is(KeyCode::page_down)) {
        transcript_.scroll_page(1);
    } else if (key.is(KeyCode::home, ui::kControl)) {
        transcript_.to_top();
    } else if (key.is(KeyCode::end, ui::kControl)) {
        transcript_.to_end();
    } else if (key.code == KeyCode::enter && key.modifiers != 0) {
        editor_.insert_newline();
    } else if (key.is(KeyCode::enter)) {
        give_to_editor("\r");
    } else if (function && key.character == 5) {
        report(session_.regenerate(now_));
        changed_by_user();
    } else if (function && key.character == 1) {
        run_command(*this, "/help");
        changed_by_user();
    } else if (key.is(KeyCode::escape)) {
        // A lone Escape means nothing outside of vi mode; readline would wait for the rest of it.
        if (editor_.is_vi()) give_to_editor(key.bytes);
    } else {
        return move_vertically(key);
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
    if (is_blank(line)) return;
    editor_.add_history(line);
    transcript_.to_end();
    changed_by_user();
    if (line.starts_with("//")) {
        session_.send(line.substr(1), now_);
    } else if (line.starts_with('/')) {
        run_command(*this, line);
    } else {
        session_.send(line, now_);
    }
}

// What a user does shows at once, in the status row too.
void ChatApp::changed_by_user() {
    transcript_stale_ = true;
    status_time_ = {};
}

void ChatApp::interrupt(TimePoint now) {
    now_ = now;
    draw_now_ = true;
    changed_by_user();
    if (editor_.wants_all_keys()) {
        editor_.abort();
    } else if (session_.busy()) {
        session_.stop();
        // What waits is not sent after a stop; it comes back to be looked at.
        std::vector<std::string> waiting = session_.take_queue();
        if (!waiting.empty()) {
            if (!editor_.text().empty()) waiting.push_back(editor_.text());
            editor_.set_text(join(waiting, "\n"));
        }
    } else if (!editor_.text().empty()) {
        editor_.kill_line();
        toast("cleared; C-y brings it back", now);
    } else {
        toast("C-d to quit", now);
    }
}

void ChatApp::end_of_input() {
    if (session_.queue().empty() || quit_confirmed_)
        return quit(session_.load_failure() ? session_.load_failure()->exit_code : 0);
    quit_confirmed_ = true;
    toast(std::to_string(session_.queue().size()) + " prompts wait; once more to quit", now_);
}

void ChatApp::report(const std::optional<std::string>& trouble) {
    if (trouble) {
        toast(*trouble, now_);
    } else {
        transcript_.to_end();
    }
}

void ChatApp::show_sibling(int step) {
    if (session_.show_sibling(step)) {
        transcript_.to_end();
    } else {
        toast(session_.busy() ? "stop the answer first (C-c)"
                              : "no other answer here; C-x r makes one",
              now_);
    }
}

void ChatApp::new_chat(bool temporary) {
    session_.restart(temporary);
    toast(session_.saver().temporary() ? "temporary chat: nothing of it is kept" : "new chat",
          now_);
}

// --- screen -----------------------------------------------------------------------------------

// Brings the transcript in step with the session. What is shown already only grows.
void ChatApp::sync_transcript() {
    if (std::exchange(shown_conversation_, session_.conversation_number()) !=
        session_.conversation_number()) {
        transcript_.truncate(0);
        transcript_.to_end();
    }
    const std::vector<Block> wanted = blocks_of(session_);
    size_t same = 0;
    while (same < wanted.size() && same < transcript_.size() &&
           transcript_.item(same).key == wanted[same].item.key)
        ++same;
    transcript_.truncate(same);
    for (size_t i = 0; i < wanted.size(); ++i) {
        if (i >= same) transcript_.add(wanted[i].item);
        show_block(transcript_, i, wanted[i]);
    }
    transcript_stale_ = false;
}

// Numbers that change with every token are shown four times a second: a row that flickers cannot be
// read, and costs bytes on a slow line.
void ChatApp::refresh_status() {
    const Activity activity = session_.activity();
    const bool streaming = activity == Activity::generating || activity == Activity::prefill;
    status_behind_ =
        streaming && activity == status_activity_ && now_ - status_time_ < kStatusPeriod;
    if (status_behind_) return;
    status_ = status_segments(session_, now_, differences_text());
    status_time_ = now_;
    status_activity_ = activity;
}

std::string ChatApp::differences_text() const {
    return differences(default_sampling_, session_.sampling());
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
    if (prefix_) insert("C-x-");
    return state;
}

bool ChatApp::draw(TimePoint now) {
    const bool due = draw_now_ || (draw_soon_ && now >= last_draw_ + kFrame) ||
                     (status_behind_ && now >= status_time_ + kStatusPeriod);
    if (!due) return false;
    now_ = now;
    if (transcript_stale_) sync_transcript();
    refresh_status();
    ui::Frame frame = ui::draw_screen(terminal_.size(), screen_state(), transcript_, theme_);
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
