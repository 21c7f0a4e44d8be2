#include "app/session/context_plan.h"

#include <numeric>

#include <gtest/gtest.h>

namespace app {
namespace {

using chat::Role;
using chat::TurnId;

// Exchanges of a prompt with 10 tokens and an answer with 90, then a prompt with 10.
std::vector<CountedTurn> line_of(uint32_t exchanges) {
    std::vector<CountedTurn> turns;
    for (TurnId id = 1; id <= 2 * exchanges; id += 2) {
        turns.push_back({.id = id, .role = Role::user, .tokens = 10});
        turns.push_back({.id = id + 1, .role = Role::assistant, .tokens = 90});
    }
    turns.push_back({.id = 2 * exchanges + 1, .role = Role::user, .tokens = 10});
    return turns;
}

uint32_t tokens_of(const std::vector<CountedTurn>& turns) {
    return std::accumulate(turns.begin(), turns.end(), 0U,
                           [](uint32_t sum, const CountedTurn& turn) { return sum + turn.tokens; });
}

TEST(ContextPlan, PromptThatFitsLosesNothing) {
    const auto turns = line_of(7);
    const ContextPlan plan = plan_context(turns, tokens_of(turns), 1000, 290);
    EXPECT_EQ(plan.prompt, 710u);
    EXPECT_EQ(plan.limit, 710u);
    EXPECT_TRUE(plan.fits());
    EXPECT_FALSE(plan.helps());
    EXPECT_EQ(plan.left, 710u);
}

TEST(ContextPlan, OldestWholeExchangesLeaveUntilAQuarterIsFree) {
    const auto turns = line_of(8);  // 810 tokens, 800 fit, 600 are comfortable
    const ContextPlan plan = plan_context(turns, tokens_of(turns), 1000, 200);
    EXPECT_FALSE(plan.fits());
    EXPECT_EQ(plan.leaving, (std::vector<TurnId>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(plan.left, 510u);
}

TEST(ContextPlan, TokensOfTheTemplateAreCountedWithThePrompt) {
    const auto turns = line_of(1);
    const ContextPlan plan = plan_context(turns, tokens_of(turns) + 900, 1000, 0);
    EXPECT_EQ(plan.prompt, 1010u);
    EXPECT_EQ(plan.left, 910u) << "the instructions stay, whatever their size";
}

TEST(ContextPlan, ExchangeWithAPinnedTurnStays) {
    auto turns = line_of(8);
    turns[1].pinned = true;
    const ContextPlan plan = plan_context(turns, tokens_of(turns), 1000, 200);
    EXPECT_EQ(plan.leaving, (std::vector<TurnId>{3, 4, 5, 6, 7, 8}));
}

TEST(ContextPlan, LastPromptNeverLeaves) {
    std::vector<CountedTurn> turns = line_of(2);
    turns.back().tokens = 5000;
    const ContextPlan plan = plan_context(turns, tokens_of(turns), 1000, 100);
    EXPECT_FALSE(plan.fits());
    EXPECT_FALSE(plan.helps()) << "nothing would help, so nothing leaves";
    EXPECT_EQ(plan.left, plan.prompt);
}

TEST(ContextPlan, LineMayBeginWithAnAnswer) {
    std::vector<CountedTurn> turns = line_of(2);
    turns.insert(turns.begin(), {.id = 9, .role = Role::assistant, .tokens = 700});
    const ContextPlan plan = plan_context(turns, tokens_of(turns), 800, 0);
    EXPECT_EQ(plan.leaving, (std::vector<TurnId>{9}));
}

TEST(ContextPlan, KeepingTheLastExchangesLeavesTheRest) {
    auto turns = line_of(4);
    const ContextPlan plan = plan_keeping(turns, tokens_of(turns), 1000, 100, 2);
    EXPECT_EQ(plan.leaving, (std::vector<TurnId>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(plan.left, 110u);
    EXPECT_TRUE(plan_keeping(turns, tokens_of(turns), 1000, 100, 9).leaving.empty());
}

TEST(ContextPlan, ReserveIsTheLimitOfAnAnswerAndAtMostHalfTheWindow) {
    EXPECT_EQ(answer_reserve(8192, 300, 1024), 300u);
    EXPECT_EQ(answer_reserve(8192, 0, 1024), 1024u);
    EXPECT_EQ(answer_reserve(512, 0, 1024), 256u);
}

TEST(ContextPlan, PoliciesHaveNames) {
    for (const auto policy : {ContextPolicy::stop, ContextPolicy::shift, ContextPolicy::compact})
        EXPECT_EQ(context_policy(context_policy_name(policy)), policy);
    EXPECT_EQ(context_policy("cut"), std::nullopt);
}

}  // namespace
}  // namespace app
