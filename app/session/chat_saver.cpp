#include "app/session/chat_saver.h"

#include <utility>

#include "app/session/kept_pages.h"

namespace app {
namespace {

// What a crash may cost of an answer.
constexpr std::chrono::seconds kPartialPeriod{1};

}  // namespace

void ChatSaver::begin(bool temporary, core::ForkOrigin origin) {
    ref_ = next_ref();
    origin_ = std::move(origin);
    temporary_ = temporary;
    conversation_id_.clear();
    saved_ = 0;
    under_way_ = 0;
}

void ChatSaver::adopt(core::ConversationRef ref, std::string conversation_id, chat::TurnId turns) {
    ref_ = ref;
    temporary_ = false;
    conversation_id_ = std::move(conversation_id);
    saved_ = turns;
    under_way_ = 0;
}

void ChatSaver::submit(const chat::Conversation& conversation, core::SaveTurns request) {
    saved_then_ = saved_;
    std::vector<chat::Turn> turns;
    for (chat::TurnId id = saved_ + 1; id <= conversation.size(); ++id) {
        turns.push_back(conversation.turn(id));
        keeping_.apply_to(turns.back());
        const bool finished = turns.back().state != chat::TurnState::streaming;
        if (finished && saved_then_ + 1 == id) saved_then_ = id;
    }
    // The prompt, which is not in the conversation yet.
    for (chat::Turn& turn : request.turns) {
        if (saved_then_ + 1 == turn.id) saved_then_ = turn.id;
        turns.push_back(std::move(turn));
    }
    request.turns = std::move(turns);
    request.id = under_way_ = next_request();
    request.conversation = ref_;
    request.head.origin = origin_;
    store_->requests.push(std::move(request));
}

core::StoreRequestId ChatSaver::save_prompt(const chat::Conversation& conversation,
                                            core::ConversationHead head, chat::Turn prompt) {
    head.tip = prompt.id;
    core::SaveTurns request{.head = std::move(head), .turns = {}, .durable = true};
    request.turns.push_back(std::move(prompt));
    submit(conversation, std::move(request));
    return under_way_;
}

void ChatSaver::save(const chat::Conversation& conversation, core::ConversationHead head,
                     TimePoint now) {
    if (!saves() || conversation.empty()) return;
    last_save_ = now;
    submit(conversation, {.head = std::move(head)});
}

void ChatSaver::keep_line(chat::TurnId answer, const chat::Finished& finished) {
    if (!saves() || finished.cached_line.empty()) return;
    store_->requests.push(core::KeepLine{.id = next_request(),
                                         .conversation = ref_,
                                         .answer = answer,
                                         .line = cached_line(finished)});
}

std::optional<TimePoint> ChatSaver::partial_due() const {
    if (!saves() || under_way_ != 0) return std::nullopt;
    return last_save_ + kPartialPeriod;
}

void ChatSaver::on(const core::StoreOpened& opened) {
    writable_ = opened.access == core::StoreAccess::writable;
}

// Saves are answered in order, so that the answer to the newest settles all.
bool ChatSaver::on(const core::Saved& saved) {
    if (saved.conversation == ref_) conversation_id_ = saved.conversation_id;
    if (saved.id == under_way_) {
        under_way_ = 0;
        saved_ = saved_then_;
    }
    return std::exchange(failing_, false);
}

bool ChatSaver::on(const core::StoreFailed& failed) {
    if (failed.id != under_way_) return false;
    under_way_ = 0;
    return !std::exchange(failing_, true);
}

}  // namespace app
