// What the store and its client say to each other: values only. One client, one StoreChannel; every
// request is answered by exactly one event, in order.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "core/base/event_queue.h"
#include "core/chat/conversation.h"
#include "core/store/trouble.h"

namespace core {

using StoreRequestId = uint64_t;  // chosen by the client, 0 is nobody's
// The client's own name for a conversation, so that it need not wait for the store to name it.
using ConversationRef = uint32_t;

struct StoredModel {
    std::string name = {};
    std::string path = {};
    std::string family = {};
    uint64_t bytes = 0;
    friend bool operator==(const StoredModel&, const StoredModel&) = default;
};

// All of a conversation but its turns.
struct ConversationHead {
    std::string id = {};  // "3f2a": four hexadecimal digits or more, for good; given by the store
    std::string title = {};
    int64_t created = 0;  // milliseconds since 1970, given by the store
    int64_t updated = 0;
    StoredModel model = {};  // in use when it was saved last
    std::string system = {};
    chat::Sampling sampling = {};
    bool fixed_seed = false;
    chat::TurnId tip = 0;
    uint32_t turns = 0;  // when listed
    bool pinned = false;
    bool deleted = false;
};

struct StoredConversation {
    ConversationHead head = {};
    chat::Conversation conversation = {};
};

// --- requests ---------------------------------------------------------------------------------

// Makes the conversation with its first turns; afterwards turns that are new or still streaming are
// written, and finished ones are left as they are. Answered by Saved.
struct SaveTurns {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    ConversationHead head = {};  // id, created, updated, turns do not count
    std::vector<chat::Turn> turns = {};
    bool durable = false;  // on the disk, whatever happens to the machine, before it is answered
};

// The conversation whose id begins with `prefix`, or with none the one that was changed last.
// Answered by Loaded; `conversation` is its name from then on.
struct LoadConversation {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    std::string prefix = {};
};

// The newest first, pinned ones before. Answered by Listed.
struct ListConversations {
    StoreRequestId id = 0;
    uint32_t limit = 100;
};

enum class Removal : uint8_t {
    remove,   // it is not listed any more, and can come back
    restore,  // takes that back
    purge,    // for ever: rows, index and copies before migrations
};

// Answered by Removed.
struct RemoveConversation {
    StoreRequestId id = 0;
    std::string conversation = {};  // its whole id
    Removal how = Removal::remove;
};

// The last request: what came before it is done, then the store ends. Not answered.
struct CloseStore {};

using StoreRequest =
    std::variant<CloseStore, SaveTurns, LoadConversation, ListConversations, RemoveConversation>;

// --- events -----------------------------------------------------------------------------------

enum class StoreAccess : uint8_t { writable, read_only, none };

// The first event, without a request. With less than `writable` nothing is saved, and `sentence`
// says why.
struct StoreOpened {
    StoreAccess access = StoreAccess::none;
    std::string sentence = {};
};

struct Saved {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    std::string conversation_id = {};
};

struct Loaded {
    StoreRequestId id = 0;
    StoredConversation conversation = {};
};

struct Listed {
    StoreRequestId id = 0;
    std::vector<ConversationHead> conversations = {};
};

struct Removed {
    StoreRequestId id = 0;
};

struct StoreFailed {
    StoreRequestId id = 0;
    StoreTrouble trouble = StoreTrouble::other;
    std::string sentence = {};  // ready for the user
};

using StoreEvent = std::variant<StoreOpened, Saved, Loaded, Listed, Removed, StoreFailed>;

struct StoreChannel {
    EventQueue<StoreRequest> requests{64};  // client to store
    EventQueue<StoreEvent> events{64};      // store to client
};

}  // namespace core
