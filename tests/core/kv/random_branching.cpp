#include "tests/core/kv/random_branching.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/kv/rows_world.h"

namespace core {
namespace {

// Few different tokens, so that lines meet again by chance; short lines, so that pages are crossed
// often and all rows can be computed at every step.
constexpr uint32_t kVocabulary = 3;
constexpr size_t kLongest = 5 * kPagePositions;
constexpr size_t kMostLines = 12;

class Branching {
  public:
    explicit Branching(const BranchingOptions& options)
        : options_(options),
          random_(options.seed),
          world_({.type = options.type,
                  .pages = 40,
                  .directory = options.disk ? directory_ : "",
                  .disk_pages = 10'000}) {}

    void run() {
        for (uint32_t step = 0; step < options_.steps && !testing::Test::HasFailure(); ++step) {
            SCOPED_TRACE("seed " + std::to_string(options_.seed) + ", step " +
                         std::to_string(step));
            this->step();
        }
        end();
    }

  private:
    uint32_t below(size_t bound) { return static_cast<uint32_t>(random_() % bound); }

    Tokens fresh(size_t most) {
        Tokens tokens(1 + below(most));
        for (TokenId& token : tokens)
            token = static_cast<TokenId>(below(kVocabulary));
        return tokens;
    }

    void step() {
        const uint32_t dice = below(100);
        if (lines_.empty() || dice < 10)
            add_line(fresh(150));
        else if (dice < 50)
            append();
        else if (dice < 65)
            edit();
        else if (dice < 80)
            fork();
        else if (dice < 86)
            read(lines_[below(lines_.size())]);  // regenerate
        else if (dice < 90)
            drop();
        else if (dice < 96)
            evict();
        else
            world_.restart();
        if (options_.disk && below(damaged_ ? 5 : 50) == 0) damage();
        if (options_.disk && below(damaged_ ? 50 : 500) == 0) remove_directory();
    }

    void add_line(Tokens line) {
        if (line.size() > kLongest) line.resize(kLongest);
        read(line);
        if (lines_.size() == kMostLines) lines_.erase(lines_.begin() + below(kMostLines));
        lines_.push_back(std::move(line));
    }
    void append() {
        Tokens& line = lines_[below(lines_.size())];
        line = joined(line, fresh(60));
        if (line.size() > kLongest) line.resize(below(kLongest) + 1);
        read(line);
    }
    void edit() {
        Tokens line = lines_[below(lines_.size())];
        line[below(line.size())] = static_cast<TokenId>(kVocabulary + below(2));
        add_line(std::move(line));
    }
    void fork() {
        Tokens line = lines_[below(lines_.size())];
        line.resize(1 + below(line.size()));
        add_line(joined(line, fresh(40)));
    }

    // How long a beginning of the line must be known at least. Without a disk nothing is certain:
    // the pool is tight.
    size_t expected(const Tokens& line) const {
        size_t longest = 0;
        for (const Tokens& read : known_)
            longest = std::max(longest, common_prefix(read, line));
        return std::min(longest, line.size() - 1);
    }

    void read(const Tokens& line) {
        const bool secret = below(10) == 0;
        const size_t known = expected(line);
        const uint32_t computed = world_.read(line, secret ? Keep::in_memory : Keep::on_disk);
        // More may be known than the model knows of: what was lost of a line may be in another.
        EXPECT_LE(computed, line.size() - known);
        EXPECT_GE(computed, 1U);
        if (!secret && options_.disk && !damaged_) known_.push_back(line);
        constexpr size_t kMostKnown = 60;  // for the comparison's sake
        if (known_.size() > kMostKnown) known_.erase(known_.begin());
    }

    void drop() {
        const size_t index = below(lines_.size());
        const auto chore = world_.store().drop("", std::span(&lines_[index], 1));
        if (chore) world_.wait([&] { return chore->done(); });
        lines_.erase(lines_.begin() + static_cast<std::ptrdiff_t>(index));
        // The simple model does not know which pages others hang on: it forgets all.
        known_.clear();
    }
    void evict() {
        for (uint32_t pages = below(30); pages > 0; --pages)
            world_.store().evict();
    }
    // A byte of a file, or its end. The walk ends there, and since nobody knows that a page is
    // damaged before it is read, nothing is certain until the directory is a new one.
    void damage() {
        world_.settle();
        const auto files = folder_.files();
        if (files.empty()) return;
        const std::string& file = files[below(files.size())];
        if (below(2) == 0) {
            std::filesystem::resize_file(file, below(20'000));
        } else {
            std::fstream content(file, std::ios::binary | std::ios::in | std::ios::out);
            content.seekp(below(8'000));
            content.put(static_cast<char>(below(256)));
        }
        known_.clear();
        damaged_ = true;
    }

    void remove_directory() {
        world_.settle();
        std::filesystem::remove_all(directory_);
        known_.clear();
        damaged_ = false;
    }

    void end() {
        if (options_.disk) world_.settle();
        EXPECT_TRUE(world_.leaks_nothing());
        while (world_.store().evict()) {
        }
        EXPECT_EQ(world_.pool().pages_in_use(), 0U);
    }

    const BranchingOptions options_;
    std::mt19937_64 random_;
    TemporaryFolder folder_;
    const std::string directory_ = folder_.path() + "/kv";
    RowsWorld world_;
    std::vector<Tokens> lines_;
    std::vector<Tokens> known_;  // read and written
    bool damaged_ = false;
};

}  // namespace

void branch_at_random(const BranchingOptions& options) {
    Branching(options).run();
}

}  // namespace core
