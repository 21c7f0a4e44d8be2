// Logits to a token, under the parameters in force at this token.
//
// Order: logit bias, penalties, top-k, top-p, min-p, temperature, draw (llama.cpp's default order),
// or Grok-1's own: temperature, allowed tokens, nucleus, draw (specs: samplers, section 7;
// runners.py of xai-org/grok-1). float32 throughout, every order total (value descending, id
// ascending), random numbers counter-based, f(seed, choice, token index, draw), so that a replay
// needs no history.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/chat/protocol.h"

namespace core {

// What one draw depends on besides the logits.
struct SampleContext {
    std::span<const TokenId> prompt;  // tokens before the answer
    std::span<const TokenId> answer;  // tokens of the answer so far
    uint32_t choice = 0;              // which of n answers
    chat::Detail detail = chat::Detail::text;
    uint32_t alternatives = 20;  // how many to report with Detail::full
};

class Sampler {
  public:
    // `never` are ids that are never sampled whatever the parameters say.
    Sampler(uint32_t vocab, std::span<const TokenId> never);

    // Draws token number answer.size(). `bytes` of the result are left empty.
    // Throws Error(internal) when a logit is NaN or nothing is left to choose from.
    chat::Token sample(std::span<const float> logits, const chat::Sampling& sampling,
                       const SampleContext& context);

    // The `count` most probable tokens and what each stage does with them, without drawing.
    std::vector<chat::Alternative> preview(std::span<const float> logits,
                                           const chat::Sampling& sampling,
                                           const SampleContext& context, uint32_t count);

  private:
    struct Candidate {
        TokenId id = -1;
        float logit = 0;
    };
    std::vector<uint8_t> never_;  // [vocab]
    std::vector<Candidate> candidates_;
    std::vector<float> work_;
};

// A uniform float32 in [0, 1) with 24 random bits: SplitMix64's finalizer over the counters
// (Steele, Lea, Flood 2014).
float counter_uniform(uint64_t seed, uint32_t choice, uint32_t token_index, uint32_t draw);

}  // namespace core
