// The part of ChatSession that asks the engine about single tokens.
#include <utility>

#include "app/session/chat_session.h"

namespace app {

void ChatSession::spell(chat::Spell question, std::function<void(const chat::Spelled&)> then) {
    question.id = channel_.next_id();
    spellings_[question.id] = std::move(then);
    channel_.submit(std::move(question));
}

void ChatSession::on(const chat::Spelled& spelled, TimePoint /*now*/) {
    const auto asked = spellings_.extract(spelled.id);
    if (!asked.empty()) asked.mapped()(spelled);
}

}  // namespace app
