// What is found again in memory: the longest agreeing beginning, shared pages, eviction.
#include "core/kv/prefix_store.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/core/kv/rows_world.h"

namespace core {
namespace {

constexpr uint32_t kPage = kPagePositions;

class PrefixStoreTest : public testing::Test {
  protected:
    RowsWorld world{{.pages = 200}};
};

TEST_F(PrefixStoreTest, AnEmptyStoreKnowsNothing) {
    EXPECT_EQ(world.known({1, 2, 3}), 0U);
    EXPECT_EQ(world.store().longest_prefix("", {}).length(), 0U);
}

TEST_F(PrefixStoreTest, TheLongestAgreeingPrefixIsFound) {
    world.read({1, 2, 3, 4});
    world.read({1, 2, 9, 9, 9, 9});
    EXPECT_EQ(world.known({1, 2, 3, 7}), 3U);
    EXPECT_EQ(world.known({1, 2, 9, 9, 1}), 4U);
    EXPECT_EQ(world.known({5, 2, 3}), 0U);
}

TEST_F(PrefixStoreTest, TheLastTokenIsAlwaysComputedAgain) {
    for (const size_t length : {1U, 2U, kPage, kPage + 1, 2 * kPage, 3 * kPage - 1}) {
        const Tokens line = some_tokens(length, static_cast<uint32_t>(length));
        EXPECT_EQ(world.read(line), length);
        EXPECT_EQ(world.read(line), 1U);
    }
}

TEST_F(PrefixStoreTest, AnEditReReadsWhatFollowsTheFirstDifferenceOnly) {
    const Tokens line = some_tokens(5 * kPage + 20, 1);
    world.read(line);
    for (const size_t at : {0U, 1U, kPage - 1, kPage, 2 * kPage + 17, 5 * kPage + 19}) {
        Tokens edited = line;
        edited[at] = -1;
        EXPECT_EQ(world.read(edited), line.size() - at) << "edited at " << at;
        EXPECT_EQ(world.read(line), 1U);
    }
    EXPECT_TRUE(world.leaks_nothing());
}

TEST_F(PrefixStoreTest, ANextTurnReadsWhatIsNew) {
    Tokens line = some_tokens(30, 1);
    world.read(line);
    for (uint32_t turn = 0; turn < 12; ++turn) {
        line = joined(line, some_tokens(25, 10 + turn));
        EXPECT_EQ(world.read(line), 25U);
    }
    // Each turn's tail took the place of the one before.
    EXPECT_EQ(world.pool().pages_in_use(), (line.size() + kPage - 1) / kPage);
    EXPECT_TRUE(world.leaks_nothing());
}

TEST_F(PrefixStoreTest, ScopesShareNothing) {
    world.read({1, 2, 3}, Keep::in_memory, "alice");
    EXPECT_EQ(world.known({1, 2, 3, 4}, "bob"), 0U);
    EXPECT_EQ(world.known({1, 2, 3, 4}, "alice"), 3U);
}

TEST_F(PrefixStoreTest, TenConversationsHoldTheirCommonBeginningOnce) {
    const Tokens system = some_tokens(1000, 1);
    for (uint32_t conversation = 0; conversation < 10; ++conversation)
        world.read(joined(system, some_tokens(100, 2 + conversation)));
    // 1000 = 15 pages and 40 rows; the 40 rows are in the first page that differs.
    EXPECT_EQ(world.pool().pages_in_use(), 15U + 10 * 3);
    EXPECT_TRUE(world.leaks_nothing());
}

TEST_F(PrefixStoreTest, ThePageUsedLeastRecentlyGoesFirst) {
    const Tokens old = some_tokens(2 * kPage, 1);
    const Tokens young = some_tokens(2 * kPage, 2);
    world.read(old);
    world.read(young);
    world.known(old);
    EXPECT_TRUE(world.store().evict());
    EXPECT_EQ(world.known(young), kPage);
    EXPECT_EQ(world.known(old), 2 * kPage);
    while (world.store().evict()) {
    }
    EXPECT_EQ(world.pool().pages_in_use(), 0U);
}

TEST_F(PrefixStoreTest, PagesInUseAreNotGivenUp) {
    const Tokens line = some_tokens(3 * kPage + 1, 1);
    world.read(line);
    const Sequence held = world.store().longest_prefix("", line);
    EXPECT_TRUE(world.store().evict());  // the tail, which the sequence does not reach
    EXPECT_FALSE(world.store().evict());
    EXPECT_EQ(correct_rows(held), held.length());
}

TEST_F(PrefixStoreTest, RowsBehindAnAgreementAreNotOverwrittenForTheOtherBranch) {
    const Tokens line = some_tokens(kPage, 1);
    world.read(line);
    Tokens edited = line;
    edited[10] = -1;
    world.read(edited);
    EXPECT_EQ(world.known(line), kPage);
    EXPECT_EQ(world.known(edited), kPage);
}

TEST_F(PrefixStoreTest, MoreBranchesThanAnybodyWalksBetweenAreAllKept) {
    const Tokens trunk = some_tokens(kPage, 1);
    for (TokenId branch = 0; branch < 100; ++branch)
        world.read(joined(trunk, {branch, 1, 2}));
    for (TokenId branch = 0; branch < 100; ++branch)
        EXPECT_EQ(world.read(joined(trunk, {branch, 1, 2, 3})), 1U);
}

TEST_F(PrefixStoreTest, DroppingALineSparesWhatOthersHangBelow) {
    const Tokens trunk = some_tokens(2 * kPage, 1);
    const Tokens one = joined(trunk, some_tokens(kPage + 5, 2));
    const Tokens other = joined(trunk, some_tokens(kPage + 5, 3));
    world.read(one);
    world.read(other);
    world.store().drop("", std::span(&one, 1));
    EXPECT_EQ(world.known(other), other.size());
    EXPECT_EQ(world.known(one), trunk.size());
    EXPECT_EQ(world.store().size(), 4U);
    world.store().drop("", std::span(&other, 1));
    EXPECT_EQ(world.store().size(), 0U);
    EXPECT_EQ(world.pool().pages_in_use(), 0U);
}

TEST_F(PrefixStoreTest, DroppingEverythingSparesOtherScopes) {
    world.read(some_tokens(300, 1));
    world.read(some_tokens(300, 2), Keep::in_memory, "alice");
    world.store().drop("", {});
    EXPECT_EQ(world.store().size(), 5U);
    EXPECT_EQ(world.known(some_tokens(300, 2), "alice"), 300U);
}

TEST_F(PrefixStoreTest, LinesAreListedTheMostRecentlyUsedFirst) {
    const Tokens one = some_tokens(100, 1);
    const Tokens two = some_tokens(70, 2);
    world.read(one);
    world.read(two);
    EXPECT_EQ(world.store().lines(""), (std::vector<Tokens>{two, one}));
    world.read(one);
    EXPECT_EQ(world.store().lines(""), (std::vector<Tokens>{one, two}));
}

// A walk that is quadratic anywhere would take minutes.
TEST_F(PrefixStoreTest, LongPromptsAndThousandsOfPagesAreCheap) {
    RowsWorld large{{.pages = 6000}};
    Tokens line = some_tokens(100'000, 1);
    Sequence sequence(large.pool());
    sequence.reserve(static_cast<uint32_t>(line.size()));
    sequence.commit(line);
    for (int turn = 0; turn < 20; ++turn) {
        large.store().keep("", sequence, Keep::in_memory);
        EXPECT_EQ(large.store().longest_prefix("", line).length(), line.size() - 1);
    }
    for (TokenId branch = 0; branch < 500; ++branch) {
        Sequence tail = large.store().longest_prefix("", line);
        tail.truncate(static_cast<uint32_t>(line.size()) / kPage * kPage);
        tail.reserve(1);
        tail.commit(Tokens{branch});
        large.store().keep("", tail, Keep::in_memory);
    }
    EXPECT_GT(large.store().size(), 2000U);
}

}  // namespace
}  // namespace core
