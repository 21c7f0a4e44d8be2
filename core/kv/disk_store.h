// The directory of the KV cache: pages by name, children by parent, a budget.
//
// The directory itself is the index: a full page is found by its path, the children of a page by
// listing one folder, and the modification time of a file is when its page was last used. So
// several processes share a directory, and it may be removed while they run: every miss is only a
// page that is read again. Nothing here throws; what fails is logged, and damaged files are
// removed. One thread at a time (the KV I/O thread), but where it says otherwise.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/kv/page_file.h"

namespace core {

// A page of a directory, as its path and inode tell.
struct StoredPage {
    PageAddress address;
    uint64_t bytes = 0;
    std::chrono::system_clock::time_point last_use;
};

// All pages of a directory, in no order; empty when there is none. For `moxie kv`: no model needed.
std::vector<StoredPage> list_pages(const std::string& directory);

struct DiskUsage {
    uint64_t bytes = 0;
    uint64_t pages = 0;
};

// A page to be restored, with the ids that it stands for.
struct FoundPage {
    PageAddress address;
    std::vector<TokenId> ids;
    uint32_t rows = 0;  // of these, how many the line has; the rest belongs to another branch
};

// A page to be written. The memory must stay as it is meanwhile.
struct PageToWrite {
    PageAddress address;
    std::span<const TokenId> ids;
    std::span<const std::byte> page;
    // Of the chain it belongs to, minus its depth in nanoseconds, so that a page is never older
    // than its children and eviction takes the ends of a line first.
    std::chrono::system_clock::time_point last_use;
};

class DiskStore {
  public:
    // Creates nothing yet. `budget` in bytes.
    DiskStore(std::string directory, uint64_t budget);

    // The pages that continue `parent` along `tokens`: full ones, then the child that agrees with
    // the rest in most rows, if with more than `known_rows` behind the last full one found here.
    std::vector<FoundPage> find(const PageName& root, const PageName& parent,
                                std::span<const TokenId> tokens, uint32_t known_rows);

    // Whether another root has the page of `line` that follows its first `known` tokens: the same
    // was read by another build, or with other weights or another KV type.
    bool is_under_another_root(const PageName& root, std::span<const TokenId> line,
                               size_t known) const;

    // Reads a page into memory and verifies it there. Any thread, several at a time.
    PageFault read(const FoundPage& page, const PageLayout& layout,
                   std::span<std::byte> memory) const;
    // What to do about a page that read() found fault with: logged, and removed if it is there.
    void reject(const PageAddress& address, PageFault fault);

    // Writes the page or, if it is there, marks it as used. False when the disk takes no more.
    bool write(const PageToWrite& page, const PageLayout& layout);

    void remove(const PageAddress& address);
    // Forgets the pages of these lines that nothing else hangs below, and the tails within them.
    void drop(const PageName& root, std::span<const std::vector<TokenId>> lines);
    void drop_all(const PageName& root);

    // Measures the directory, removes what writers left that were killed, keeps to the budget.
    void tidy();
    // As of the last tidy() and what was written and removed here since; tidies the first time.
    DiskUsage usage();
    uint64_t budget() const { return budget_; }

  private:
    std::string path_of(const PageAddress& address) const;
    bool exists(const PageAddress& address) const;
    bool touch(const PageToWrite& page) const;
    bool write_new(const PageToWrite& page, const PageLayout& layout);
    int open_temporary(std::string& path);
    bool move_into_place(const std::string& temporary, const PageAddress& address) const;
    std::vector<PageAddress> children(const PageName& root, const PageName& parent) const;
    const std::vector<TokenId>* ids_of(const PageAddress& address);
    void drop_line(const PageName& root, std::span<const TokenId> line);
    void tell_failure(const std::string& path, int error);

    std::string directory_;
    uint64_t budget_;
    std::string temporary_prefix_;
    uint64_t temporaries_ = 0;
    bool measured_ = false;
    DiskUsage usage_;
    uint64_t written_since_tidy_ = 0;
    std::chrono::steady_clock::time_point failure_told_;
    // Ids of children that a walk has looked at; names determine them, so they never go stale.
    std::unordered_map<PageName, std::vector<TokenId>, PageNameHash> ids_;
    std::vector<std::byte> page_copy_;  // of a tail without the rows behind its end
};

}  // namespace core
