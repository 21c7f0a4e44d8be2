// Routing: which experts a token uses, in which order, with which weights.
#include "core/ops/moe.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace core {
namespace {

Routing route(std::vector<float> probabilities, uint32_t experts, uint32_t active,
              bool renormalize = false) {
    Routing routing;
    routing.assign({.experts = experts, .active = active, .renormalize = renormalize},
                   probabilities);
    return routing;
}

TEST(Routing, TheMostProbableExpertsAreChosenInAscendingOrder) {
    const Routing r = route({0.1F, 0.4F, 0.2F, 0.3F}, 4, 2);
    EXPECT_EQ(r.experts, (std::vector<uint32_t>{1, 3}));
    EXPECT_EQ(r.weights, (std::vector<float>{0.4F, 0.3F}));
}

TEST(Routing, TiesGoToTheLowerId) {
    EXPECT_EQ(route({0.2F, 0.3F, 0.2F, 0.3F}, 4, 3).experts, (std::vector<uint32_t>{0, 1, 3}));
    EXPECT_EQ(route({0.25F, 0.25F, 0.25F, 0.25F}, 4, 2).experts, (std::vector<uint32_t>{0, 1}));
}

TEST(Routing, WeightsAreTheRawProbabilitiesUnlessRenormalized) {
    const std::vector<float> p = {0.125F, 0.5F, 0.25F, 0.125F};
    EXPECT_EQ(route(p, 4, 2).weights, (std::vector<float>{0.5F, 0.25F}));
    EXPECT_EQ(route(p, 4, 2, true).weights, (std::vector<float>{0.5F / 0.75F, 0.25F / 0.75F}));
}

TEST(Routing, RowsOfAnExpertAreGatheredInOrderAndFoundAgain) {
    // Rows choose {0, 2}, {1, 2}, {0, 1}.
    const Routing r = route({0.5F, 0.1F, 0.4F, 0.1F, 0.5F, 0.4F, 0.5F, 0.4F, 0.1F}, 3, 2);
    EXPECT_EQ(r.begin, (std::vector<uint32_t>{0, 2, 4, 6}));
    EXPECT_EQ(r.rows, (std::vector<uint32_t>{0, 2, 1, 2, 0, 1}));
    for (uint32_t row = 0; row < 3; ++row) {
        for (uint32_t i = row * 2; i < row * 2 + 2; ++i) {
            EXPECT_EQ(r.rows[r.places[i]], row);
            EXPECT_GE(r.places[i], r.begin[r.experts[i]]);
            EXPECT_LT(r.places[i], r.begin[r.experts[i] + 1]);
        }
    }
}

TEST(Routing, ARowOfNanStillGetsDistinctExperts) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(route({nan, nan, nan, nan}, 4, 2).experts, (std::vector<uint32_t>{0, 1}));
    EXPECT_EQ(route({nan, 0.3F, nan, 0.4F}, 4, 2).experts.size(), 2U);
}

TEST(Routing, CapComesBeforeTheSoftmaxOverAllExperts) {
    const std::vector<float> weights = {1, 0, 0, 1, -1, 2};  // [3, 2]
    const std::vector<float> x = {3, 4};
    for (const float cap : {0.0F, 2.0F}) {
        std::vector<float> p(3);
        router_probabilities(vector_kernels_scalar(),
                             {.weights = weights.data(), .experts = 3, .softcap = cap}, x.data(), 2,
                             p.data());
        std::vector<double> logits = {3, 4, 5};
        double total = 0.0;
        for (double& z : logits) {
            if (cap != 0.0F) z = cap * std::tanh(z / cap);
            total += std::exp(z);
        }
        for (size_t e = 0; e < 3; ++e)
            EXPECT_NEAR(p[e], std::exp(logits[e]) / total, 1e-6) << "cap " << cap;
    }
}

}  // namespace
}  // namespace core
