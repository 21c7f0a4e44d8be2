// A KV cache without a model: every row is a function of all tokens up to its own, so that a wrong
// row, wherever it came from, is seen.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/kv/disk_thread.h"
#include "core/kv/prefix_store.h"
#include "core/kv/sequence.h"
#include "tests/support/temporary_folder.h"

namespace core {

using Tokens = std::vector<TokenId>;

using support::contents_of;
using support::holds_phrase;
using support::TemporaryFolder;

// Two layers of odd sizes, so that no padding or scale is where it is by luck.
PageLayout test_layout(KvType type = KvType::f16);

// Appends tokens and writes their rows. Throws Error(memory) when the pool has no page.
void append(Sequence& sequence, std::span<const TokenId> tokens);
// How many rows of the sequence are what they should be; its length if all are.
uint32_t correct_rows(const Sequence& sequence);

// `count` tokens, others for each seed.
Tokens some_tokens(size_t count, uint32_t seed);
Tokens joined(const Tokens& line, const Tokens& more);

// A store over a pool and a directory, as the engine has them.
class RowsWorld {
  public:
    struct Options {
        KvType type = KvType::f16;
        uint64_t pages = 1000;
        std::string directory = {};  // "": no disk
        uint64_t disk_pages = 1000;  // budget
        uint64_t model = 1;
        uint32_t shortest_line = 0;
    };
    explicit RowsWorld(Options options);

    // What a request does: looks in memory and on disk, computes the rest, keeps it. Returns how
    // many tokens it computed.
    uint32_t read(const Tokens& tokens, Keep where = Keep::on_disk, const std::string& scope = {});

    // The longest beginning of the line and one more token, from memory and disk.
    uint32_t known(const Tokens& line, const std::string& scope = {});

    // Everything in memory goes, the directory stays.
    void restart();
    // Waits until the disk thread has nothing left to do.
    void settle();
    // Polls until `done()`.
    template <class Done>
    void wait(Done&& done) {
        while (!done())
            wait_for_news();
    }

    PrefixStore& store() { return *store_; }
    PagePool& pool() { return *pool_; }
    // Every page in use is in the store.
    bool leaks_nothing() { return pool_->pages_in_use() == store_->size(); }

    Restore last_restore;  // figures only

  private:
    void wait_for_news();
    Sequence find(const Tokens& tokens, const std::string& scope);
    void start();

    Options options_;
    std::optional<DiskThread> disk_;
    std::optional<PagePool> pool_;
    std::optional<PrefixStore> store_;
};

}  // namespace core
