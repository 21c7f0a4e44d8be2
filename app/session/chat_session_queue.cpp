// The part of ChatSession that sends: prompts wait in the queue, go to the disk, and are answered.
#include <utility>

#include "app/session/chat_session.h"

namespace app {

void ChatSession::send(chat::Prompt prompt, TimePoint now) {
    queue_.push_back(std::move(prompt));
    send_next(now);
}

void ChatSession::send_next(TimePoint now) {
    now_ = now;
    if (busy() || !model_ || queue_.empty()) return;
    send_after(conversation_.tip(), take_queued(0), now);
}

void ChatSession::send_after(chat::TurnId parent, chat::Prompt prompt, TimePoint now) {
    Sending sending{.prompt = std::move(prompt), .parent = parent};
    if (!saver_.saves()) return send_now(std::move(sending), now);
    chat::Turn turn;
    turn.id = conversation_.size() + 1;
    turn.parent = parent;
    turn.text = sending.prompt.text;
    turn.files = sending.prompt.files;
    sending.id = saver_.save_prompt(conversation_, head(sending.prompt), std::move(turn));
    sending_ = std::move(sending);
}

// The prompt is on the disk, or cannot be saved.
void ChatSession::sent(TimePoint now) {
    send_now(*std::exchange(sending_, std::nullopt), now);
}

void ChatSession::send_now(Sending sending, TimePoint now) {
    const chat::TurnId turn = conversation_.add_user(std::move(sending.prompt), sending.parent);
    redo_.clear();
    if (!sending.stopped) answer({.prompt = turn}, now);
}

std::vector<chat::Prompt> ChatSession::take_queue() {
    std::vector<chat::Prompt> prompts(queue_.begin(), queue_.end());
    queue_.clear();
    return prompts;
}

chat::Prompt ChatSession::take_queued(size_t index) {
    const auto place = queue_.begin() + static_cast<std::ptrdiff_t>(index);
    chat::Prompt prompt = std::move(*place);
    queue_.erase(place);
    return prompt;
}

void ChatSession::count_files(const chat::Attachments& files) {
    if (!files.empty()) file_tokens_.want(files, model_ ? model_->name : "");
}

}  // namespace app
