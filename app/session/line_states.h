// Where lines of conversations are in the KV cache, for lists of many: the engine is asked for
// those that are looked at, a few at a time, and its answers are kept until something may have
// changed.
//
// A line is one of the conversation that is open, or the one that a saved conversation shows, which
// the store has to read first. UI thread; nothing here waits.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "app/session/chat_saver.h"
#include "core/chat/channel.h"
#include "core/chat/conversation.h"
#include "core/chat/protocol.h"
#include "core/store/records.h"

namespace app {

class LineStates {
  public:
    // The saver knows the store and numbers its requests.
    LineStates(chat::Channel& channel, ChatSaver& saver) : channel_(channel), saver_(saver) {}

    // The model that would read the lines; what was known of another's is forgotten. Null: there
    // is none, and saved conversations are as `moxie chats` tells them: by what is on disk.
    void serve(const chat::ModelReady* model);
    // What is known may be wrong from here on: it is shown until it has been asked for again.
    void cache_changed() { ++epoch_; }

    // These are on the screen, the first of them first.
    void look_at(const std::vector<const core::ConversationHead*>& conversations);
    // Ends of lines of the open one, which has this number (ChatSession::conversation_number).
    void look_at(const chat::Conversation& tree, uint32_t number,
                 const std::vector<chat::TurnId>& ends);

    // "◐ on disk 310 MB ~0.8 s"; "-": it cannot be told; empty: not known yet, or nobody to ask.
    std::string label(const core::ConversationHead& conversation) const;
    std::string label(uint32_t number, chat::TurnId end) const;

    // Another number whenever a label may be another one.
    uint64_t changes() const { return changes_; }
    // Whether the store or the engine still has something to say.
    bool waiting() const { return !under_way_.empty(); }

    // What the store and the engine say; true: the request was one of these.
    bool on(const core::LineRead& read);
    bool on(const core::PagesFound& found);
    bool on(const core::StoreFailed& failed);
    bool on(const chat::KvListed& listed);
    bool on(const chat::Failed& failed);

  private:
    // A saved conversation by its id, or the end of a line of the open one.
    struct Key {
        std::string conversation = {};
        uint32_t number = 0;
        chat::TurnId end = 0;
        friend bool operator==(const Key&, const Key&) = default;
        friend bool operator<(const Key& a, const Key& b) {
            return std::tie(a.conversation, a.number, a.end) <
                   std::tie(b.conversation, b.number, b.end);
        }
    };
    struct Known {
        std::string label = {};
        uint64_t epoch = 0;
        int64_t updated = 0;  // of the conversation when it was asked for
    };
    struct UnderWay {
        Key key;
        uint64_t epoch = 0;
        int64_t updated = 0;
        core::StoreRequestId reading = 0;
        chat::RequestId asked = 0;
    };

    bool wants(const Key& key, int64_t updated) const;
    void ask(UnderWay& line, std::vector<chat::Message> messages);
    void settle(UnderWay line, std::string label);
    template <class Which>
    std::vector<UnderWay>::iterator find(Which&& which);
    std::string label(const Key& key) const;

    chat::Channel& channel_;
    ChatSaver& saver_;
    std::string model_;     // empty: none
    uint32_t context_ = 0;  // its window
    uint64_t epoch_ = 1;
    uint64_t changes_ = 0;
    std::map<Key, Known> known_;
    std::vector<UnderWay> under_way_;
};

}  // namespace app
