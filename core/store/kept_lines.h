// What the KV cache may have on disk of saved conversations, by the ids that name its pages. The
// cache itself is no business of the store's. Used by the store's thread, inside a transaction of
// the caller where something is written.
#pragma once

#include <cstdint>
#include <vector>

#include "core/store/database.h"
#include "core/store/records.h"

namespace core {

class KeptLines {
  public:
    explicit KeptLines(Database& database) : database_(database) {}

    // Lines of the conversation that are beginnings of this one give way to it.
    void keep(int64_t conversation, chat::TurnId answer, const CachedLine& line);
    // All of a conversation, other branches' and other models' too.
    std::vector<CachedLine> of(int64_t conversation);
    // The line that each of them shows, where that is known, and the speeds.
    void add_to(std::vector<ConversationHead>& heads);

  private:
    double reading_rate(const std::string& conversation);
    double restore_rate();

    Database& database_;
};

}  // namespace core
