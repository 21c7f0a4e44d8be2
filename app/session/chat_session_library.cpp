// The part of ChatSession that deals with saved conversations other than the one that is shown.
#include <utility>

#include "app/session/chat_session.h"
#include "core/store/formats.h"

namespace app {

void ChatSession::tell(const std::optional<std::string>& text) {
    if (text) say(*text);
}

std::optional<std::string> ChatSession::change(core::ChangeConversation wanted) {
    if (wanted.title && wanted.title->empty()) return "A title needs a word.";
    const bool own = wanted.conversation.empty() || wanted.conversation == conversation_id();
    if (own && wanted.title) title_ = *wanted.title;
    if (own) wanted.conversation = conversation_id();
    // One that is not saved yet takes its title along when it is.
    if (wanted.conversation.empty()) return std::nullopt;
    library_.change(std::move(wanted));
    return std::nullopt;
}

std::optional<std::string> ChatSession::export_to(std::string path, bool whole_tree) {
    if (conversation_.empty()) return "There is nothing to export yet.";
    auto copy = std::make_shared<core::StoredConversation>();
    copy->head = head({});
    copy->head.id = conversation_id();
    copy->head.created = conversation_.turn(1).created;
    copy->head.updated = now_in_ms();
    copy->head.bookmarks = bookmarks_;
    copy->conversation = conversation_;
    if (saver_.store() == nullptr) {
        const std::string text =
            core::conversation_text(*copy, core::file_format_of(path), whole_tree);
        core::write_new_file(path, text);
        say("Exported to " + path + ".");
        return std::nullopt;
    }
    library_.export_to(std::move(copy), std::move(path), whole_tree);
    return std::nullopt;
}

void ChatSession::on(const core::Listed& listed, TimePoint /*now*/) {
    tell(library_.on(listed));
}

void ChatSession::on(const core::Found& found, TimePoint /*now*/) {
    tell(library_.on(found));
}

void ChatSession::on(const core::Changed& changed, TimePoint /*now*/) {
    tell(library_.on(changed));
}

void ChatSession::on(const core::Exported& exported, TimePoint /*now*/) {
    tell(library_.on(exported));
}

void ChatSession::on(const core::Imported& imported, TimePoint /*now*/) {
    tell(library_.on(imported));
}

void ChatSession::on(const core::Checked& checked, TimePoint /*now*/) {
    library_.on(checked);
}

void ChatSession::on(const core::Removed& removed, TimePoint /*now*/) {
    tell(library_.on(removed));
    if (const auto restored = library_.take_restored(); restored && !busy()) open(*restored);
}

void ChatSession::set_bookmark(const std::string& letter, chat::TurnId turn) {
    bookmarks_[letter] = turn;
    library_.bookmark(letter, turn);
}

// --- what the KV cache has of them ------------------------------------------------------------

std::optional<std::string> ChatSession::manage_kv(chat::KvAction action,
                                                  const std::string& conversation) {
    if (conversation == conversation_id()) return manage_kv(action);
    if (!model_) return "No model is loaded; /model PATH loads one.";
    core::ReadLine question{.id = saver_.next_request(),
                            .conversation = conversation,
                            .model = model_->name,
                            .all = action == chat::KvAction::drop};
    kv_reading_[question.id] = {.action = action,
                                .asked_for = true,
                                .started = now_,
                                .of = conversation + " " + library_.title_of(conversation)};
    saver_.store()->requests.push(std::move(question));
    return std::nullopt;
}

// False: the lines were read for somebody else.
bool ChatSession::ask_kv_of(const core::LineRead& read) {
    auto asked = kv_reading_.extract(read.id);
    if (asked.empty()) return false;
    if (!model_) return true;
    chat::Kv request{
        .id = channel_.next_id(), .action = asked.mapped().action, .lines = read.lines};
    asked.mapped().started = now_;
    kv_requests_[request.id] = std::move(asked.mapped());
    channel_.submit(std::move(request));
    return true;
}

// --- removing ---------------------------------------------------------------------------------

std::optional<std::string> ChatSession::remove(core::Removal how, const std::string& conversation) {
    if (busy()) return "Stop the answer first (C-c).";
    if (saver_.store() == nullptr && how == core::Removal::restore)
        return "Nothing is saved in a temporary session.";
    const bool own = conversation.empty() || conversation_id().starts_with(conversation);
    if (how == core::Removal::restore || !own) {
        library_.remove(conversation, how);
        return std::nullopt;
    }
    if (conversation_.empty()) return "There is nothing to remove yet.";
    const std::string id = conversation_id();
    if (how == core::Removal::remove && id.empty())
        return "This conversation is not saved; /new leaves it for good.";
    if (how == core::Removal::purge && model_)
        ask_kv(chat::KvAction::drop, conversation_.leaves(), false);
    if (!id.empty()) library_.remove(id, how);
    restart(saver_.temporary());
    return std::nullopt;
}

}  // namespace app
