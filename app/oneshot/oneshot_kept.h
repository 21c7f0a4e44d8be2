// The saved conversation that a one-shot answer continues or begins. Waits for the store: there is
// no screen that could stand still.
#pragma once

#include <optional>
#include <string>

#include "app/session/keeping.h"
#include "core/chat/conversation.h"
#include "core/store/records.h"

namespace app {

class KeptConversation {
  public:
    // Waits until the store has opened. Throws core::Error(storage) when it could not, or cannot
    // save where `saves`.
    KeptConversation(core::StoreChannel& store, bool saves, const Keeping& keeping);

    // Continues a saved conversation. Throws core::Error(usage) when there is none.
    void open(const std::string& prefix);

    chat::Conversation& conversation() { return conversation_; }
    // Its system text, model and parameters; set what shall be saved.
    core::ConversationHead& head() { return head_; }

    // The turns that are new or have changed since the last call. Throws core::Error(storage).
    void save(bool durable);
    // What the KV cache may have on disk of it.
    void keep_line(chat::TurnId answer, const chat::Finished& finished);

  private:
    core::StoreChannel& store_;
    const bool saves_;
    const Keeping keeping_;
    core::StoreRequestId last_request_ = 0;
    chat::Conversation conversation_;
    core::ConversationHead head_;
    chat::TurnId saved_ = 0;  // turns up to here stay as they are saved
};

}  // namespace app
