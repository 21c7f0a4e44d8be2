// What of a conversation's lines is in the KV cache, as the engine tells it, and how that is shown.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat/conversation.h"
#include "core/chat/protocol.h"

namespace app {

// "● resident", "◐ on disk 310 MB ~0.8 s", "○ re-read 3.1k tokens ~41 s"
std::string residency_label(const chat::KvEntry& entry);
// The same with the size of the line, and why what is on the disk of it is of no use.
std::string residency_row(const chat::KvEntry& entry);
// What is told of pages that another build made, or the same model with other weights or another KV
// type; empty: there is nothing worth telling.
inline constexpr std::string_view kMadeOtherwise =
    "saved state was made with a different build/quantisation";
std::string made_otherwise_text(const chat::KvEntry& entry);
// "resident", "on_disk" or "reread": the same for programs.
std::string_view residency_state(const chat::KvEntry& entry);
// Its first sign alone.
std::string residency_glyph(const chat::KvEntry& entry);

// The lines of the newest answer and its siblings, or of the prompt that has none yet.
class Residency {
  public:
    // The question to the engine; of an empty conversation it is for the totals alone. What is
    // known stays until the answer comes.
    chat::Kv question(const chat::Conversation& conversation, std::string_view model,
                      chat::RequestId id);
    // False: the answer to something else, or to a question that a newer one replaced.
    bool on(const chat::KvListed& listed);
    void forget();

    // Of the line through a turn; null: unknown.
    const chat::KvEntry* of(chat::TurnId turn) const;
    // Of the line that is shown.
    const chat::KvEntry* current() const { return of(current_); }

    // Memory and disk of the whole cache, as they were told last; without lines.
    const chat::KvListed& totals() const { return totals_; }

    // Rows for /kv list.
    std::string report() const;

  private:
    chat::RequestId asked_ = 0;
    std::vector<chat::TurnId> asked_turns_;
    chat::TurnId asked_current_ = 0;
    std::map<chat::TurnId, chat::KvEntry> entries_;
    std::vector<chat::TurnId> turns_;  // in order, as in entries_
    chat::TurnId current_ = 0;
    chat::KvListed totals_;  // without entries
};

}  // namespace app
