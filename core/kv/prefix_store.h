// What has been read before, in memory and on disk, and the longest beginning of a prompt in it.
//
// Resume, edit, regenerate, fork and a shared system prompt are one mechanism: look up the longest
// prefix. Pages are named by what they stand for (page_name.h), shared by reference, kept in memory
// until the pool needs their room, and on disk longer. Looking at the disk takes a moment, in which
// the engine does other things: restore() begins it, poll() moves it on.
//
// A page is trusted only where its token ids agree one by one. Engine thread only; nothing here
// waits. What is kept with Keep::in_memory is never written.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/base/token_id.h"
#include "core/kv/disk_thread.h"
#include "core/kv/page_tree.h"
#include "core/kv/sequence.h"

namespace core {

// Why pages that were there are not used, to be told.
inline constexpr std::string_view kDamaged = "saved state failed its check";

// The pages of a line on their way from disk to memory. Destruction abandons what is left.
struct Restore {
    bool done = false;
    uint32_t begin = 0;     // tokens in memory before
    uint32_t found = 0;     // tokens that follow them on disk
    uint32_t restored = 0;  // of these, in memory by now
    uint64_t bytes = 0;     // read
    double seconds = 0;     // from the beginning to done
    bool damaged = false;   // a file was no good, and was removed

    Restore() = default;
    ~Restore() { cancel->store(true); }
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;

    // For the store.
    DiskCancel cancel = std::make_shared<std::atomic<bool>>(false);
    std::vector<PageRef> pinned;  // so that what is there stays there
    std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

// How far memory and disk together have a line.
struct DiskLook {
    bool done = false;
    uint32_t tokens = 0;  // from its beginning; rows of a page that memory has may be missing
    uint64_t bytes = 0;   // to be read for those that are not in memory
    bool made_otherwise = false;  // what follows is on disk too, but of another build or model
    uint32_t begin = 0;           // for the store: of the pages that are
};

// Something to be written or removed, in so many jobs.
struct DiskChore {
    uint32_t remaining = 0;
    bool done() const { return remaining == 0; }
};

struct DiskMeasure {
    bool done = false;
    DiskUsage usage;
};

// `to_be_saved`: on disk once save() is called.
enum class Keep : uint8_t { in_memory, to_be_saved, on_disk };

class PrefixStore {
  public:
    // Without a disk thread everything stays in memory. Pool and thread must outlive the store.
    PrefixStore(PagePool& pool, const CacheIdentity& identity, DiskThread* disk = nullptr);
    ~PrefixStore();
    PrefixStore(const PrefixStore&) = delete;
    PrefixStore& operator=(const PrefixStore&) = delete;

    // A sequence that holds the longest beginning of `tokens` in memory; empty when nothing agrees.
    // At most tokens.size() - 1 long: the last token's logits are wanted.
    Sequence longest_prefix(std::string_view scope, std::span<const TokenId> tokens);

    // Begins to read what the disk has beyond that; null when there is nothing to look for. When it
    // is done, longest_prefix() finds it in memory. What is damaged ends it early.
    std::shared_ptr<Restore> restore(std::string_view scope, std::span<const TokenId> tokens);

    // Keeps a sequence for later; full pages that are kept already are not kept twice. Too short a
    // one for the disk waits there for save().
    void keep(std::string_view scope, const Sequence& sequence, Keep where);

    // Gives up the page that was not used for the longest time; false when all are in use. Called
    // when the pool has no page to give.
    bool evict();
    // Pages that cannot be given up before they are written.
    bool writing() const { return pages_in_flight_ > 0; }

    // Takes what the disk thread has done. True when anything has.
    bool poll();

    // How many of these tokens are in memory, all of them counted.
    uint32_t resident(std::string_view scope, std::span<const TokenId> tokens);
    // All null without a disk.
    std::shared_ptr<DiskLook> look(std::string_view scope, std::span<const TokenId> tokens);
    std::shared_ptr<DiskMeasure> measure();
    // Writes what is in memory of these lines, but nothing that was kept in memory only; no lines:
    // all of the scope that are long enough for the disk.
    std::shared_ptr<DiskChore> save(std::string_view scope,
                                    std::span<const std::vector<TokenId>> lines);
    // Forgets, in memory and on disk, what nothing else hangs below; no lines: all of the scope.
    std::shared_ptr<DiskChore> drop(std::string_view scope,
                                    std::span<const std::vector<TokenId>> lines);

    // Lines that are kept in memory, the most recently used first.
    std::vector<std::vector<TokenId>> lines(std::string_view scope);

    // Pages that are kept in memory.
    size_t size() const { return tree_.size(); }
    // Measured so far; 0 = unknown.
    double bytes_per_second() const { return bytes_per_second_; }
    // Above the pages of a scope.
    PageName root(std::string_view scope) { return tree_.root(scope)->name; }
    bool has_disk() const { return disk_ != nullptr; }
    uint64_t disk_budget() const { return disk_ == nullptr ? 0 : disk_->budget(); }

  private:
    using Task = std::variant<std::weak_ptr<Restore>, std::shared_ptr<DiskLook>,
                              std::shared_ptr<DiskMeasure>, std::shared_ptr<DiskChore>>;

    DiskTaskId find_beyond(std::string_view scope, const PageTree::Match& match,
                           std::span<const TokenId> line);
    void take(Found& found);
    void take(PageRead& read);
    void take(ReadEnded& ended);
    void take(PageReleased& released);
    void take(JobDone& done);
    void take(Measured& measured);
    void take(std::monostate& /*nothing*/) {}

    PageRef allocate();
    void begin_reading(ReadJob job);
    void finish(DiskTaskId id);
    void write(PageTree::Node* last, std::vector<PageAddress> superseded,
               std::shared_ptr<DiskChore> chore);
    bool is_worth_a_file(size_t tokens) const {
        return disk_ != nullptr && tokens >= disk_->shortest_line();
    }
    uint64_t file_bytes() const { return kPageHeaderBytes + pool_->layout().page_bytes(); }
    template <class T>
    std::shared_ptr<T> task(DiskTaskId id);

    PagePool* pool_;
    DiskThread* disk_;
    PageTree tree_;
    std::unordered_map<DiskTaskId, Task> tasks_;
    size_t pages_in_flight_ = 0;
    std::vector<ReadJob> waiting_;  // for memory that is being written
    double bytes_per_second_ = 0;
};

}  // namespace core
