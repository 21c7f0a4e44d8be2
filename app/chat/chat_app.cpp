#include "app/chat/chat_app.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "app/commands/commands.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr std::chrono::seconds kToastTime{3};
// The first run's greeting tells how many models there are; it does not wait longer for that.
constexpr std::chrono::milliseconds kGreetingPatience{800};

// A theme that is not there or has mistakes is no reason to stop.
ui::Theme theme_of(const ChatOptions& options, std::string& trouble) {
    const ui::ColorWish colors = color_wish(options.config);
    try {
        return ui::Theme::named(options.theme, colors);
    } catch (const core::Error& error) {
        trouble = error.sentence();
        return ui::Theme::named({}, colors);
    }
}

using PlanLoad = std::function<LoadPlan(const std::string& path)>;

SessionOptions session_options(const ChatOptions& options, PlanLoad plan_load) {
    return {.model_path = options.model_path,
            .model_chosen = options.model_chosen,
            .plan_load = std::move(plan_load),
            .sampling = options.sampling.choice().sampling,
            .fixed_seed = options.sampling.choice().fixed_seed,
            .system = options.system,
            .system_chosen = options.system_chosen,
            .titles = options.config.text("chat.title") != "none",
            .temporary = options.temporary,
            .template_name = options.template_name,
            .context = options.context,
            .kv = options.kv,
            .max_tokens = options.sampling.choice().max_tokens,
            .stop = options.stop,
            .context_policy =
                context_policy(options.config.text("context.policy")).value_or(ContextPolicy::stop),
            .context_reserve = static_cast<uint32_t>(options.config.integer("context.reserve"))};
}

}  // namespace

ChatApp::ChatApp(const ChatOptions& options, chat::Channel& channel, ui::LineEditor& editor,
                 ui::Terminal& terminal, core::StoreChannel* store)
    : options_(options),
      theme_(theme_of(options, theme_trouble_)),
      theme_name_(options.theme.empty() ? "terminal" : options.theme),
      settings_(
          options.config, options.sampling,
          {.context = options.context, .kv = options.kv, .template_name = options.template_name},
          Presets::of_user()),
      models_(options.model_places),
      session_(
          session_options(options, [this](const std::string& path) { return plan_load(path); }),
          channel, store),
      editor_(editor),
      terminal_(terminal),
      decoder_(std::chrono::milliseconds(settings_.config().integer("terminal.esc_ms"))) {
    theme_watch_.watch(ui::Theme::file_of(theme_name_));
    editor_.set_completer([this](std::string_view line) { return complete_command(*this, line); });
}

void ChatApp::start(TimePoint now) {
    now_ = now;
    if (!theme_trouble_.empty()) session_.say(theme_trouble_, true);
    for (const ConfigNotice& notice : settings_.config().notices())
        session_.say(notice.text, notice.mistake);
    on_configured();
    if (options_.resume) return session_.open(*options_.resume);
    const std::string& startup = settings_.config().text("startup");
    if (options_.bundled_model) greeting_due_ = now + kGreetingPatience;
    // Without a configuration (tests) a chat is a new one.
    if (startup == "last" && options_.open_last && !options_.temporary &&
        !options_.data_folder.empty())
        return session_.open_last();
    session_.start(now);
    if (startup == "list" && !options_.data_folder.empty()) open_panel("conversations");
}

void ChatApp::on_input(std::string_view bytes, TimePoint now) {
    now_ = now;
    std::vector<ui::Input> inputs = decoder_.feed(bytes, now);
    if (settings_.config().text("ui.wheel") == "burst") inputs = ui::fold_wheel(std::move(inputs));
    for (const ui::Input& input : inputs)
        dispatch(input);
    follow();  // a command may have begun another conversation
}

void ChatApp::on_events(TimePoint now) {
    now_ = now;
    const Activity before = session_.activity();
    if (!session_.drain(now)) return;
    follow();
    draw_soon_ = true;
    if (when_open_.second && !session_.busy()) {
        const auto [conversation, action] = std::exchange(when_open_, {});
        if (session_.saver().conversation_id() == conversation) action(*this);
    }
    if (bell_.rings(settings_.config().text("ui.bell"), before, session_.activity()))
        terminal_.ring();
    // The end of an answer is worth a frame of its own: somebody who pressed C-c waits for it.
    if (session_.activity() != before) draw_now_ = true;
    if (session_.activity() == Activity::idle && before != Activity::idle) name_when_idle();
}

void ChatApp::on_resize() {
    terminal_.measure();
    draw_now_ = true;
}

void ChatApp::on_resumed(TimePoint now) {
    terminal_.resume();
    toast("continued", now);
}

void ChatApp::on_returned(const Errand& errand, int status, TimePoint now) {
    now_ = now;
    terminal_.resume();
    draw_now_ = true;
    errand.done(*this, status);
    changed_by_user();
}

// A message that was begun waits in the history.
void ChatApp::end(TimePoint now) {
    if (!editor_.text().empty()) editor_.add_history(editor_.text());
    session_.end(now);
}

void ChatApp::on_timeout(TimePoint now) {
    now_ = now;
    for (const ui::Input& input : decoder_.expire(now))
        dispatch(input);
    session_.tick(now);
    if (greeting_due_ && now >= *greeting_due_) greet();
    if (!no_motion() && prefix_.tick(now)) draw_now_ = true;
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
    if (greeting_due_) consider(*greeting_due_);
    if (const auto time = prefix_.due(); time && !no_motion()) consider(*time);
    if (draw_now_) {
        consider(last_draw_);
    } else if (draw_soon_) {
        consider(last_draw_ + frame());
    }
    return next;
}

void ChatApp::toast(std::string text, TimePoint now) {
    toast_ = std::move(text);
    toast_end_ = now + kToastTime;
    draw_now_ = true;
}

void ChatApp::toggle_panel(std::string_view name) {
    const bool open = panel_ != nullptr && panel_->name() == name;
    panel_.reset();
    if (!open) open_panel(name);
}

void ChatApp::open_panel(std::string_view name) {
    for (std::unique_ptr<Panel>& panel : all_panels())
        if (panel->name() == name) panel_ = std::move(panel);
    if (name == "conversations") session_.library().list();
}

void ChatApp::new_chat(bool temporary) {
    editing_ = 0;
    session_.restart(temporary);
    toast(session_.saver().temporary() ? "temporary chat: nothing of it is kept" : "new chat",
          now_);
}

}  // namespace app
