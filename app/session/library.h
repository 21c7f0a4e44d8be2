// The saved conversations as the chat knows them: what was listed, what was found, what was asked
// of the store and how that ended. UI thread; never waits.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/session/chat_saver.h"
#include "core/store/records.h"

namespace app {

class Library {
  public:
    // The saver knows the store and numbers its requests.
    explicit Library(ChatSaver& saver) : saver_(&saver) {}

    // What there is, for panels and completion. The number changes whenever something here does.
    const std::vector<core::ConversationHead>& conversations() const { return conversations_; }
    const std::vector<core::SearchHit>& hits() const { return hits_; }
    uint64_t changes() const { return changes_; }
    // The id of the one conversation that is meant by the beginning of an id or a part of a title.
    // Throws core::Error(usage) when there is none, or more.
    const std::string& id_of(std::string_view wanted) const;
    std::string title_of(std::string_view id) const;  // empty: it is not listed

    // Asks for the newest list, or for one that the user wants to read.
    void list(core::ListKind kind = core::ListKind::open);
    void tell_list(core::ListKind kind, std::string filter);
    void search(core::SearchTurns wanted, bool tell);
    void change(core::ChangeConversation wanted);
    // What the user decided about a turn that is saved, or is about to be.
    void flag(chat::TurnId turn, chat::TurnFlags flags);
    // A letter for such a turn.
    void bookmark(const std::string& letter, chat::TurnId turn);
    // By the beginning of an id.
    void remove(std::string conversation, core::Removal how);
    void export_to(std::shared_ptr<const core::StoredConversation> conversation, std::string path,
                   bool whole_tree);
    // One that is saved, the whole tree.
    void export_stored(std::string conversation, std::string path);
    // Whether the database is whole; `done` gets what the store says, unless it cannot look.
    void check(std::function<void(const core::Checked& checked)> done);
    void import_from(std::string path);

    // What the store says; the text is for the user, nothing: there is nothing to tell.
    std::optional<std::string> on(const core::Listed& listed);
    std::optional<std::string> on(const core::Found& found);
    std::optional<std::string> on(const core::Changed& changed);
    std::optional<std::string> on(const core::Removed& removed);
    std::optional<std::string> on(const core::Exported& exported);
    std::optional<std::string> on(const core::Imported& imported);
    void on(const core::Checked& checked);
    // True: the request was one of these.
    bool on(const core::StoreFailed& failed);
    // The conversation that a restore brought back, once.
    std::optional<std::string> take_restored();

  private:
    template <class Request>
    core::StoreRequestId ask(Request request);

    ChatSaver* saver_;
    std::vector<core::ConversationHead> conversations_;
    std::vector<core::SearchHit> hits_;
    core::ListKind kind_ = core::ListKind::open;  // of conversations_
    uint64_t changes_ = 0;
    core::StoreRequestId listing_ = 0;    // for conversations_
    core::StoreRequestId told_list_ = 0;  // for the user
    core::StoreRequestId searching_ = 0;  // for hits_
    bool tell_hits_ = false;
    std::map<core::StoreRequestId, std::string> asked_;  // the rest, and what to say when done
    core::StoreRequestId checking_ = 0;
    std::function<void(const core::Checked& checked)> checked_;
    core::StoreRequestId restoring_ = 0;
    std::optional<std::string> restored_;
};

// "today", "3 d", "5 mo": how long ago.
std::string age_text(int64_t then_ms, int64_t now_ms);
int64_t now_in_ms();
// "grok · 12 turns, 2 branches · 3,120 tokens"
std::string conversation_figures(const core::ConversationHead& head);
// A row of the list for people.
std::string head_text(const core::ConversationHead& head);

}  // namespace app
