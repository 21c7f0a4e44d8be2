// The rows of conversations: values of records.h to SQL and back. Used by the store's thread; every
// function but load and list happens inside a transaction of the caller.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/database.h"
#include "core/store/records.h"

namespace core {

class Shelf {
  public:
    explicit Shelf(Database& database) : database_(database) {}

    // A new, empty conversation. Returns its row.
    int64_t create(const ConversationHead& head);
    // One from elsewhere, with its own id where that is free. Returns its row.
    int64_t create_copy(const StoredConversation& stored);
    // Writes turns that are new or were streaming, then the head.
    void save(int64_t conversation, const ConversationHead& head,
              const std::vector<chat::Turn>& turns);
    std::string short_id(int64_t conversation);
    void change(int64_t conversation, const ChangeConversation& wanted);
    void set_flags(int64_t conversation, chat::TurnId turn, chat::TurnFlags flags);

    // Throws DatabaseError (not_found) for a turn that is not saved.
    void set_bookmark(int64_t conversation, const std::string& key, chat::TurnId turn);

    // The row of the conversation whose id is, or alone begins with, `prefix`, or that alone has it
    // in its title; with none that of the one changed last. Deleted ones do not count. Throws
    // DatabaseError (not_found, ambiguous).
    int64_t find(const std::string& prefix);
    // Throws Error(storage) for rows that are no tree.
    StoredConversation load(int64_t conversation);
    std::vector<ConversationHead> list(const ListConversations& wanted);
    std::vector<SearchHit> search(const SearchTurns& wanted);
    ConversationHead head(int64_t conversation);

    // The row with exactly this id, deleted or not. Throws DatabaseError (not_found).
    int64_t exact(const std::string& id);
    void set_deleted(int64_t conversation, bool deleted);
    // The one that was deleted last. Throws DatabaseError (not_found).
    int64_t last_deleted();
    // Deleted before that time (milliseconds since 1970).
    std::vector<int64_t> deleted_before(int64_t time);
    void purge(int64_t conversation);

    // Answers that were being written when the program ended become interrupted ones.
    void mark_cut_off();

  private:
    int64_t model_row(const StoredModel& model);
    int64_t system_row(const std::string& text);
    int64_t node_row(int64_t conversation, chat::TurnId turn);
    void save_turn(int64_t conversation, const StoredModel& in_use, const chat::Turn& turn);
    void save_answer(int64_t node, const chat::Turn& turn);
    void save_files(int64_t node, const chat::Attachments& files);
    void save_marks(int64_t node, const chat::Turn& turn);
    void save_usage(int64_t node, const chat::Usage& usage);
    void save_head(int64_t conversation, const ConversationHead& head);
    bool is_taken(const std::string& id);
    std::string free_short_id();
    std::vector<chat::Turn> load_turns(int64_t conversation);
    void load_marks(int64_t conversation, std::vector<chat::Turn>& turns);
    void load_bookmarks(int64_t conversation, ConversationHead& head);
    void load_files(int64_t conversation, std::vector<chat::Turn>& turns);

    Database& database_;
};

}  // namespace core
