// The cache on disk through the store, as the engine uses it: what survives a restart, and every
// way in which a directory can go wrong without ever giving a wrong row.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/kv/disk_store.h"
#include "tests/core/kv/rows_world.h"

namespace core {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kPage = kPagePositions;

class DiskCache : public testing::TestWithParam<KvType> {
  protected:
    RowsWorld::Options options() const {
        return {.type = GetParam(), .pages = 200, .directory = folder.path() + "/kv"};
    }
    uint64_t file_bytes() const { return kPageHeaderBytes + test_layout(GetParam()).page_bytes(); }
    void change_file(const std::string& path, const std::function<void(std::string&)>& change) {
        std::ifstream in(path, std::ios::binary);
        std::string content{std::istreambuf_iterator<char>(in), {}};
        change(content);
        std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    }
    // The file that holds these ids of the line's page.
    std::string file_of(const Tokens& tokens, size_t page) const {
        PageName parent = root_name({.model = {.high = 0, .low = 1}, .type = GetParam()}, "");
        for (size_t i = 0;; ++i) {
            const size_t begin = i * kPage;
            const auto ids =
                std::span(tokens).subspan(begin, std::min<size_t>(kPage, tokens.size() - begin));
            const PageName name = page_name(parent, ids);
            if (i == page) {
                const std::string end = "-" + name.hex() + "-" + std::to_string(ids.size());
                for (const std::string& file : folder.files())
                    if (file.ends_with(end)) return file;
                return {};
            }
            parent = name;
        }
    }
    const Tokens line = some_tokens(5 * kPage + 20, 1);
    TemporaryFolder folder;
    RowsWorld world{options()};
};

INSTANTIATE_TEST_SUITE_P(EveryKvType, DiskCache,
                         testing::Values(KvType::f32, KvType::f16, KvType::q8),
                         [](const auto& each) { return std::string(name(each.param)); });

TEST_P(DiskCache, ARestartReadsOneToken) {
    world.read(line);
    world.restart();
    EXPECT_EQ(world.read(line), 1U);
    EXPECT_EQ(world.last_restore.restored, line.size() - 1);
    EXPECT_EQ(world.last_restore.bytes, 6 * file_bytes());
    world.settle();
    EXPECT_TRUE(world.leaks_nothing());
}

TEST_P(DiskCache, AnEditAfterARestartReReadsWhatFollowsTheFirstDifferenceOnly) {
    for (const size_t at : {0U, 1U, kPage - 1, kPage, 2 * kPage + 17, 5 * kPage + 19}) {
        world.read(line);
        world.restart();
        Tokens edited = line;
        edited[at] = -1;
        EXPECT_EQ(world.read(edited), line.size() - at) << "edited at " << at;
    }
}

TEST_P(DiskCache, ATurnsTailTakesThePlaceOfTheOneBefore) {
    Tokens conversation = some_tokens(30, 1);
    for (uint32_t turn = 0; turn < 6; ++turn) {
        conversation = joined(conversation, some_tokens(25, 10 + turn));
        world.read(conversation);
    }
    world.settle();
    EXPECT_EQ(folder.files().size(), (conversation.size() + kPage - 1) / kPage);
}

TEST_P(DiskCache, WhatIsEvictedFromMemoryComesBack) {
    world.read(line);
    world.settle();
    while (world.store().evict()) {
    }
    EXPECT_EQ(world.pool().pages_in_use(), 0U);
    EXPECT_EQ(world.read(line), 1U);
}

TEST_P(DiskCache, ATightPoolGivesUpPagesOnlyAfterTheyAreWritten) {
    auto tight = options();
    tight.pages = 8;
    RowsWorld small(tight);
    for (uint32_t conversation = 0; conversation < 8; ++conversation)
        small.read(some_tokens(6 * kPage, conversation));
    for (uint32_t conversation = 0; conversation < 8; ++conversation)
        EXPECT_EQ(small.read(some_tokens(6 * kPage, conversation)), 1U);
}

TEST_P(DiskCache, AnotherScopesPagesAreNotFound) {
    world.read(line, Keep::on_disk, "alice");
    world.restart();
    EXPECT_EQ(world.known(line, "bob"), 0U);
    EXPECT_EQ(world.known(line, "alice"), line.size());
}

TEST_P(DiskCache, AForeignModelsPagesAreNotFound) {
    world.read(line);
    world.settle();
    auto other = options();
    other.model = 2;
    EXPECT_EQ(RowsWorld(other).known(line), 0U);
    // Not even when they lie where its own would be.
    const std::string own =
        root_name({.model = {.high = 0, .low = 1}, .type = GetParam()}, "").hex();
    const std::string foreign =
        root_name({.model = {.high = 0, .low = 2}, .type = GetParam()}, "").hex();
    fs::rename(folder.path() + "/kv/" + own, folder.path() + "/kv/" + foreign);
    RowsWorld fooled(other);
    EXPECT_EQ(fooled.known(line), 0U);
}

TEST_P(DiskCache, PagesOfAnotherKvTypeAreNotFound) {
    world.read(line);
    world.settle();
    auto other = options();
    other.type = GetParam() == KvType::f32 ? KvType::q8 : KvType::f32;
    EXPECT_EQ(RowsWorld(other).known(line), 0U);
}

TEST_P(DiskCache, LookingTellsOfPagesThatWereMadeOtherwise) {
    const auto made_otherwise = [](RowsWorld& reader, const Tokens& tokens) {
        const auto look = reader.store().look("", tokens);
        reader.wait([&] { return look->done; });
        return look->made_otherwise;
    };
    world.read(line);
    world.settle();
    EXPECT_FALSE(made_otherwise(world, line));
    auto changed = options();
    changed.model = 2;
    RowsWorld other(changed);
    EXPECT_TRUE(made_otherwise(other, line));
    EXPECT_FALSE(made_otherwise(other, some_tokens(5 * kPage, 2)));
    EXPECT_FALSE(made_otherwise(other, some_tokens(kPage - 1, 1)));  // no whole page, not worth it
    // Where the beginning is there, what follows it counts: here, and then nothing any more.
    other.read({line.begin(), line.begin() + 2 * kPage});
    EXPECT_TRUE(made_otherwise(other, line));
    other.read(line);
    EXPECT_FALSE(made_otherwise(other, line));
}

TEST_P(DiskCache, AFlippedBitEndsTheWalkAndTheFileIsRemoved) {
    for (const size_t byte : {0U, 20U, 130U, 4090U, 4096U, 5000U}) {
        world.read(line);
        world.settle();
        const std::string file = file_of(line, 3);
        change_file(file, [&](std::string& content) { content.at(byte) ^= 4; });
        world.restart();
        EXPECT_EQ(world.known(line), 3 * kPage) << "byte " << byte;
        EXPECT_FALSE(fs::exists(file));
        EXPECT_EQ(world.read(line), line.size() - 3 * kPage);
    }
}

TEST_P(DiskCache, ATruncatedFileEndsTheWalkAndIsRemoved) {
    for (const size_t length : {0U, 100U, 4096U, 5000U}) {
        world.read(line);
        world.settle();
        const std::string file = file_of(line, 2);
        change_file(file, [&](std::string& content) { content.resize(length); });
        world.restart();
        EXPECT_EQ(world.known(line), 2 * kPage) << length << " bytes";
        EXPECT_FALSE(fs::exists(file));
    }
}

TEST_P(DiskCache, ADamagedTailCostsItsTokensOnly) {
    world.read(line);
    world.settle();
    change_file(file_of(line, 5), [](std::string& content) { content.at(200) ^= 1; });
    world.restart();
    EXPECT_EQ(world.known(line), 5 * kPage);
}

TEST_P(DiskCache, AMissingPageEndsTheWalk) {
    world.read(line);
    world.settle();
    fs::remove(file_of(line, 1));
    world.restart();
    EXPECT_EQ(world.known(line), kPage);
    // The line is whole again after the next turn.
    world.read(line);
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
}

TEST_P(DiskCache, FilesThatAreNoPagesDisturbNobody) {
    world.read(line);
    world.settle();
    const fs::path shard = fs::path(file_of(line, 0)).parent_path();
    std::ofstream(shard / "README") << "hello";
    fs::create_directory(shard / "folder");
    std::ofstream(folder.path() + "/kv/notes.txt") << "hello";
    fs::create_directories(folder.path() + "/kv/0123/45");
    world.restart();
    EXPECT_EQ(world.read(line), 1U);
    EXPECT_EQ(list_pages(folder.path() + "/kv").size(), 6U);
}

TEST_P(DiskCache, ADirectoryRemovedWhileRunningIsMadeAgain) {
    world.read(line);
    world.settle();
    fs::remove_all(folder.path() + "/kv");
    EXPECT_EQ(world.known(line), line.size());  // memory has it
    world.restart();
    EXPECT_EQ(world.known(line), 0U);
    world.read(line);
    world.settle();
    fs::remove_all(folder.path() + "/kv");
    EXPECT_EQ(world.read(line), 1U);  // the turn writes the whole line again
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
}

TEST_P(DiskCache, ADirectoryThatCannotBeWrittenCostsTheDiskOnly) {
    std::ofstream(folder.path() + "/file") << "in the way";
    auto blocked = options();
    blocked.directory = folder.path() + "/file/kv";
    RowsWorld memory_only(blocked);
    EXPECT_EQ(memory_only.read(line), line.size());
    memory_only.settle();
    EXPECT_EQ(memory_only.read(line), 1U);
}

TEST_P(DiskCache, AKilledWritersFileIsNeverReadAndIsTidiedAway) {
    world.read(line);
    world.settle();
    const std::string left = folder.path() + "/kv/4711-1-1.part";
    std::ofstream(left) << "half a page";
    const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
    fs::last_write_time(left, hour_ago);
    const std::string young = folder.path() + "/kv/4711-1-2.part";
    std::ofstream(young) << "of a writer that lives";
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
    world.settle();  // measuring tidies
    EXPECT_FALSE(fs::exists(left));
    EXPECT_TRUE(fs::exists(young));
}

TEST_P(DiskCache, AFullDiskCostsTheDiskOnly) {
    // A limit on the size of files is what a full disk is: the write fails in the middle.
    rlimit before = {};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
    rlimit full = before;
    full.rlim_cur = kPageHeaderBytes + 100;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
    EXPECT_EQ(world.read(line), line.size());
    world.settle();
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)std::signal(SIGXFSZ, ignored);

    EXPECT_TRUE(folder.files().empty());
    EXPECT_EQ(world.read(line), 1U);  // memory has it; and now there is room
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
}

TEST_P(DiskCache, TwoProcessesShareADirectory) {
    RowsWorld other(options());
    EXPECT_EQ(world.read(line), line.size());
    world.settle();
    EXPECT_EQ(other.read(line), 1U);
    const Tokens longer = joined(line, some_tokens(100, 2));
    EXPECT_EQ(other.read(longer), 100U);
    other.settle();
    EXPECT_EQ(world.read(longer), 1U);
    // Both write the same page at once, one removes what the other reads.
    const Tokens common = some_tokens(4 * kPage, 3);
    world.read(common);
    other.read(common);
    world.settle();
    other.settle();
    world.store().drop("", std::span(&common, 1));
    world.settle();
    EXPECT_EQ(other.read(common), 1U);
    EXPECT_EQ(RowsWorld(options()).known(longer), longer.size());
}

TEST_P(DiskCache, TheBudgetIsKeptAndTheLeastRecentlyUsedGoesFirst) {
    auto small = options();
    small.disk_pages = 20;
    RowsWorld budgeted(small);
    const Tokens first = some_tokens(4 * kPage, 1);
    budgeted.read(first);
    for (uint32_t other = 2; other < 10; ++other) {
        budgeted.read(some_tokens(4 * kPage, other));
        budgeted.read(first);
        budgeted.settle();
        EXPECT_LE(folder.files().size(), 20U);
    }
    budgeted.restart();
    EXPECT_EQ(budgeted.known(first), first.size());
    EXPECT_EQ(budgeted.known(some_tokens(4 * kPage, 2)), 0U);
    EXPECT_EQ(budgeted.known(some_tokens(4 * kPage, 9)), 4 * kPage);
}

TEST_P(DiskCache, EvictionTakesTheEndOfALineBeforeItsBeginning) {
    auto small = options();
    small.disk_pages = 4;
    RowsWorld budgeted(small);
    budgeted.read(line);
    budgeted.settle();
    budgeted.restart();
    const uint32_t known = budgeted.known(line);
    EXPECT_GE(known, 2 * kPage);
    EXPECT_LE(known, 4 * kPage);
    EXPECT_EQ(known, folder.files().size() * kPage);
}

TEST_P(DiskCache, FoldersAndFilesAreForTheirOwnerOnly) {
    const mode_t before = ::umask(0);
    world.read(line);
    world.settle();
    ::umask(before);
    const auto mode_of = [](const std::string& path) {
        struct stat status = {};
        EXPECT_EQ(::stat(path.c_str(), &status), 0);
        return status.st_mode & 0777U;
    };
    EXPECT_EQ(mode_of(folder.path() + "/kv"), 0700U);
    for (const auto& entry : fs::recursive_directory_iterator(folder.path() + "/kv"))
        EXPECT_EQ(mode_of(entry.path()), entry.is_directory() ? 0700U : 0600U) << entry.path();
}

TEST_P(DiskCache, WhatIsKeptInMemoryOnlyIsNeverWritten) {
    world.read(line, Keep::in_memory);
    world.settle();
    const auto saved = world.store().save("", {});
    world.wait([&] { return saved->done(); });
    EXPECT_TRUE(folder.files().empty());
    // A conversation that shares its beginning writes that and its own end.
    const Tokens fork = joined(Tokens(line.begin(), line.begin() + 2 * kPage + 5), {-1, -2});
    world.read(fork);
    world.settle();
    EXPECT_EQ(folder.files().size(), 3U);
    EXPECT_FALSE(holds_phrase(folder, std::span(line).subspan(3 * kPage, 4)));
    EXPECT_FALSE(holds_phrase(folder, std::span(line).subspan(2 * kPage + 6, 4)));
}

// A temporary chat that goes on from a saved one, and a saved one inside a temporary one.
TEST_P(DiskCache, ALongerTemporaryTailIsNotWrittenForAShorterOne) {
    const Tokens kept = some_tokens(10, 1);
    const Tokens secret = joined(kept, some_tokens(20, 2));
    world.read(secret, Keep::in_memory);
    EXPECT_EQ(world.read(kept), 1U);
    world.settle();
    EXPECT_TRUE(holds_phrase(folder, kept));
    EXPECT_FALSE(holds_phrase(folder, std::span(secret).subspan(10, 4)));
    world.restart();
    EXPECT_EQ(world.known(secret), kept.size());
}

TEST_P(DiskCache, PurgingLeavesNoIdsInTheDirectory) {
    const Tokens system = some_tokens(2 * kPage + 10, 1);
    const Tokens kept = joined(system, some_tokens(100, 2));
    Tokens purged = joined(system, some_tokens(50, 3));
    world.read(kept);
    for (uint32_t turn = 0; turn < 5; ++turn) {
        world.read(purged);
        purged = joined(purged, some_tokens(70, 4 + turn));
    }
    const Tokens branch = joined(Tokens(purged.begin(), purged.begin() + 200), some_tokens(90, 20));
    world.read(purged);
    world.read(branch);
    world.settle();
    const auto phrase = std::span(purged).subspan(system.size() + 5, 6);
    EXPECT_TRUE(holds_phrase(folder, phrase));

    const std::vector<Tokens> lines{purged, branch};
    const auto chore = world.store().drop("", lines);
    world.wait([&] { return chore->done(); });
    const auto contents = contents_of(folder);
    EXPECT_FALSE(contents.empty());
    for (const Tokens& gone : lines)
        for (size_t at = system.size(); at + 6 < gone.size(); ++at)
            EXPECT_FALSE(holds_phrase(contents, std::span(gone).subspan(at, 6))) << at;
    // What the other conversation reaches is still there.
    world.restart();
    EXPECT_EQ(world.known(kept), kept.size());
    EXPECT_EQ(world.known(purged), system.size());
}

TEST_P(DiskCache, PurgingReachesPagesBehindAGap) {
    world.read(line);
    world.settle();
    fs::remove(file_of(line, 2));
    const auto chore = world.store().drop("", std::span(&line, 1));
    world.wait([&] { return chore->done(); });
    EXPECT_TRUE(folder.files().empty());
}

TEST_P(DiskCache, PurgingEverythingSparesOtherScopes) {
    world.read(line);
    world.read(line, Keep::on_disk, "alice");
    const auto chore = world.store().drop("", {});
    world.wait([&] { return chore->done(); });
    world.restart();
    EXPECT_EQ(world.known(line), 0U);
    EXPECT_EQ(world.known(line, "alice"), line.size());
}

TEST_P(DiskCache, ADirectoryIsListedWithoutAModel) {
    world.read(line);
    world.settle();
    const auto pages = list_pages(folder.path() + "/kv");
    ASSERT_EQ(pages.size(), 6U);
    const auto now = std::chrono::system_clock::now();
    uint32_t tokens = 0;
    for (const StoredPage& page : pages) {
        tokens += page.address.tokens;
        EXPECT_EQ(page.bytes, file_bytes());
        EXPECT_LT(now - page.last_use, std::chrono::minutes(1));
    }
    EXPECT_EQ(tokens, line.size());
    EXPECT_TRUE(list_pages("/nonexistent").empty());
}

TEST_P(DiskCache, LookingTellsWhatTheDiskHasBeyondMemory) {
    world.read(line);
    world.restart();
    const auto look = world.store().look("", line);
    world.wait([&] { return look->done; });
    EXPECT_EQ(look->tokens, line.size());
    EXPECT_EQ(look->bytes, 6 * file_bytes());
    EXPECT_EQ(world.store().resident("", line), 0U);
    EXPECT_EQ(world.store().bytes_per_second(), 0);
    world.known(line);
    EXPECT_EQ(world.store().resident("", line), line.size());
    EXPECT_GT(world.store().bytes_per_second(), 0);
}

TEST_P(DiskCache, AnAbandonedRestoreEndsAndNothingIsLost) {
    world.read(line);
    world.restart();
    world.store().restore("", line).reset();
    world.settle();
    EXPECT_TRUE(world.leaks_nothing());
    EXPECT_EQ(world.known(line), line.size());
}

TEST_P(DiskCache, AStoreThatGoesDuringARestoreLeavesItsPagesToNobody) {
    world.read(line);
    world.restart();
    const auto restore = world.store().restore("", line);
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
}

}  // namespace
}  // namespace core
