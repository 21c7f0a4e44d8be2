// Sequences over a page pool: who shares a page, who copies it, and what errors leave behind.
#include "core/kv/sequence.h"

#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/kv/page_pool.h"

namespace core {
namespace {

constexpr KvLayerShape kShape[] = {{.kv_heads = 2, .head_dim = 8}, {.kv_heads = 1, .head_dim = 40}};

PageLayout layout(KvType type = KvType::f32) {
    return {kShape, type};
}

PagePool pool_of(uint64_t pages) {
    return {layout(), pages * layout().page_bytes()};
}

std::vector<TokenId> tokens(uint32_t count, TokenId first = 0) {
    std::vector<TokenId> ids(count);
    std::iota(ids.begin(), ids.end(), first);
    return ids;
}

void append(Sequence& sequence, uint32_t count) {
    sequence.reserve(count);
    sequence.commit(tokens(count, static_cast<TokenId>(sequence.length())));
}

TEST(PageLayout, PartsOfAPageDoNotOverlapAndAreAligned) {
    for (const KvType type : {KvType::f32, KvType::f16, KvType::q8}) {
        const PageLayout page = layout(type);
        size_t expected = 0;
        for (uint32_t layer = 0; layer < std::size(kShape); ++layer) {
            for (uint32_t head = 0; head < kShape[layer].kv_heads; ++head) {
                EXPECT_EQ(page.k_offset(layer, head), expected);
                expected += k_bytes(type, kShape[layer].head_dim);
                EXPECT_EQ(page.v_offset(layer, head), expected);
                expected += v_bytes(type, kShape[layer].head_dim);
                EXPECT_EQ(page.k_offset(layer, head) % 64, 0U);
                EXPECT_EQ(page.v_offset(layer, head) % 64, 0U);
            }
        }
        EXPECT_EQ(page.page_bytes(), expected);
    }
}

TEST(PagePool, NamesOfTypesRoundTripAndUnknownOnesAreRejected) {
    for (const KvType type : {KvType::f32, KvType::f16, KvType::q8})
        EXPECT_EQ(kv_type_from_name(name(type)), type);
    EXPECT_THROW(kv_type_from_name("q4"), Error);
}

TEST(PagePool, BudgetIsNeverExceededAndReturnedPagesAreUsedAgain) {
    PagePool pool = pool_of(2);
    PageRef a = pool.allocate();
    PageRef b = pool.allocate();
    EXPECT_THROW(pool.allocate(), Error);
    EXPECT_EQ(pool.pages_in_use(), 2U);
    EXPECT_EQ(pool.bytes_in_use(), 2 * layout().page_bytes());
    std::byte* const released = b->data;
    b.reset();
    EXPECT_EQ(pool.pages_in_use(), 1U);
    EXPECT_EQ(pool.allocate()->data, released);
}

TEST(PagePool, PopulatingChangesNoPageAndTakesNone) {
    constexpr KvLayerShape kLarge[] = {{.kv_heads = 8, .head_dim = 128}};
    const PageLayout large(kLarge, KvType::f32);
    for (int round = 0; round < 3; ++round) {  // it may be anywhere when the pool goes
        PagePool pool(large, 40 * large.page_bytes());
        pool.populate(30 * large.page_bytes());
        EXPECT_EQ(pool.pages_in_use(), 0U);
        std::vector<PageRef> pages;
        while (PageRef page = pool.try_allocate()) {
            std::memset(page->data, static_cast<int>(pages.size()), large.page_bytes());
            pages.push_back(std::move(page));
        }
        EXPECT_EQ(pages.size(), 40U);
        for (size_t i = 0; i < pages.size(); ++i)
            EXPECT_EQ(pages[i]->data[large.page_bytes() / 2], static_cast<std::byte>(i));
    }
}

TEST(PagePool, PagesMayOutliveThePool) {
    PageRef page;
    {
        PagePool pool = pool_of(1);
        page = pool.allocate();
    }
    std::memset(page->data, 1, layout().page_bytes());  // AddressSanitizer would object
}

TEST(Sequence, ReserveAddsPagesOnlyAtTheirBoundary) {
    PagePool pool = pool_of(4);
    Sequence sequence(pool);
    append(sequence, 1);
    EXPECT_EQ(sequence.pages().size(), 1U);
    append(sequence, kPagePositions - 1);
    EXPECT_EQ(sequence.pages().size(), 1U);
    append(sequence, 1);
    EXPECT_EQ(sequence.pages().size(), 2U);
    EXPECT_EQ(sequence.length(), kPagePositions + 1);
}

TEST(Sequence, UncommittedReservationChangesNothingVisible) {
    PagePool pool = pool_of(4);
    Sequence sequence(pool);
    append(sequence, 5);
    sequence.reserve(2 * kPagePositions);
    EXPECT_EQ(sequence.length(), 5U);
    sequence.reserve(3);
    sequence.commit(tokens(3, 5));
    EXPECT_EQ(sequence.length(), 8U);
}

TEST(Sequence, ForkSharesPagesUntilOneSideWrites) {
    PagePool pool = pool_of(8);
    Sequence original(pool);
    append(original, kPagePositions + 10);
    std::memset(original.pages()[1]->data, 0x5a, layout().page_bytes());

    Sequence copy = original.fork();
    EXPECT_EQ(pool.pages_in_use(), 2U);
    EXPECT_EQ(copy.pages()[0], original.pages()[0]);
    EXPECT_EQ(copy.pages()[1], original.pages()[1]);

    append(copy, 1);
    EXPECT_EQ(copy.pages()[0], original.pages()[0]);
    EXPECT_NE(copy.pages()[1], original.pages()[1]);
    EXPECT_EQ(std::memcmp(copy.pages()[1]->data, original.pages()[1]->data, layout().page_bytes()),
              0);

    // The original owns its tail again and need not copy it.
    const std::byte* const tail = original.pages()[1]->data;
    append(original, 1);
    EXPECT_EQ(original.pages()[1]->data, tail);
}

TEST(Sequence, WritingAfterTruncationIntoASharedFullPageCopiesIt) {
    PagePool pool = pool_of(8);
    Sequence original(pool);
    append(original, 2 * kPagePositions);
    Sequence copy = original.fork();
    copy.truncate(10);
    EXPECT_EQ(copy.pages().size(), 1U);
    append(copy, 1);
    EXPECT_NE(copy.pages()[0], original.pages()[0]);
    EXPECT_EQ(copy.tokens()[9], original.tokens()[9]);
}

TEST(Sequence, ForkDoesNotShareReservedPages) {
    PagePool pool = pool_of(8);
    Sequence original(pool);
    append(original, kPagePositions);
    original.reserve(1);
    const Sequence copy = original.fork();
    EXPECT_EQ(copy.pages().size(), 1U);
    EXPECT_EQ(original.pages().size(), 2U);
}

TEST(Sequence, FailedReservationLeavesTheSequenceAsItWas) {
    PagePool pool = pool_of(2);
    Sequence sequence(pool);
    append(sequence, 10);
    const PageRef page = sequence.pages()[0];
    try {
        sequence.reserve(3 * kPagePositions);
        FAIL() << "the budget allows two pages";
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::memory);
    }
    EXPECT_EQ(sequence.length(), 10U);
    EXPECT_EQ(sequence.pages().size(), 1U);
    EXPECT_EQ(sequence.pages()[0], page);
    EXPECT_EQ(pool.pages_in_use(), 1U);
}

TEST(Sequence, TruncationReturnsPages) {
    PagePool pool = pool_of(4);
    Sequence sequence(pool);
    append(sequence, 3 * kPagePositions);
    sequence.truncate(kPagePositions);
    EXPECT_EQ(pool.pages_in_use(), 1U);
    sequence.truncate(0);
    EXPECT_EQ(pool.pages_in_use(), 0U);
}

}  // namespace
}  // namespace core
