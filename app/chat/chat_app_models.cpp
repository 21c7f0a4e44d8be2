// The part of ChatApp that deals with models and settings: which is loaded and how, what the first
// run says, and what comes into force with another model or conversation.
#include <utility>

#include "app/chat/chat_app.h"
#include "core/base/error.h"

namespace app {

ui::ColorWish color_wish(const Config& config) {
    const std::string& wish = config.text("terminal.color");
    return wish == "never"    ? ui::ColorWish::never
           : wish == "always" ? ui::ColorWish::always
                              : ui::ColorWish::automatic;
}

LoadPlan ChatApp::plan_load(const std::string& path) const {
    const LoadSettings load = settings_.load_settings(path);
    return {.context = load.context,
            .kv = load.kv,
            .template_name = load.template_name,
            .threads = load.threads,
            .refusal = models_.too_large_by_itself(path)};
}

void ChatApp::load_model(const std::string& wanted) {
    const std::string path = models_.path_of(wanted);
    const auto& loaded = session_.model();
    const uint64_t reclaimable = loaded ? loaded->weight_bytes + loaded->kv_bytes : 0;
    const auto question = models_.question_before(path, settings_.load_settings(path), reclaimable);
    if (question) return session_.say(question->text);
    session_.load(path, now_);
}

// A number behind a question about memory. True: the line was that and nothing else.
bool ChatApp::answer_question(const std::string& line) {
    const auto answer = models_.take_answer(line);
    if (!answer) {
        models_.forget_question();
        return false;
    }
    if (answer->choice.other_model) {
        open_panel("models");
    } else {
        settings_.override_load({.context = answer->choice.context, .kv = answer->choice.kv});
        session_.load(answer->path, now_);
    }
    return true;
}

void ChatApp::follow() {
    if (const auto trouble = settings_.follow(session_)) refuse(*trouble);
}

void ChatApp::on_models_found() {
    models_.acknowledge();
    draw_now_ = true;
    if (greeting_due_) greet();
}

// Where a conversation was opened instead, there is nothing to explain.
void ChatApp::greet() {
    if (session_.opening()) {
        greeting_due_ = now_ + std::chrono::milliseconds(50);
        return;
    }
    greeting_due_.reset();
    if (!session_.conversation().empty()) return;
    session_.say(first_run_text(models_.models(), options_.data_folder));
    draw_now_ = true;
}

// Where the user wants that: after the first answer, and never twice.
void ChatApp::name_when_idle() {
    const chat::Conversation& conversation = session_.conversation();
    const chat::TurnId answer = conversation.last_answer();
    const bool first = answer != 0 && conversation.line(answer).size() == 2 &&
                       conversation.siblings(answer).size() == 1 &&
                       conversation.turn(answer).state == chat::TurnState::done;
    if (!first || settings_.config().text("chat.title") != "model-idle") return;
    if (std::exchange(named_conversation_, session_.conversation_number()) !=
        session_.conversation_number())
        session_.name_by_model(now_);
}

void ChatApp::on_configured() {
    const Config& config = settings_.config();
    bindings_ = KeyBindings(config);
    session_.set_keeping(keeping_of(config));
    feed_.set_thinking(
        thinking_view_named(config.text("chat.thinking")).value_or(ThinkingView::fold));
    for (const ConfigNotice& notice : bindings_.notices())
        session_.say(notice.text, notice.mistake);
}

void ChatApp::say_at_length(std::string text) {
    say(std::move(text));
    feed_.show_last_notice();
}

void ChatApp::use_theme(const std::string& name) {
    theme_ = ui::Theme::named(name, color_wish(settings_.config()));
    theme_name_ = name;
    theme_watch_.watch(ui::Theme::file_of(name));
    draw_now_ = true;
}

void ChatApp::on_theme_changed() {
    if (!theme_watch_.changed()) return;
    draw_now_ = true;
    try {
        theme_ = ui::Theme::named(theme_name_, color_wish(settings_.config()));
    } catch (const core::Error& error) {
        refuse(error.sentence());
    }
}

}  // namespace app
