// What the store and its client say to each other: values only. One client, one StoreChannel; every
// request is answered by exactly one event, in order.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/event_queue.h"
#include "core/base/hash.h"
#include "core/base/token_id.h"
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

// Where a conversation was forked off; of one that is not saved nothing is known.
struct ForkOrigin {
    std::string conversation = {};  // its whole id
    chat::TurnId turn = 0;
    friend bool operator==(const ForkOrigin&, const ForkOrigin&) = default;
};

// A line of a conversation as the KV cache has it on disk, under names that are made of these
// (docs/kv_format.md): to find its pages, and to have them forgotten, without a model.
struct CachedLine {
    Hash128 root = {};
    uint32_t version = 0;  // of the cache's format and arithmetic, as the client numbers them
    std::vector<TokenId> ids = {};
    friend bool operator==(const CachedLine&, const CachedLine&) = default;
};

// The line that a listed conversation shows, and the speeds measured of late: 0 = none was.
struct ListedLine {
    CachedLine line = {};
    double tokens_per_second = 0;  // read by the model, in this conversation
    double bytes_per_second = 0;   // restored from the disk, in any
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
    std::vector<std::string> stop = {};  // texts that end its answers
    chat::TurnId tip = 0;
    bool pinned = false;
    bool archived = false;
    bool deleted = false;
    // When listed.
    uint32_t turns = 0;
    uint32_t branches = 0;   // ends of lines
    uint64_t tokens = 0;     // of answers
    ForkOrigin origin = {};  // counts when the conversation is made
    // When it is loaded or imported: turns by the letters that the user gave them.
    std::map<std::string, chat::TurnId> bookmarks = {};
    // When listed with lines; null: not known.
    std::shared_ptr<const ListedLine> line = {};
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
    ConversationHead head = {};  // id, created, updated, turns, bookmarks do not count
    std::vector<chat::Turn> turns = {};
    bool durable = false;  // on the disk, whatever happens to the machine, before it is answered
};

// What the user decided about a turn that is saved. Answered by Changed.
struct FlagTurn {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    chat::TurnId turn = 0;
    chat::TurnFlags flags = {};
};

// A letter for a turn that is saved, in place of what had it. Answered by Changed.
struct SetBookmark {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    std::string key = {};
    chat::TurnId turn = 0;
};

// What the KV cache may have on disk of a line that ends with this answer, which is saved. Lines
// that are the beginning of it are contained in it. Answered by Changed.
struct KeepLine {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    chat::TurnId answer = 0;
    CachedLine line = {};
};

// What Generate would carry of the line that a saved conversation shows, or of all its lines.
// Answered by LineRead.
struct ReadLine {
    StoreRequestId id = 0;
    std::string conversation = {};  // its whole id
    std::string model = {};         // whose ids of answers go with them
    bool all = false;
};

// What is on disk of the line that a saved conversation shows. Answered by PagesFound.
struct LookForPages {
    StoreRequestId id = 0;
    std::string conversation = {};  // its whole id
};

// What the user decided about a conversation; what is not given stays. Answered by Changed.
struct ChangeConversation {
    StoreRequestId id = 0;
    std::string conversation = {};  // its whole id
    std::optional<std::string> title = {};
    std::optional<bool> pinned = {};
    std::optional<bool> archived = {};
};

// The conversation whose id begins with `prefix`, or alone has it in its title, or with none the
// one that was changed last. Answered by Loaded; `conversation` is its name from then on.
struct LoadConversation {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    std::string prefix = {};
};

enum class ListKind : uint8_t {
    open,      // neither archived nor deleted
    archived,  // not deleted
    deleted,   // the trash
};

// The newest first, pinned ones before. Answered by Listed.
struct ListConversations {
    StoreRequestId id = 0;
    ListKind kind = ListKind::open;
    std::string filter = {};  // a part of the title, without regard to case (of ASCII letters)
    uint32_t limit = 100;
    bool with_lines = false;
};

// Turns that have all these words, the last of which may be the beginning of one; the newest first.
// Answered by Found.
struct SearchTurns {
    StoreRequestId id = 0;
    std::string text = {};
    std::string conversation = {};  // its whole id; empty: all
    std::optional<chat::Role> role = {};
    std::string model = {};  // of answers; empty: any
    uint32_t limit = 50;
};

enum class Removal : uint8_t {
    remove,   // it is in the trash, and can come back for kTrashDays
    restore,  // takes that back
    purge,    // for ever: rows, index and copies before migrations
};

// Answered by Removed.
struct RemoveConversation {
    StoreRequestId id = 0;
    // The beginning of its id; the whole id for purge. With restore, empty: the one deleted last.
    std::string conversation = {};
    Removal how = Removal::remove;
};

inline constexpr int kTrashDays = 30;

// Writes a conversation into a file, in the format that its name ends with (formats.h). Answered by
// Exported.
struct ExportConversation {
    StoreRequestId id = 0;
    std::shared_ptr<const StoredConversation> conversation = {};
    std::string stored = {};  // without one: the whole id of one that is saved
    std::string path = {};
    bool whole_tree = true;  // else the line that is shown
};

// Reads conversations from a file (import.h) and keeps them, or none when something in it makes no
// sense. Answered by Imported.
struct ImportFile {
    StoreRequestId id = 0;
    std::string path = {};
};

// Looks whether the database is whole, and makes the search index anew. Answered by Checked.
struct CheckStore {
    StoreRequestId id = 0;
};

// The last request: what came before it is done, then the store ends. Not answered.
struct CloseStore {};

using StoreRequest =
    std::variant<CloseStore, SaveTurns, FlagTurn, SetBookmark, KeepLine, ReadLine, LookForPages,
                 ChangeConversation, LoadConversation, ListConversations, SearchTurns,
                 RemoveConversation, ExportConversation, ImportFile, CheckStore>;

// --- events -----------------------------------------------------------------------------------

enum class StoreAccess : uint8_t { writable, read_only, none };

// The first event, without a request. With less than `writable` nothing is saved, and `sentence`
// says why.
struct StoreOpened {
    StoreAccess access = StoreAccess::none;
    std::string sentence = {};
    // Another moxie has it: that one's process, 0 when unknown. Nothing: no other.
    std::optional<int> other_process = {};
};

struct Saved {
    StoreRequestId id = 0;
    ConversationRef conversation = 0;
    std::string conversation_id = {};
};

struct Changed {
    StoreRequestId id = 0;
};

struct Loaded {
    StoreRequestId id = 0;
    StoredConversation conversation = {};
};

struct LineRead {
    StoreRequestId id = 0;
    std::vector<std::vector<chat::Message>> lines = {};  // one, unless all were asked for
};

struct PagesFound {
    StoreRequestId id = 0;
    std::optional<chat::KvEntry> pages = {};  // nothing: it cannot be told
};

struct Listed {
    StoreRequestId id = 0;
    std::vector<ConversationHead> conversations = {};
};

struct SearchHit {
    std::string conversation = {};  // its whole id
    std::string title = {};
    chat::TurnId turn = 0;
    chat::Role role = chat::Role::user;
    int64_t created = 0;
    std::string snippet = {};  // what was found in [brackets]
};

struct Found {
    StoreRequestId id = 0;
    std::vector<SearchHit> hits = {};
};

struct Removed {
    StoreRequestId id = 0;
    std::string conversation = {};  // its whole id
};

struct Exported {
    StoreRequestId id = 0;
    std::string path = {};
    uint64_t bytes = 0;
};

struct Imported {
    StoreRequestId id = 0;
    std::vector<ConversationHead> conversations = {};
};

struct Checked {
    StoreRequestId id = 0;
    std::vector<std::string> problems = {};  // none: all is well
    uint64_t conversations = 0;
    uint64_t turns = 0;
    bool index_made_anew = false;
};

struct StoreFailed {
    StoreRequestId id = 0;
    StoreTrouble trouble = StoreTrouble::other;
    std::string sentence = {};  // ready for the user
};

using StoreEvent = std::variant<StoreOpened, Saved, Changed, Loaded, LineRead, PagesFound, Listed,
                                Found, Removed, Exported, Imported, Checked, StoreFailed>;

struct StoreChannel {
    EventQueue<StoreRequest> requests{64};  // client to store
    EventQueue<StoreEvent> events{64};      // store to client
};

}  // namespace core
