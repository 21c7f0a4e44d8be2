// Every hand-written operation against the same formula in plain LibTorch operations: values and
// gradients.
#include "app/train/autograd_ops.h"

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace train {
namespace {

using torch::Tensor;
using Operation = std::function<Tensor(const std::vector<Tensor>&)>;

Tensor leaf(torch::IntArrayRef shape) {
    return torch::randn(shape).requires_grad_(true);
}

// Compares values and the gradients of a random weighted sum of the result.
void expect_same(const Operation& ours, const Operation& reference,
                 const std::vector<Tensor>& inputs) {
    const Tensor a = ours(inputs), b = reference(inputs);
    ASSERT_EQ(a.sizes(), b.sizes());
    EXPECT_LT((a - b).abs().max().item<float>(),
              2e-5F * std::max(1.0F, b.abs().max().item<float>()));
    const Tensor weights = torch::randn_like(a);
    const auto da = torch::autograd::grad({(a * weights).sum()}, inputs);
    const auto db = torch::autograd::grad({(b * weights).sum()}, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const float size = std::max(1.0F, db[i].abs().max().item<float>());
        EXPECT_LT((da[i] - db[i]).abs().max().item<float>() / size, 5e-5F)
            << "gradient of input " << i;
    }
}

class AutogradOps : public testing::Test {
  protected:
    void SetUp() override { torch::manual_seed(7); }
};

TEST_F(AutogradOps, rms_norm_agrees_with_its_formula) {
    expect_same([](const auto& x) { return rms_norm(x[0], x[1], 1e-5); },
                [](const auto& x) {
                    return x[0] * torch::rsqrt((x[0] * x[0]).mean(1, true) + 1e-5) * x[1];
                },
                {leaf({5, 33}), leaf({33})});
}

TEST_F(AutogradOps, rope_agrees_with_rotate_half) {
    expect_same([](const auto& x) { return rope(x[0], 10000.0); },
                [](const auto& x) {
                    const auto frequency = torch::pow(10000.0, -torch::arange(4) / 4.0);
                    const auto angle = torch::outer(torch::arange(7), frequency).view({1, 7, 1, 4});
                    const auto halves = x[0].chunk(2, 3);
                    return torch::cat({halves[0] * angle.cos() - halves[1] * angle.sin(),
                                       halves[1] * angle.cos() + halves[0] * angle.sin()},
                                      3);
                },
                {leaf({2, 7, 3, 8})});
}

TEST_F(AutogradOps, capped_attention_agrees_with_its_formula_across_blocks) {
    constexpr int64_t kTime = 70;  // two blocks of positions
    expect_same([](const auto& x) { return capped_attention(x[0], x[1], x[2], 0.5, 3.0); },
                [](const auto& x) {
                    const auto q = x[0].transpose(1, 2);
                    const auto k = x[1].transpose(1, 2).repeat_interleave(2, 1);
                    const auto v = x[2].transpose(1, 2).repeat_interleave(2, 1);
                    auto scores =
                        3.0 * torch::tanh(0.5 / 3.0 * torch::matmul(q, k.transpose(2, 3)));
                    const auto hidden = torch::ones({kTime, kTime}).triu(1).to(torch::kBool);
                    scores = scores.masked_fill(hidden, -1e30);
                    return torch::matmul(scores.softmax(3), v).transpose(1, 2);
                },
                {leaf({2, kTime, 4, 8}), leaf({2, kTime, 2, 8}), leaf({2, kTime, 2, 8})});
}

TEST_F(AutogradOps, grouped_product_skips_experts_without_rows) {
    const std::vector<int64_t> ends{2, 2, 5};
    expect_same([&](const auto& x) { return grouped_product(x[0], x[1], ends, false); },
                [](const auto& x) {
                    return torch::cat({torch::mm(x[0].slice(0, 0, 2), x[1][0].t()),
                                       torch::mm(x[0].slice(0, 2, 5), x[1][2].t())});
                },
                {leaf({5, 6}), leaf({3, 4, 6})});
}

TEST_F(AutogradOps, gated_gelu_agrees_with_its_formula) {
    expect_same([](const auto& x) { return gated_gelu(x[0]); },
                [](const auto& x) {
                    const auto halves = x[0].chunk(2, 1);
                    return torch::gelu(halves[0], "tanh") * halves[1];
                },
                {leaf({3, 40})});
}

TEST_F(AutogradOps, tied_cross_entropy_agrees_with_its_formula_and_skips_rows) {
    const Tensor targets = torch::randint(0, 50, {300});
    const Tensor shares = torch::rand({300}) * (torch::arange(300) % 3 != 0);
    expect_same(
        [&](const auto& x) { return tied_cross_entropy(x[0], x[1], targets, shares, 0.6, false); },
        [&](const auto& x) {
            const auto logs = (torch::mm(x[0], x[1].t()) * 0.6).log_softmax(1);
            return -(logs.gather(1, targets.unsqueeze(1)).squeeze(1) * shares).sum();
        },
        {leaf({300, 16}), leaf({50, 16})});
}

}  // namespace
}  // namespace train
