#include "app/session/context_plan.h"

#include <algorithm>
#include <array>
#include <utility>

namespace app {
namespace {

constexpr std::array<std::pair<ContextPolicy, std::string_view>, 3> kPolicies = {{
    {ContextPolicy::stop, "stop"},
    {ContextPolicy::shift, "shift"},
    {ContextPolicy::compact, "compact"},
}};

// Consecutive turns from a prompt to the turn before the next one.
struct Exchange {
    size_t begin = 0;
    size_t end = 0;
    uint32_t tokens = 0;
    bool pinned = false;
};

std::vector<Exchange> exchanges_of(std::span<const CountedTurn> turns) {
    std::vector<Exchange> all;
    for (size_t i = 0; i < turns.size(); ++i) {
        if (all.empty() || turns[i].role == chat::Role::user) all.push_back({.begin = i});
        Exchange& exchange = all.back();
        exchange.end = i + 1;
        exchange.tokens += turns[i].tokens;
        exchange.pinned = exchange.pinned || turns[i].pinned;
    }
    return all;
}

ContextPlan unchanged(uint32_t prompt, uint32_t context, uint32_t reserved) {
    ContextPlan plan;
    plan.prompt = prompt;
    plan.limit = context - std::min(context, reserved);
    plan.left = prompt;
    return plan;
}

void leave(const Exchange& exchange, std::span<const CountedTurn> turns, ContextPlan& plan) {
    for (size_t i = exchange.begin; i < exchange.end; ++i)
        plan.leaving.push_back(turns[i].id);
    plan.left -= std::min(plan.left, exchange.tokens);
}

}  // namespace

std::optional<ContextPolicy> context_policy(std::string_view name) {
    for (const auto& [policy, known] : kPolicies)
        if (known == name) return policy;
    return std::nullopt;
}

std::string_view context_policy_name(ContextPolicy policy) {
    return kPolicies[static_cast<size_t>(policy)].second;
}

uint32_t answer_reserve(uint32_t context, uint32_t max_tokens, uint32_t reserve) {
    return std::min(max_tokens > 0 ? max_tokens : reserve, context / 2);
}

ContextPlan plan_context(std::span<const CountedTurn> turns, uint32_t prompt, uint32_t context,
                         uint32_t reserved) {
    ContextPlan plan = unchanged(prompt, context, reserved);
    if (plan.fits()) return plan;
    const std::vector<Exchange> exchanges = exchanges_of(turns);
    const uint32_t comfortable = plan.limit - plan.limit / 4;
    for (size_t i = 0; i + 1 < exchanges.size() && plan.left > comfortable; ++i)
        if (!exchanges[i].pinned) leave(exchanges[i], turns, plan);
    if (plan.left > plan.limit) return unchanged(prompt, context, reserved);
    return plan;
}

ContextPlan plan_keeping(std::span<const CountedTurn> turns, uint32_t prompt, uint32_t context,
                         uint32_t reserved, uint32_t exchanges) {
    ContextPlan plan = unchanged(prompt, context, reserved);
    const std::vector<Exchange> all = exchanges_of(turns);
    for (size_t i = 0; i + exchanges < all.size(); ++i)
        if (!all[i].pinned) leave(all[i], turns, plan);
    return plan;
}

}  // namespace app
