#include "core/kv/prefix_store.h"

#include <vector>

#include <gtest/gtest.h>

namespace core {
namespace {

using Tokens = std::vector<TokenId>;

constexpr KvLayerShape kShape[] = {{.kv_heads = 1, .head_dim = 32}};

class PrefixStoreTest : public testing::Test {
  protected:
    Sequence sequence_of(const Tokens& tokens) {
        Sequence sequence(pool);
        sequence.reserve(static_cast<uint32_t>(tokens.size()));
        sequence.commit(tokens);
        return sequence;
    }

    static Tokens tokens_of(const Sequence& sequence) {
        return {sequence.tokens().begin(), sequence.tokens().end()};
    }

    PagePool pool{PageLayout(kShape, KvType::f16), uint64_t{1} << 24U};
    PrefixStore store{pool};
};

TEST_F(PrefixStoreTest, AnEmptyStoreKnowsNothing) {
    EXPECT_EQ(store.longest_prefix("", Tokens{1, 2, 3}).length(), 0U);
}

TEST_F(PrefixStoreTest, TheLongestAgreeingPrefixIsFound) {
    store.keep("", sequence_of({1, 2, 3, 4}));
    store.keep("", sequence_of({1, 2, 9, 9, 9, 9}));
    EXPECT_EQ(tokens_of(store.longest_prefix("", Tokens{1, 2, 3, 7, 8})), (Tokens{1, 2, 3}));
    EXPECT_EQ(tokens_of(store.longest_prefix("", Tokens{1, 2, 9, 9, 1})), (Tokens{1, 2, 9, 9}));
    EXPECT_EQ(store.longest_prefix("", Tokens{5, 2, 3}).length(), 0U);
}

TEST_F(PrefixStoreTest, TheLastTokenIsAlwaysComputedAgain) {
    store.keep("", sequence_of({1, 2, 3, 4}));
    EXPECT_EQ(tokens_of(store.longest_prefix("", Tokens{1, 2, 3, 4})), (Tokens{1, 2, 3}));
    EXPECT_EQ(store.longest_prefix("", Tokens{1}).length(), 0U);
}

TEST_F(PrefixStoreTest, ScopesShareNothing) {
    store.keep("alice", sequence_of({1, 2, 3}));
    EXPECT_EQ(store.longest_prefix("bob", Tokens{1, 2, 3, 4}).length(), 0U);
    EXPECT_EQ(store.longest_prefix("alice", Tokens{1, 2, 3, 4}).length(), 3U);
}

TEST_F(PrefixStoreTest, AContinuedConversationIsKeptOnce) {
    store.keep("", sequence_of({1, 2}));
    store.keep("", sequence_of({1, 2, 3}));
    EXPECT_EQ(store.size(), 1U);
    store.keep("", sequence_of({1}));
    EXPECT_EQ(store.size(), 1U);
    EXPECT_EQ(store.longest_prefix("", Tokens{1, 2, 3, 4}).length(), 3U);
    store.keep("", sequence_of({1, 5}));
    EXPECT_EQ(store.size(), 2U);
}

TEST_F(PrefixStoreTest, BranchesShareTheirPages) {
    Tokens trunk(3 * kPagePositions, 7);
    store.keep("", sequence_of(trunk));
    const auto before = pool.pages_in_use();
    trunk.push_back(8);
    const Sequence branch = store.longest_prefix("", trunk);
    EXPECT_EQ(branch.length(), 3 * kPagePositions);
    EXPECT_EQ(pool.pages_in_use(), before);
}

TEST_F(PrefixStoreTest, TheLeastRecentlyUsedIsForgottenFirst) {
    store.keep("", sequence_of({1, 1}));
    store.keep("", sequence_of({2, 2}));
    store.longest_prefix("", Tokens{1, 1, 1});
    EXPECT_TRUE(store.forget_oldest());
    EXPECT_EQ(store.longest_prefix("", Tokens{2, 2, 2}).length(), 0U);
    EXPECT_EQ(store.longest_prefix("", Tokens{1, 1, 1}).length(), 2U);
    EXPECT_TRUE(store.forget_oldest());
    EXPECT_FALSE(store.forget_oldest());
    EXPECT_EQ(pool.pages_in_use(), 0U);
}

TEST_F(PrefixStoreTest, WhatBeginsWithGivenTokensCanBeForgotten) {
    store.keep("", sequence_of({1, 2, 3}));
    store.keep("alice", sequence_of({1, 2, 4}));
    store.keep("", sequence_of({1, 5}));
    store.forget(Tokens{1, 2});
    EXPECT_EQ(store.size(), 1U);
    store.forget({});
    EXPECT_EQ(store.size(), 0U);
}

}  // namespace
}  // namespace core
