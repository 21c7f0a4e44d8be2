// What forward() promises besides the logits: who is committed, whose rows come back, what errors
// and cancelled slices leave behind.
#include <atomic>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/loaded_model.h"

namespace {

using core::LogitRows;
using core::Sequence;
using core::Slice;
using support::Family;
using support::LoadedModel;
using support::Rows;
using support::Storage;

constexpr core::KvType kKv = core::KvType::f32;

std::vector<core::TokenId> tokens(size_t count, core::TokenId first) {
    std::vector<core::TokenId> ids(count);
    for (size_t i = 0; i < count; ++i)
        ids[i] = static_cast<core::TokenId>((static_cast<size_t>(first) + i * 7) % 50);
    return ids;
}

class ForwardTest : public testing::Test {
  protected:
    LoadedModel loaded_{support::tiny_model(Family::grok2, Storage::q8_0), core::select_kernels(),
                        2};
    core::PagePool pool_ = loaded_.pages(kKv, 2000);
};

TEST_F(ForwardTest, CancelledSliceStaysAsItWasAndTheOthersCommit) {
    const auto first = tokens(9, 1), second = tokens(5, 2), third = tokens(3, 3);
    Sequence a(pool_), b(pool_), c(pool_);
    loaded_.forward(b, tokens(4, 9));
    core::CancelFlag cancelled{true};
    const Slice batch[] = {
        {.sequence = &a, .tokens = first, .logits = LogitRows::all},
        {.sequence = &b, .tokens = second, .logits = LogitRows::all, .cancel = &cancelled},
        {.sequence = &c, .tokens = third, .logits = LogitRows::all}};
    std::vector<float> logits;
    EXPECT_EQ(loaded_.model().forward(batch, logits), (std::vector<bool>{true, false, true}));
    EXPECT_EQ(a.length(), 9U);
    EXPECT_EQ(b.length(), 4U);
    EXPECT_EQ(c.length(), 3U);

    // The rows of the cancelled slice keep their place; the others are as if alone.
    const uint32_t vocab = loaded_.vocab();
    ASSERT_EQ(logits.size(), (9U + 5U + 3U) * vocab);
    const Rows alone_a = loaded_.forward_in_chunks(kKv, first, first.size());
    const Rows alone_c = loaded_.forward_in_chunks(kKv, third, third.size());
    for (size_t row = 0; row < 9; ++row)
        EXPECT_TRUE(std::equal(alone_a[row].begin(), alone_a[row].end(),
                               logits.begin() + static_cast<ptrdiff_t>(row * vocab)));
    for (size_t row = 0; row < 3; ++row)
        EXPECT_TRUE(std::equal(alone_c[row].begin(), alone_c[row].end(),
                               logits.begin() + static_cast<ptrdiff_t>((14 + row) * vocab)));

    // What the cancelled pass wrote behind the end of b is not seen afterwards.
    auto whole = tokens(4, 9);
    whole.insert(whole.end(), second.begin(), second.end());
    const Rows expected = loaded_.forward_in_chunks(kKv, whole, whole.size());
    EXPECT_EQ(loaded_.forward(b, second).back(), expected.back());
}

TEST_F(ForwardTest, CancelAtAnyMomentEitherCommitsRightLogitsOrNothing) {
    const auto ids = tokens(40, 1);
    const std::vector<float> expected = loaded_.forward_in_chunks(kKv, ids, ids.size()).back();
    for (int round = 0; round < 40; ++round) {
        Sequence sequence(pool_), other(pool_);
        core::CancelFlag cancel{false};
        const Slice batch[] = {{.sequence = &sequence, .tokens = ids, .cancel = &cancel},
                               {.sequence = &other, .tokens = ids}};
        std::atomic<bool> started{false};
        std::thread client([&] {
            while (!started)
                std::this_thread::yield();
            for (int i = 0; i < round * 50; ++i)
                started.load();
            cancel.store(true);
        });
        std::vector<float> logits;
        started.store(true);
        const std::vector<bool> committed = loaded_.model().forward(batch, logits);
        client.join();
        EXPECT_EQ(sequence.length(), committed[0] ? ids.size() : 0U);
        EXPECT_TRUE(committed[1]);
        const auto row = logits.begin() + loaded_.vocab();
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), row));
        if (!committed[0]) continue;
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), logits.begin()));
    }
}

TEST_F(ForwardTest, OnlyTheRowsAskedForComeBack) {
    const auto ids = tokens(7, 4);
    const Rows all = loaded_.forward_in_chunks(kKv, ids, ids.size());
    Sequence a(pool_), b(pool_), c(pool_);
    const Slice batch[] = {{.sequence = &a, .tokens = ids, .logits = LogitRows::none},
                           {.sequence = &b, .tokens = ids, .logits = LogitRows::last},
                           {.sequence = &c, .tokens = ids, .logits = LogitRows::all}};
    std::vector<float> logits;
    loaded_.model().forward(batch, logits);
    const uint32_t vocab = loaded_.vocab();
    ASSERT_EQ(logits.size(), 8U * vocab);
    EXPECT_TRUE(std::equal(all.back().begin(), all.back().end(), logits.begin()));
    for (size_t row = 0; row < 7; ++row)
        EXPECT_TRUE(std::equal(all[row].begin(), all[row].end(),
                               logits.begin() + static_cast<ptrdiff_t>((1 + row) * vocab)));
}

TEST_F(ForwardTest, APassWithoutLogitsFillsTheCacheAllTheSame) {
    const auto ids = tokens(70, 5);
    const Rows expected = loaded_.forward_in_chunks(kKv, ids, ids.size());
    Sequence sequence(pool_);
    const Slice prefill = {
        .sequence = &sequence, .tokens = std::span(ids).first(69), .logits = LogitRows::none};
    std::vector<float> logits = {1.0F};
    EXPECT_EQ(loaded_.model().forward({&prefill, 1}, logits), std::vector<bool>{true});
    EXPECT_TRUE(logits.empty());
    EXPECT_EQ(loaded_.forward(sequence, std::span(ids).subspan(69)).back(), expected.back());
}

TEST_F(ForwardTest, SpentKvBudgetIsReportedBeforeAnythingChanges) {
    core::PageLayout layout(loaded_.model().kv_shape(), kKv);
    const uint64_t budget = 2 * layout.page_bytes();
    core::PagePool pool(std::move(layout), budget);
    Sequence a(pool), b(pool);
    const auto ids = tokens(100, 1);
    loaded_.forward(a, std::span(ids).first(10));
    const Slice batch[] = {{.sequence = &a, .tokens = std::span(ids).first(3)},
                           {.sequence = &b, .tokens = ids}};
    std::vector<float> logits;
    EXPECT_THROW(loaded_.model().forward(batch, logits), core::Error);
    EXPECT_EQ(a.length(), 10U);
    EXPECT_EQ(b.length(), 0U);
    EXPECT_EQ(loaded_.forward(a, std::span(ids).subspan(10, 1)).size(), 1U);
}

TEST_F(ForwardTest, ExpertsAreCountedWhenAskedFor) {
    core::ExpertUse use;
    loaded_.model().count_experts(&use);
    Sequence sequence(pool_);
    const auto ids = tokens(12, 1);
    loaded_.forward(sequence, ids);
    const auto& layers = loaded_.model().config().layers;
    ASSERT_EQ(use.counts.size(), layers.size());
    for (size_t l = 0; l < layers.size(); ++l) {
        ASSERT_EQ(use.counts[l].size(), layers[l].ffn.router.experts);
        EXPECT_EQ(std::accumulate(use.counts[l].begin(), use.counts[l].end(), uint64_t{0}),
                  12U * layers[l].ffn.router.active);
    }
    const core::ExpertUse before = use;
    loaded_.model().count_experts(nullptr);
    loaded_.forward(sequence, ids);
    EXPECT_EQ(use.counts, before.counts);
}

TEST_F(ForwardTest, APassReadsEachExpertThatHasATokenOnce) {
    const auto bytes_of = [&](std::span<const Slice> batch) {
        core::ExpertUse use;
        loaded_.model().count_experts(&use);
        loaded_.forward(batch);
        loaded_.model().count_experts(nullptr);
        return loaded_.model().read_bytes(use);
    };
    const auto ids = tokens(12, 1);
    Sequence one(pool_), two(pool_), three(pool_);
    const uint64_t alone = bytes_of(std::vector<Slice>{{&one, std::span(ids).first(1)}});
    EXPECT_EQ(alone, loaded_.model().decode_bytes());
    EXPECT_EQ(bytes_of(std::vector<Slice>{{&two, std::span(ids).first(1)},
                                          {&three, std::span(ids).first(1)}}),
              alone)
        << "the same token chooses the same experts";
    const uint64_t twelve = bytes_of(std::vector<Slice>{{&one, ids}});
    EXPECT_GT(twelve, alone);
    EXPECT_LE(twelve, loaded_.model().weight_bytes() + 2 * 4 * 64 * sizeof(float));
}

support::StoredTensor vector_tensor(const std::string& name, const std::vector<float>& values) {
    const auto bytes = std::as_bytes(std::span(values));
    support::StoredTensor tensor;
    tensor.name = name;
    tensor.shape = {values.size()};
    tensor.data = {bytes.begin(), bytes.end()};
    return tensor;
}

// Weights of an attention sum to one: a bias b of v arrives as O b behind the output matrix.
TEST(Forward, ABiasOfTheOutputMatrixIsAdded) {
    constexpr uint64_t kHeadDim = 32;
    const support::TestModel plain = support::tiny_model(Family::llama, Storage::f32);
    support::TestModel with_v = plain;
    support::TestModel with_o = plain;
    for (const std::string layer : {"blk.0.", "blk.1."}) {
        support::TestModel source = plain;
        const support::StoredTensor& o = source.tensor(layer + "attn_output.weight");
        const uint64_t q_rows = o.shape[0];
        const uint64_t kv_rows = source.tensor(layer + "attn_v.weight").shape[1];
        std::vector<float> bias(kv_rows);
        for (size_t i = 0; i < bias.size(); ++i)
            bias[i] = 0.01F * static_cast<float>(i % 7) - 0.02F;
        std::vector<float> behind(o.shape[1]);
        for (size_t row = 0; row < behind.size(); ++row) {
            for (uint64_t col = 0; col < q_rows; ++col) {
                float weight = 0;
                std::memcpy(&weight, &o.data[(row * q_rows + col) * sizeof weight], sizeof weight);
                const uint64_t kv_head = col / kHeadDim / (q_rows / kv_rows);
                behind[row] += weight * bias[kv_head * kHeadDim + col % kHeadDim];
            }
        }
        with_o.tensors.push_back(vector_tensor(layer + "attn_output.bias", behind));
        with_v.tensors.push_back(vector_tensor(layer + "attn_v.bias", bias));
        with_v.tensors.push_back(vector_tensor(layer + "attn_q.bias", std::vector<float>(q_rows)));
        with_v.tensors.push_back(vector_tensor(layer + "attn_k.bias", std::vector<float>(kv_rows)));
    }
    const auto logits = [](const support::TestModel& model) {
        LoadedModel loaded(model, core::select_kernels());
        return loaded.forward_in_chunks(kKv, tokens(8, 1), 8);
    };
    const Rows expected = logits(with_v);
    const Rows rows = logits(with_o);
    const Rows without = logits(plain);
    for (size_t i = 0; i < rows.size(); ++i) {
        const std::vector<double> wanted(expected[i].begin(), expected[i].end());
        EXPECT_LT(support::relative_error(rows[i], wanted), 1e-5) << i;
        EXPECT_GT(support::relative_error(without[i], wanted), 1e-3) << i;
    }
}

}  // namespace
