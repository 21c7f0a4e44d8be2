// What leaves the context window when a conversation has outgrown it: arithmetic on exact counts.
// Nothing is ever cut inside a turn, and nothing without being told (ux: context policy).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/chat/conversation.h"

namespace app {

// What to do when a prompt does not fit: ask, leave out the oldest turns, or have them summed up.
enum class ContextPolicy : uint8_t { stop, shift, compact };
std::optional<ContextPolicy> context_policy(std::string_view name);
std::string_view context_policy_name(ContextPolicy policy);

// A turn of the prompt with the tokens it has there.
struct CountedTurn {
    chat::TurnId id = 0;
    chat::Role role = chat::Role::user;
    uint32_t tokens = 0;
    bool pinned = false;
};

struct ContextPlan {
    uint32_t prompt = 0;  // tokens of the prompt as it stands
    uint32_t limit = 0;   // tokens a prompt may have
    // Oldest first: whole exchanges, a prompt with all that answers it, none with a pinned turn and
    // never the last. Empty when the prompt fits, or when leaving them out would not help.
    std::vector<chat::TurnId> leaving = {};
    uint32_t left = 0;  // tokens of the prompt without them

    bool fits() const { return prompt <= limit; }
    bool helps() const { return !leaving.empty(); }
};

// Tokens that are kept free for an answer: `max_tokens`, or `reserve` where an answer has no limit,
// and never more than half the window.
uint32_t answer_reserve(uint32_t context, uint32_t max_tokens, uint32_t reserve);

// `turns` are those of the prompt, in order; `prompt` is its exact size with the template's own
// tokens. Everything after the first turn that leaves is read again, so a plan frees a quarter of
// the limit where it can: the turns that follow then fit for a while.
ContextPlan plan_context(std::span<const CountedTurn> turns, uint32_t prompt, uint32_t context,
                         uint32_t reserved);

// The same with a given number of last exchanges to stay, for /compact keep-last N.
ContextPlan plan_keeping(std::span<const CountedTurn> turns, uint32_t prompt, uint32_t context,
                         uint32_t reserved, uint32_t exchanges);

}  // namespace app
