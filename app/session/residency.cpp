#include "app/session/residency.h"

#include <algorithm>
#include <utility>

#include "core/base/units.h"

namespace app {
namespace {

enum class Place { resident, on_disk, nowhere };

// The end of a line is hardly ever in the cache: the last token of an answer was never run.
bool is_worth_telling(uint32_t tokens, const chat::KvEntry& entry) {
    constexpr uint32_t kFew = 16;
    return tokens > std::max(kFew, entry.tokens / 50);
}

uint32_t unread(const chat::KvEntry& entry) {
    return entry.tokens - std::min(entry.tokens, entry.resident + entry.on_disk);
}

Place place_of(const chat::KvEntry& entry) {
    if (entry.resident + entry.on_disk == 0 || is_worth_telling(unread(entry), entry))
        return Place::nowhere;
    return is_worth_telling(entry.on_disk, entry) || entry.resident == 0 ? Place::on_disk
                                                                         : Place::resident;
}

std::string expected(double seconds) {
    return seconds > 0 ? " ~" + core::human_seconds(seconds) : "";
}

}  // namespace

std::string_view residency_state(const chat::KvEntry& entry) {
    switch (place_of(entry)) {
        case Place::resident: return "resident";
        case Place::on_disk: return "on_disk";
        case Place::nowhere: break;
    }
    return "reread";
}

std::string residency_glyph(const chat::KvEntry& entry) {
    switch (place_of(entry)) {
        case Place::resident: return "●";
        case Place::on_disk: return "◐";
        case Place::nowhere: break;
    }
    return "○";
}

std::string residency_label(const chat::KvEntry& entry) {
    switch (place_of(entry)) {
        case Place::resident: return "● resident";
        case Place::on_disk:
            return "◐ on disk " + core::human_bytes(entry.disk_bytes) +
                   expected(entry.restore_seconds);
        case Place::nowhere: break;
    }
    return "○ re-read " + core::with_commas(unread(entry)) + " tokens" +
           expected(entry.restore_seconds + entry.reread_seconds);
}

std::string residency_row(const chat::KvEntry& entry) {
    std::string text = residency_label(entry) + ", " + core::with_commas(entry.tokens) + " tokens";
    if (entry.made_otherwise) text += "; " + std::string(kMadeOtherwise);
    return text;
}

std::string made_otherwise_text(const chat::KvEntry& entry) {
    if (!entry.made_otherwise || !is_worth_telling(unread(entry), entry)) return {};
    std::string text(kMadeOtherwise);
    text.front() = 'S';
    const std::string time = expected(entry.reread_seconds);
    return text + "; re-reading " + core::with_commas(unread(entry)) + " tokens" +
           (time.empty() ? "" : " (" + time.substr(1) + ")") + ". Conversation unchanged.";
}

chat::Kv Residency::question(const chat::Conversation& conversation, std::string_view model,
                             chat::RequestId id) {
    const chat::TurnId answer = conversation.last_answer();
    asked_current_ = answer != 0 ? answer : conversation.tip();
    asked_turns_.clear();
    if (answer != 0)
        asked_turns_ = conversation.siblings(answer);
    else if (!conversation.empty())
        asked_turns_ = {conversation.tip()};
    asked_ = id;
    chat::Kv question{.id = id, .action = chat::KvAction::list};
    for (const chat::TurnId turn : asked_turns_) {
        const chat::TurnId end =
            turn == asked_current_ ? conversation.tip() : conversation.newest_leaf(turn);
        question.lines.push_back(conversation.messages(end, model));
    }
    return question;
}

bool Residency::on(const chat::KvListed& listed) {
    if (listed.id != asked_) return false;
    if (!asked_turns_.empty() && listed.entries.size() != asked_turns_.size()) return false;
    asked_ = 0;
    entries_.clear();
    for (size_t i = 0; i < asked_turns_.size(); ++i)
        entries_[asked_turns_[i]] = listed.entries[i];
    turns_ = std::move(asked_turns_);
    current_ = asked_current_;
    totals_ = listed;
    totals_.entries.clear();
    return true;
}

void Residency::forget() {
    *this = {};
}

const chat::KvEntry* Residency::of(chat::TurnId turn) const {
    const auto entry = entries_.find(turn);
    return entry == entries_.end() ? nullptr : &entry->second;
}

std::string Residency::report() const {
    std::string text;
    for (size_t i = 0; i < turns_.size(); ++i) {
        const chat::KvEntry& entry = entries_.at(turns_[i]);
        const std::string name =
            turns_.size() == 1 ? "this conversation" : "answer " + std::to_string(i + 1);
        text += name + (turns_[i] == current_ && turns_.size() > 1 ? " (shown)" : "") + ": " +
                residency_row(entry) + "\n";
    }
    text += "memory: " + core::human_bytes(totals_.memory_bytes) + " of " +
            core::human_bytes(totals_.memory_budget) + ", " +
            core::counted(totals_.memory_pages, "page") + "\n";
    text += totals_.disk_budget == 0 ? "disk: nothing is kept there"
                                     : "disk: " + core::human_bytes(totals_.disk_bytes) + " of " +
                                           core::human_bytes(totals_.disk_budget) + ", " +
                                           core::counted(totals_.disk_pages, "page");
    return text;
}

}  // namespace app
