// Keeps the store in step with one conversation: which of its turns are saved, which have to be,
// and when a partial answer is due. Never waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "app/session/keeping.h"
#include "core/chat/conversation.h"
#include "core/store/records.h"

namespace app {

using TimePoint = std::chrono::steady_clock::time_point;

class ChatSaver {
  public:
    // Without a store nothing is saved.
    explicit ChatSaver(core::StoreChannel* store) : store_(store) {}

    // Whether the conversation is saved at all. Until the store has opened it counts as writable.
    bool saves() const { return store_ != nullptr && writable_ && !temporary_; }
    bool temporary() const { return temporary_; }
    // From the next save on.
    void set_keeping(const Keeping& keeping) { keeping_ = keeping; }
    const Keeping& keeping() const { return keeping_; }
    bool failing() const { return failing_; }
    core::StoreChannel* store() const { return store_; }
    // Of the conversation, once something of it is saved.
    const std::string& conversation_id() const { return conversation_id_; }

    // A new conversation from here on, which may be a fork.
    void begin(bool temporary, core::ForkOrigin origin = {});
    // One that was loaded under a name of next_ref(): its turns are all saved.
    core::ConversationRef ref() const { return ref_; }
    core::ConversationRef next_ref() { return ++last_ref_; }
    void adopt(core::ConversationRef ref, std::string conversation_id, chat::TurnId turns);
    // Requests of the client other than saves.
    core::StoreRequestId next_request() { return ++last_request_; }

    // Saves what is not saved yet and then `prompt`, the turn that comes next. Its answer waits
    // until the request given back is settled.
    core::StoreRequestId save_prompt(const chat::Conversation& conversation,
                                     core::ConversationHead head, chat::Turn prompt);
    // Saves what is not saved yet, a running answer as far as it is, and the head. Nothing happens
    // while no turn is there.
    void save(const chat::Conversation& conversation, core::ConversationHead head, TimePoint now);
    // What the KV cache may have on disk of a line that ends with an answer that is saved.
    void keep_line(chat::TurnId answer, const chat::Finished& finished);
    // When a running answer is to be saved again; nothing while a save of it is under way.
    std::optional<TimePoint> partial_due() const;

    // What the store says; true: saving has begun to work again.
    void on(const core::StoreOpened& opened);
    bool on(const core::Saved& saved);
    // True: it is the first of a row of failures, and worth telling.
    bool on(const core::StoreFailed& failed);

  private:
    void submit(const chat::Conversation& conversation, core::SaveTurns request);

    core::StoreChannel* store_;
    Keeping keeping_;
    bool writable_ = true;
    bool temporary_ = false;
    bool failing_ = false;

    core::ConversationRef ref_ = 1;
    core::ConversationRef last_ref_ = 1;
    core::ForkOrigin origin_;
    std::string conversation_id_;
    chat::TurnId saved_ = 0;  // turns up to here are saved as they will stay

    core::StoreRequestId last_request_ = 0;
    // The newest save of turns, and what will be saved when it is answered.
    core::StoreRequestId under_way_ = 0;
    chat::TurnId saved_then_ = 0;
    TimePoint last_save_;
};

}  // namespace app
