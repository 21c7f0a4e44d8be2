// The KV I/O thread: the only one that touches the cache directory while the engine runs.
//
// Jobs and outcomes cross by lock-free queues, and page references with them: the thread uses their
// memory and gives them back, but never drops the last one, so that pages are released by the
// engine thread alone. Looking and reading go first, then measuring, then writing and removing;
// within each kind jobs are done in order. The engine never waits for it, except at the end, for a
// bounded time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "core/base/event_queue.h"
#include "core/kv/disk_store.h"
#include "core/kv/page_pool.h"

namespace core {

using DiskTaskId = uint64_t;  // chosen by whoever submits; unique among all of an engine
using DiskCancel = std::shared_ptr<std::atomic<bool>>;

// What is there of a line beyond a page? Answered by Found.
struct FindJob {
    DiskTaskId id = 0;
    PageName root;
    PageName parent;  // the page
    std::vector<TokenId> line;
    size_t begin = 0;  // of the line, up to the end of that page
    uint32_t known_rows = 0;
};

struct PageToRead {
    FoundPage page;
    PageRef memory;
};

// Answered by a PageRead for each page in order until one fails, then by ReadEnded.
struct ReadJob {
    DiskTaskId id = 0;
    PageLayout layout;
    std::vector<PageToRead> pages;
    DiskCancel cancel;  // may be null
};

struct ChainPage {
    PageAddress address;
    std::vector<TokenId> ids;
    PageRef memory;
};

// The pages of a line from its beginning on; answered by a PageReleased for each and a JobDone.
struct WriteJob {
    DiskTaskId id = 0;
    PageLayout layout;
    std::vector<ChainPage> chain;
    std::vector<PageAddress> superseded;  // tails that the chain contains; removed afterwards
};

// Answered by JobDone. No lines: everything below the root.
struct DropJob {
    DiskTaskId id = 0;
    PageName root;
    std::vector<std::vector<TokenId>> lines;
};

// Answered by Measured.
struct MeasureJob {
    DiskTaskId id = 0;
};

using DiskJob = std::variant<std::monostate, FindJob, ReadJob, WriteJob, DropJob, MeasureJob>;

struct Found {
    DiskTaskId id = 0;
    std::vector<FoundPage> pages;
    bool under_another_root = false;  // what follows them is there, but is of no use
};
struct PageRead {
    DiskTaskId id = 0;
    PageToRead page;
};
struct ReadEnded {
    DiskTaskId id = 0;
    std::vector<PageRef> unused;  // memory of the pages that were not read
    bool damaged = false;         // because the file of the first of them was no good, and is gone
};
struct PageReleased {
    DiskTaskId id = 0;
    PageRef memory;
};
struct JobDone {
    DiskTaskId id = 0;
};
struct Measured {
    DiskTaskId id = 0;
    DiskUsage usage;
};
using DiskOutcome =
    std::variant<std::monostate, Found, PageRead, ReadEnded, PageReleased, JobDone, Measured>;

DiskTaskId task_of(const DiskOutcome& outcome);

class DiskThread {
  public:
    // Lines of less than `shortest_line` tokens are read again sooner than they are looked up; who
    // submits them asks. Throws Error(internal) when no descriptor or thread can be had.
    DiskThread(std::string directory, uint64_t budget, uint32_t shortest_line = 0);
    // Finishes what is to be written and removed, for at most kPatience, then stops.
    ~DiskThread();
    DiskThread(const DiskThread&) = delete;
    DiskThread& operator=(const DiskThread&) = delete;

    static constexpr std::chrono::seconds kPatience{10};

    // Engine thread.
    DiskTaskId next_id() { return ++last_id_; }
    void submit(DiskJob job);
    // `fd` polls readable while there may be an outcome; acknowledge() before draining.
    std::optional<DiskOutcome> poll() { return outcomes_.pop(); }
    void acknowledge() { outcomes_.acknowledge(); }
    int fd() const { return outcomes_.fd(); }
    uint64_t budget() const { return budget_; }
    uint32_t shortest_line() const { return shortest_line_; }

  private:
    class Worker;

    // Constant after construction.
    uint64_t budget_;
    uint32_t shortest_line_;

    DiskTaskId last_id_ = 0;  // engine thread only

    // Shared.
    EventQueue<DiskJob> jobs_;
    EventQueue<DiskOutcome> outcomes_{256};
    std::atomic<bool> stopping_{false};

    std::thread thread_;  // last: it uses everything above
};

}  // namespace core
