#include "app/train/corpus.h"

#include <set>

#include <gtest/gtest.h>

namespace train {
namespace {

// Records of 10 tokens: 100, 101, ... and [EOS]; every second token of a record is light.
std::vector<uint16_t> records(int count) {
    std::vector<uint16_t> tokens;
    for (int record = 0; record < count; ++record) {
        for (uint16_t i = 0; i < 9; ++i) {
            tokens.push_back(static_cast<uint16_t>((100 + i) | (i % 2 == 0 ? 0 : kLightToken)));
        }
        tokens.push_back(kEndOfRecord);
    }
    return tokens;
}

TEST(Corpus, targets_are_the_inputs_shifted_by_one) {
    Corpus corpus(records(50), 16, 3);
    const Batch batch = corpus.batch(0, 4, 1.0);
    ASSERT_EQ(batch.inputs.size(), 64U);
    for (size_t i = 0; i + 1 < 16; ++i)
        EXPECT_EQ(batch.targets[i], batch.inputs[i + 1]);
}

TEST(Corpus, windows_begin_at_a_record) {
    const Corpus corpus(records(50), 16, 3);
    for (size_t window = 0; window + 2 < corpus.windows(); ++window) {
        EXPECT_EQ(corpus.in_order(window, 1).inputs.front(), 100) << window;
    }
}

TEST(Corpus, an_epoch_visits_every_window_once) {
    std::vector<uint16_t> tokens;  // no record ends, so a window begins at its own number times 4
    for (uint16_t i = 0; i < 41; ++i)
        tokens.push_back(static_cast<uint16_t>(i + 10));
    Corpus corpus(tokens, 4, 9);
    for (uint64_t epoch = 0; epoch < 2; ++epoch) {
        std::multiset<int64_t> starts;
        for (uint64_t step = 0; step < 5; ++step) {
            const Batch batch = corpus.batch(epoch * 5 + step, 2, 1.0);
            starts.insert({batch.inputs[0], batch.inputs[4]});
        }
        EXPECT_EQ(starts, (std::multiset<int64_t>{10, 14, 18, 22, 26, 30, 34, 38, 42, 46}));
    }
}

TEST(Corpus, a_batch_depends_on_its_step_only) {
    Corpus forward(records(50), 16, 3), jump(records(50), 16, 3);
    for (uint64_t step = 0; step < 20; ++step)
        forward.batch(step, 4, 0.5);
    const Batch a = forward.batch(20, 4, 0.5), b = jump.batch(20, 4, 0.5);
    EXPECT_EQ(a.inputs, b.inputs);
    EXPECT_EQ(a.weights, b.weights);
}

TEST(Corpus, light_targets_count_by_their_share) {
    Corpus corpus(records(200), 16, 3);
    const Batch none = corpus.batch(0, 8, 0.0), all = corpus.batch(0, 8, 1.0);
    for (size_t i = 0; i < none.targets.size(); ++i) {
        const bool light = none.targets[i] != kEndOfRecord && none.targets[i] % 2 == 1;
        EXPECT_EQ(none.weights[i], light ? 0.0F : 1.0F);
        EXPECT_EQ(all.weights[i], 1.0F);
    }
}

TEST(Corpus, too_few_tokens_are_refused) {
    EXPECT_THROW(Corpus(records(1), 16, 3), std::runtime_error);
}

}  // namespace
}  // namespace train
