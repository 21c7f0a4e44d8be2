// The part of ChatApp that deals with models and settings: which is loaded and how, what the first
// run says, and what comes into force with another model or conversation.
#include <utility>

#include "app/chat_app.h"

namespace app {

LoadPlan ChatApp::plan_load(const std::string& path) const {
    const LoadSettings load = settings_.load_settings(path);
    return {.context = load.context,
            .kv = load.kv,
            .template_name = load.template_name,
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
        settings_.override_load(answer->choice.context, answer->choice.kv);
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
    transcript_stale_ = true;
    draw_now_ = true;
}

}  // namespace app
