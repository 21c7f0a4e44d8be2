#include "app/session/library.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/error.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {

template <class Request>
core::StoreRequestId Library::ask(Request request) {
    core::StoreChannel* store = saver_->store();
    if (store == nullptr) return 0;
    const core::StoreRequestId id = request.id = saver_->next_request();
    store->requests.push(std::move(request));
    return id;
}

const std::string& Library::id_of(std::string_view wanted) const {
    std::vector<const core::ConversationHead*> found;
    const auto take = [&](const auto& matches) {
        for (const core::ConversationHead& head : conversations_)
            if (matches(head)) found.push_back(&head);
    };
    take([&](const core::ConversationHead& head) { return head.id.starts_with(wanted); });
    if (found.empty())
        take([&](const core::ConversationHead& head) {
            return head.title.find(wanted) != std::string::npos;
        });
    if (found.size() == 1) return found.front()->id;
    throw core::Error(core::ErrorKind::usage, core::sanitize(wanted),
                      found.empty() ? "no such conversation" : "more than one conversation",
                      "/list tells their ids");
}

std::string Library::title_of(std::string_view id) const {
    for (const core::ConversationHead& head : conversations_)
        if (head.id == id) return core::sanitize(head.title);
    return {};
}

void Library::list(core::ListKind kind) {
    kind_ = kind;
    listing_ = ask(core::ListConversations{.kind = kind, .limit = 1000});
}

void Library::tell_list(core::ListKind kind, std::string filter) {
    told_list_ =
        ask(core::ListConversations{.kind = kind, .filter = std::move(filter), .limit = 50});
}

void Library::search(core::SearchTurns wanted, bool tell) {
    tell_hits_ = tell;
    searching_ = ask(std::move(wanted));
}

void Library::change(core::ChangeConversation wanted) {
    const bool renamed = wanted.title.has_value();
    asked_[ask(std::move(wanted))] = renamed ? "Renamed." : "";
}

void Library::flag(chat::TurnId turn, chat::TurnFlags flags) {
    if (!saver_->saves()) return;
    asked_[ask(core::FlagTurn{.conversation = saver_->ref(), .turn = turn, .flags = flags})] = "";
}

void Library::bookmark(const std::string& letter, chat::TurnId turn) {
    if (!saver_->saves()) return;
    asked_[ask(core::SetBookmark{.conversation = saver_->ref(), .key = letter, .turn = turn})] = "";
}

void Library::remove(std::string conversation, core::Removal how) {
    const core::StoreRequestId id =
        ask(core::RemoveConversation{.conversation = std::move(conversation), .how = how});
    if (how == core::Removal::restore) restoring_ = id;
    asked_[id] = how == core::Removal::restore  ? ""
                 : how == core::Removal::remove ? "Deleted. /undelete brings it back."
                                                : "Purged: nothing of the conversation is kept on "
                                                  "this disk.";
}

void Library::export_to(std::shared_ptr<const core::StoredConversation> conversation,
                        std::string path, bool whole_tree) {
    asked_[ask(core::ExportConversation{.conversation = std::move(conversation),
                                        .path = std::move(path),
                                        .whole_tree = whole_tree})] = "";
}

void Library::export_stored(std::string conversation, std::string path) {
    asked_[ask(
        core::ExportConversation{.stored = std::move(conversation), .path = std::move(path)})] = "";
}

void Library::import_from(std::string path) {
    asked_[ask(core::ImportFile{.path = std::move(path)})] = "";
}

std::optional<std::string> Library::on(const core::Listed& listed) {
    if (listed.id == listing_) {
        conversations_ = listed.conversations;
        ++changes_;
    }
    if (listed.id == 0 || listed.id != told_list_) return std::nullopt;
    told_list_ = 0;
    if (listed.conversations.empty()) return "There is no such conversation.";
    std::string text;
    for (const core::ConversationHead& head : listed.conversations)
        text += (text.empty() ? "" : "\n") + head_text(head);
    return text;
}

std::optional<std::string> Library::on(const core::Found& found) {
    if (found.id != searching_) return std::nullopt;
    hits_ = found.hits;
    ++changes_;
    if (!std::exchange(tell_hits_, false)) return std::nullopt;
    if (hits_.empty()) return "Nothing was found.";
    std::string text;
    for (const core::SearchHit& hit : hits_) {
        std::string snippet = core::sanitize(hit.snippet);
        std::replace(snippet.begin(), snippet.end(), '\n', ' ');
        text += (text.empty() ? "" : "\n") + hit.conversation + "  " + core::sanitize(hit.title) +
                ": " + snippet;
    }
    return text;
}

std::optional<std::string> Library::on(const core::Changed& changed) {
    const auto asked = asked_.find(changed.id);
    if (asked == asked_.end()) return std::nullopt;
    const std::string text = asked->second;
    asked_.erase(asked);
    list(kind_);
    return text.empty() ? std::nullopt : std::optional(text);
}

std::optional<std::string> Library::on(const core::Removed& removed) {
    if (removed.id == restoring_) {
        restoring_ = 0;
        restored_ = removed.conversation;
    }
    return on(core::Changed{.id = removed.id});
}

std::optional<std::string> Library::on(const core::Exported& exported) {
    if (asked_.erase(exported.id) == 0) return std::nullopt;
    return "Exported to " + exported.path + " (" + core::human_bytes(exported.bytes) + ").";
}

std::optional<std::string> Library::on(const core::Imported& imported) {
    if (asked_.erase(imported.id) == 0) return std::nullopt;
    list(kind_);
    const size_t count = imported.conversations.size();
    std::string text = "Imported " + std::to_string(count) +
                       (count == 1 ? " conversation:" : " conversations; the first are:");
    for (size_t i = 0; i < std::min<size_t>(count, 5); ++i)
        text += "\n" + head_text(imported.conversations[i]);
    return text;
}

void Library::check(std::function<void(const core::Checked& checked)> done) {
    checked_ = std::move(done);
    checking_ = ask(core::CheckStore{});
}

void Library::on(const core::Checked& checked) {
    if (checked.id == checking_ && checked_) std::exchange(checked_, nullptr)(checked);
}

bool Library::on(const core::StoreFailed& failed) {
    if (failed.id == restoring_) restoring_ = 0;
    return asked_.erase(failed.id) != 0 || failed.id == told_list_ || failed.id == searching_ ||
           failed.id == checking_;
}

std::optional<std::string> Library::take_restored() {
    return std::exchange(restored_, std::nullopt);
}

int64_t now_in_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::string age_text(int64_t then_ms, int64_t now_ms) {
    const int64_t minutes = std::max<int64_t>(now_ms - then_ms, 0) / 60'000;
    if (minutes < 1) return "now";
    if (minutes < 60) return std::to_string(minutes) + " min";
    if (minutes < 60 * 24) return std::to_string(minutes / 60) + " h";
    const int64_t days = minutes / (60 * 24);
    if (days < 60) return std::to_string(days) + " d";
    return days < 730 ? std::to_string(days / 30) + " mo" : std::to_string(days / 365) + " y";
}

std::string conversation_figures(const core::ConversationHead& head) {
    std::string text = head.model.name.empty() ? "no model" : core::sanitize(head.model.name);
    text += " · " + core::counted(head.turns, "turn");
    if (head.branches > 1) text += ", " + core::with_commas(head.branches) + " branches";
    if (head.tokens > 0) text += " · " + core::counted(head.tokens, "token");
    return text;
}

std::string head_text(const core::ConversationHead& head) {
    std::string title = core::sanitize(head.title);
    std::replace(title.begin(), title.end(), '\n', ' ');
    return head.id + "  " + (head.pinned ? "● " : "") + title + " · " + conversation_figures(head) +
           " · " + age_text(head.updated, now_in_ms());
}

}  // namespace app
