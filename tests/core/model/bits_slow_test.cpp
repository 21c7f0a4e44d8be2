// The promise "same bits everywhere": logits compared with ==, not with a tolerance.
#include <cstring>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "tests/support/loaded_model.h"

namespace {

using support::Family;
using support::LoadedModel;
using support::Rows;
using support::Storage;

// Rows as memory: unlike ==, this tells 0 from -0.
bool same_bits(const Rows& a, const Rows& b) {
    if (a.size() != b.size()) return false;
    for (size_t row = 0; row < a.size(); ++row)
        if (a[row].size() != b[row].size() ||
            std::memcmp(a[row].data(), b[row].data(), a[row].size() * sizeof(float)) != 0)
            return false;
    return true;
}

std::vector<core::TokenId> some_tokens(uint32_t vocab, size_t count, uint64_t seed) {
    std::vector<core::TokenId> tokens;
    for (const double uniform : support::golden_uniforms("tokens" + std::to_string(seed), count))
        tokens.push_back(static_cast<core::TokenId>(uniform * vocab));
    return tokens;
}

Rows tail(const Rows& rows, size_t begin) {
    return {rows.begin() + static_cast<ptrdiff_t>(begin), rows.end()};
}

using Combination = std::tuple<Family, Storage, core::KvType>;

class BitsTest : public testing::TestWithParam<Combination> {
  protected:
    // Two full pages and a part of a third.
    static constexpr size_t kLength = 2 * core::kPagePositions + 13;

    core::KvType kv() const { return std::get<core::KvType>(GetParam()); }
    static support::TestModel model() {
        return support::wide_model(std::get<Family>(GetParam()), std::get<Storage>(GetParam()));
    }
    std::vector<core::TokenId> tokens(uint64_t seed = 1, size_t count = kLength) const {
        return some_tokens(kVocab, count, seed);
    }
    static constexpr uint32_t kVocab = 1000;
};

std::string combination_name(const testing::TestParamInfo<Combination>& instance) {
    const auto [family, storage, kv] = instance.param;
    return name(family) + "_" + name(storage) + "_kv_" + std::string(core::name(kv));
}

const auto kAllKvTypes = testing::Values(core::KvType::f32, core::KvType::f16, core::KvType::q8);

INSTANTIATE_TEST_SUITE_P(All, BitsTest,
                         testing::Combine(testing::Values(Family::grok1, Family::grok2,
                                                          Family::llama),
                                          testing::ValuesIn(support::kAllStorages), kAllKvTypes),
                         combination_name);

// Where sequences begin and end does not depend on the family: the richest one stands for all.
class SequenceBitsTest : public BitsTest {};

INSTANTIATE_TEST_SUITE_P(All, SequenceBitsTest,
                         testing::Combine(testing::Values(Family::grok2),
                                          testing::ValuesIn(support::kAllStorages), kAllKvTypes),
                         combination_name);

TEST_P(BitsTest, ThreadsChunksAndTiersDoNotChangeLogits) {
    const support::TestModel model = BitsTest::model();
    const std::vector<core::TokenId> ids = tokens();
    // The scalar tier, which is the slowest by far, is the reference and runs once.
    const core::Kernels& scalar = *core::all_kernels().front();
    const Rows expected = LoadedModel(model, scalar).forward_in_chunks(kv(), ids, kLength);
    for (const core::Kernels* kernels : core::all_kernels()) {
        if (kernels == &scalar && core::all_kernels().size() > 1) continue;
        for (const unsigned threads : {1U, 2U}) {
            LoadedModel loaded(model, *kernels, threads);
            const Rows whole = loaded.forward_in_chunks(kv(), ids, kLength);
            EXPECT_TRUE(same_bits(whole, expected)) << kernels->name << ", threads " << threads;
            for (const size_t chunk : {1U, 7U, 64U})
                EXPECT_TRUE(same_bits(loaded.forward_in_chunks(kv(), ids, chunk), expected))
                    << kernels->name << ", threads " << threads << ", chunk " << chunk;
        }
    }
}

TEST_P(SequenceBitsTest, CompanyInAPassDoesNotChangeLogits) {
    LoadedModel loaded(model(), core::select_kernels(), 2);
    const auto first = tokens(1), second = tokens(2, 70), third = tokens(3, 1);
    core::PagePool pool = loaded.pages(kv(), 3 * kLength);
    core::Sequence a(pool), b(pool), c(pool);
    const core::Slice batch[] = {{.sequence = &a, .tokens = first},
                                 {.sequence = &b, .tokens = second},
                                 {.sequence = &c, .tokens = third}};
    Rows alone;
    for (const auto& ids : {first, second, third})
        for (auto& row : loaded.forward_in_chunks(kv(), ids, ids.size()))
            alone.push_back(row);
    EXPECT_TRUE(same_bits(loaded.forward(batch), alone));
}

TEST_P(SequenceBitsTest, TruncatingAndAppendingAgainDoesNotChangeLogits) {
    LoadedModel loaded(model(), core::select_kernels(), 2);
    const auto ids = tokens(1), other = tokens(2);
    const Rows expected = loaded.forward_in_chunks(kv(), ids, kLength);
    core::PagePool pool = loaded.pages(kv(), 2 * kLength);
    core::Sequence sequence(pool);
    // Inside a page, at its boundary, and back to nothing.
    for (const size_t kept : {size_t{70}, size_t{core::kPagePositions}, size_t{0}}) {
        sequence.truncate(0);
        loaded.forward(sequence, std::span(ids).first(kept == 0 ? 1 : kept));
        loaded.forward(sequence, other);
        sequence.truncate(static_cast<uint32_t>(kept));
        const Rows rows = loaded.forward(sequence, std::span(ids).subspan(kept));
        EXPECT_TRUE(same_bits(rows, tail(expected, kept))) << "kept " << kept;
    }
}

TEST_P(SequenceBitsTest, ForkingDoesNotChangeLogitsOfEitherSide) {
    LoadedModel loaded(model(), core::select_kernels(), 2);
    const auto ids = tokens(1), other = tokens(2);
    const Rows expected = loaded.forward_in_chunks(kv(), ids, kLength);
    core::PagePool pool = loaded.pages(kv(), 3 * kLength);
    for (const size_t at : {size_t{core::kPagePositions}, size_t{100}}) {
        core::Sequence trunk(pool);
        loaded.forward(trunk, std::span(ids).first(at));
        core::Sequence branch = trunk.fork();
        core::Sequence stray = trunk.fork();
        loaded.forward(stray, other);
        // All three go on; the trunk and its twin in one pass.
        const core::Slice batch[] = {{.sequence = &trunk, .tokens = std::span(ids).subspan(at)},
                                     {.sequence = &branch, .tokens = std::span(ids).subspan(at)}};
        const Rows rows = loaded.forward(batch);
        const size_t half = rows.size() / 2;
        EXPECT_TRUE(same_bits({rows.begin(), rows.begin() + static_cast<ptrdiff_t>(half)},
                              tail(expected, at)));
        EXPECT_TRUE(same_bits(tail(rows, half), tail(expected, at)));
    }
}

}  // namespace
