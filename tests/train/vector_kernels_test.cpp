// The branch-free exp and tanh of the kernels, seen through their users, against the standard
// library.
#include "app/train/vector_kernels.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

namespace train {
namespace {

TEST(VectorKernels, capped_softmax_agrees_with_the_standard_library) {
    constexpr kernels::ScoreBlock kBlock{.rows = 6, .columns = 9, .first_position = 5, .group = 2};
    constexpr float kScale = 0.25F, kCap = 30.0F;
    std::vector<float> scores, weights(kBlock.rows * kBlock.columns, -1.0F);
    for (int64_t i = 0; i < kBlock.rows * kBlock.columns; ++i) {
        scores.push_back(200.0F * std::sin(static_cast<float>(i) * 1.7F));
    }
    const std::vector<float> raw = scores;
    kernels::capped_softmax(kBlock, kScale, kCap, scores.data(), weights.data());
    for (int64_t row = 0; row < kBlock.rows; ++row) {
        const int64_t visible = 5 + row / 2 + 1;
        const float* a = raw.data() + row * kBlock.columns;
        double sum = 0;
        for (int64_t i = 0; i < visible; ++i)
            sum += std::exp(30.0 * std::tanh(0.25 * a[i] / 30.0));
        for (int64_t i = 0; i < kBlock.columns; ++i) {
            const double expected =
                i < visible ? std::exp(30.0 * std::tanh(0.25 * a[i] / 30.0)) / sum : 0;
            EXPECT_NEAR(weights[row * kBlock.columns + i], expected, 1e-5) << row << ' ' << i;
        }
    }
}

TEST(VectorKernels, gated_gelu_agrees_with_the_standard_library) {
    constexpr int64_t kWidth = 67;  // no multiple of a vector
    std::vector<float> gate_up, out(kWidth);
    for (int64_t i = 0; i < 2 * kWidth; ++i)
        gate_up.push_back(9.0F * std::sin(static_cast<float>(i)));
    kernels::gated_gelu(gate_up.data(), 1, kWidth, out.data());
    for (int64_t i = 0; i < kWidth; ++i) {
        const double g = gate_up[i], u = gate_up[i + kWidth];
        const double inner = std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);
        EXPECT_NEAR(out[i], 0.5 * g * (1.0 + std::tanh(inner)) * u, 2e-5 * std::abs(g * u) + 1e-6)
            << i;
    }
}

TEST(VectorKernels, cross_entropy_survives_large_logits) {
    std::vector<float> logits{1000.0F, 998.0F, -1000.0F};
    const int64_t target = 1;
    const float share = 0.5F;
    const double loss = kernels::cross_entropy(logits.data(), &target, &share, 1, 3, 1.0F);
    EXPECT_NEAR(loss, 0.5 * (2.0 + std::log1p(std::exp(-2.0))), 1e-5);
    EXPECT_NEAR(logits[0] + logits[1] + logits[2], 0.0, 1e-6);
}

}  // namespace
}  // namespace train
