// The golden toy models: weights made from names, logits known from an independent oracle that was
// itself compared with another engine (docs: specs of the golden models).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "core/kernels/kernels.h"
#include "tests/support/loaded_model.h"
#include "tests/support/naive_forward.h"
#include "tests/support/tiny_model.h"

namespace {

using support::Family;

constexpr core::TokenId kTokens[] = {1, 7, 3, 41, 22, 9, 9, 30, 47, 5, 12, 18};
constexpr double kTolerance = 1e-3;

struct Golden {
    Family family;
    double last[8];  // logits of the last position, ids 0 to 7
    int argmax;
    double sum;       // of |logit| over all 12 x 48
    double first[3];  // logits of position 0, ids 0 to 2
};

constexpr Golden kGolden[] = {
    {Family::grok1,
     {-0.6510, 1.5851, 1.4102, -0.6066, -1.2288, -1.5264, -2.1498, 0.3503},
     18,
     1048.717,
     {1.9160, 11.9698, -1.2759}},
    {Family::grok2,
     {-0.0094, 0.4223, -0.5346, -0.1063, 0.5353, -0.0344, 0.7235, -0.5299},
     40,
     289.611,
     {0.4288, -0.4632, 0.3742}},
    {Family::qwen2,
     {5.8205, 0.4941, -0.5449, 2.0256, 0.0358, -5.2350, 0.0156, 6.8822},
     7,
     1579.671,
     {1.7501, 5.9358, -2.8637}},
    {Family::llama,
     {-2.1622, 0.5501, -0.2110, -0.0496, -0.7757, -0.2095, -1.1556, 1.0134},
     43,
     543.423,
     {2.2217, -1.1054, 0.0195}},
    {Family::qwen2moe,
     {-1.0594, -0.2683, 0.7611, -2.4537, 1.3525, -0.1206, 1.2435, -0.9141},
     18,
     552.584,
     {-0.9707, -0.2543, -0.6207}},
    {Family::qwen3,
     {3.1443, -0.4999, 0.9964, 7.3383, -2.1698, -1.2838, 5.5379, 1.4476},
     3,
     1473.081,
     {-0.2438, 4.6165, -0.6720}},
    {Family::qwen3moe,
     {0.6242, 2.4963, -0.9904, 0.4130, 2.0538, 0.5582, -0.9627, 0.0333},
     47,
     593.430,
     {-1.0206, 2.9796, 0.9623}},
    {Family::mixtral,
     {0.7834, 0.4204, 0.3948, -1.5713, 1.2241, -2.3561, 1.1497, -1.0915},
     44,
     513.510,
     {0.3990, 1.9045, 0.3971}},
};

template <class Row>
void expect_golden(const Golden& golden, const std::vector<Row>& rows) {
    ASSERT_EQ(rows.size(), std::size(kTokens));
    double sum = 0.0;
    for (const Row& row : rows)
        for (const auto logit : row)
            sum += std::fabs(logit);
    // 576 logits: a thousandth of their sum is far less than a thousandth of each.
    EXPECT_NEAR(sum, golden.sum, 0.01);
    for (int id = 0; id < 8; ++id)
        EXPECT_NEAR(rows.back()[id], golden.last[id], kTolerance) << "last position, id " << id;
    for (int id = 0; id < 3; ++id)
        EXPECT_NEAR(rows.front()[id], golden.first[id], kTolerance) << "position 0, id " << id;
    EXPECT_EQ(std::max_element(rows.back().begin(), rows.back().end()) - rows.back().begin(),
              golden.argmax);
}

class GoldenModel : public testing::TestWithParam<Golden> {};

INSTANTIATE_TEST_SUITE_P(Families, GoldenModel, testing::ValuesIn(kGolden),
                         [](const testing::TestParamInfo<Golden>& instance) {
                             return name(instance.param.family);
                         });

TEST_P(GoldenModel, NaiveForwardMeetsTheTable) {
    const support::TestModel model = golden_model(GetParam().family);
    support::NaiveForward forward(model.reference, {});
    std::vector<std::vector<double>> rows;
    for (const core::TokenId token : kTokens)
        rows.push_back(forward.step(token));
    expect_golden(GetParam(), rows);
}

TEST_P(GoldenModel, EngineMeetsTheTableOnEveryTier) {
    const support::TestModel model = golden_model(GetParam().family);
    for (const core::Kernels* kernels : core::all_kernels()) {
        SCOPED_TRACE(kernels->name);
        support::LoadedModel loaded(model, *kernels);
        expect_golden(GetParam(), loaded.forward_in_chunks(core::KvType::f32, kTokens, 12));
    }
}

TEST_P(GoldenModel, PrefillOfTwelveEqualsTwelveSteps) {
    support::LoadedModel loaded(golden_model(GetParam().family), core::select_kernels());
    EXPECT_EQ(loaded.forward_in_chunks(core::KvType::f32, kTokens, 12),
              loaded.forward_in_chunks(core::KvType::f32, kTokens, 1));
}

// The generator itself, so that a wrong table entry and a wrong weight cannot be confused.
TEST(GoldenWeights, AreTheDocumentedNumbers) {
    const std::vector<double> uniforms = support::golden_uniforms("a", 3);
    EXPECT_NEAR(uniforms[0], 0.37173092, 1e-8);
    EXPECT_NEAR(uniforms[1], 0.99812227, 1e-8);
    EXPECT_NEAR(uniforms[2], 0.99210650, 1e-8);
    const support::TestModel model = golden_model(Family::grok1);
    EXPECT_NEAR(model.reference.embedding.values[0], -0.82755959, 1e-8);
    EXPECT_NEAR(model.reference.embedding.values[2], 0.09885490, 1e-8);
}

}  // namespace
