// Conversations kept on disk: a thread that owns a SQLite database and does what its client asks.
//
// Values in, values out (records.h); nobody outside core/store sees SQL. The client never waits: it
// pushes requests on a StoreChannel and polls its events. A user's turn is saved with
// `durable`, and is on the disk when its Saved arrives; everything else survives the end of the
// program, and of the machine but for the last moments. docs/store.md has schema and rules.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/store/records.h"

namespace core {

// Removes from the KV cache what it has on disk of these lines and nothing else continues. Called
// by the store's thread.
using ForgetLines = std::function<void(const std::vector<CachedLine>& lines)>;

// What that cache has on disk of the line that a conversation shows, for whoever has no model to
// ask; nothing: it cannot be told. Called by the store's thread, with a head that has its line.
using FindPages = std::function<std::optional<chat::KvEntry>(const ConversationHead& head)>;

struct StoreOptions {
    std::string folder = {};  // of chats.db and its lock; made with mode 0700
    // For conversations that are purged, or were in the trash too long. Null: there is no cache.
    ForgetLines forget_lines = {};
    FindPages find_pages = {};  // the same
    // For tests: as if the disk were full beyond so many pages (0: it is not), and as if it took
    // this long to have written a commit for good.
    uint32_t page_limit = 0;
    std::chrono::milliseconds sync_time{0};
};

class Store {
  public:
    // Starts the thread; its first event is StoreOpened. Throws Error(internal) when it cannot.
    // The channel must outlive the store.
    Store(StoreOptions options, StoreChannel& channel);
    // Client thread. Does what is in the queue, then ends.
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace core
