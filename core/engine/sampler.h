// Logits to a token, under the parameters in force at this token.
//
// Order: logit bias, penalties, top-k, top-p, min-p, temperature, draw (llama.cpp's default order),
// or Grok-1's own: temperature, allowed tokens, nucleus, draw (specs: samplers, section 7;
// runners.py of xai-org/grok-1). Values are float32 and sums double, every order is total (value
// descending, id ascending), and random numbers are counter-based, f(seed, choice, token index,
// draw), so that a replay needs no history.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/chat/protocol.h"

namespace core {

// What one draw depends on besides the logits.
struct SampleContext {
    std::span<const TokenId> prompt = {};  // tokens before the answer
    std::span<const TokenId> answer = {};  // tokens of the answer so far
    uint32_t choice = 0;                   // which of n answers
    chat::Detail detail = chat::Detail::text;
    uint32_t alternatives = 20;  // how many to report with Detail::full
};

// Throws Error(usage) for a parameter out of its range or a bias on a token outside the vocabulary.
void check_sampling(const chat::Sampling& sampling, uint32_t vocab);

// Allocates nothing after its first token. One thread.
class Sampler {
  public:
    // `never` are ids that are never sampled whatever the parameters say.
    Sampler(uint32_t vocab, std::span<const TokenId> never);

    // Draws token number answer.size(). `bytes` of the result are left empty. Raw probability,
    // entropy and rank are those of the logits as they came; they need a pass over all of them and
    // are left 0 with Detail::text.
    // Throws Error(internal) when a logit is NaN or infinite upwards or nothing is left to choose
    // from, Error(usage) as check_sampling(). REQUIRES: logits [vocab].
    chat::Token sample(std::span<const float> logits, const chat::Sampling& sampling,
                       const SampleContext& context);

    // The `count` most probable tokens and what each stage does with them, without drawing.
    // Temperature 0 removes no token but leaves all probability to one.
    std::vector<chat::Alternative> preview(std::span<const float> logits,
                                           const chat::Sampling& sampling,
                                           const SampleContext& context, uint32_t count);

  private:
    struct Candidate {
        float logit = 0;
        TokenId id = -1;
    };
    // How many of the best candidates are left after each stage, and their weight at the draw.
    struct Kept {
        size_t top_k = 0;
        size_t top_p = 0;
        size_t min_p = 0;
        float divisor = 1;  // of the logits' distance from the best one, at the draw
        double total = 0;
    };
    // The distribution before anything was done to it.
    struct RawSums {
        float max = 0;
        double total = 0;
        float entropy = 0;
    };

    static bool better(const Candidate& a, const Candidate& b) {
        return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
    }
    static RawSums raw_sums(std::span<const float> logits);
    static size_t select(std::span<const float> logits, size_t count, size_t sorted,
                         std::vector<Candidate>& out);
    static size_t select_few(std::span<const float> logits, size_t count,
                             std::vector<Candidate>& out);

    void adjust(std::span<const float> logits, const chat::Sampling& sampling,
                const SampleContext& context);
    void penalize_repetition(const chat::Sampling& sampling, const SampleContext& context);
    void penalize_answer(const chat::Sampling& sampling, std::span<const TokenId> answer);
    void find_best();
    void filter(const chat::Sampling& sampling);
    void filter_as_grok1(const chat::Sampling& sampling);
    const Candidate& ranked(size_t index, size_t limit);
    double mass(size_t count, float divisor);
    size_t nucleus(float p, size_t limit);
    Candidate draw(float uniform);
    float final_probability(TokenId id) const;
    chat::Stage removed_by(TokenId id) const;
    std::vector<chat::Alternative> alternatives(std::span<const float> logits, const RawSums& raw,
                                                uint32_t count);

    // Constant after construction.
    uint32_t vocab_;
    std::vector<TokenId> never_;

    // Of the token at hand.
    std::vector<float> work_;        // [vocab] adjusted logits; -infinity: banned
    std::vector<Candidate> ranked_;  // the best of work_, in order
    size_t ranked_count_ = 0;        // how many of ranked_ are in order
    std::vector<Candidate> shown_;   // the best of the raw logits
    std::vector<uint32_t> counts_;   // [vocab] zero between calls
    std::vector<TokenId> counted_;   // where counts_ is not zero
    Candidate best_;
    size_t alive_ = 0;  // candidates that are not banned
    Kept kept_;
};

// A uniform float32 in [0, 1) with 24 random bits: SplitMix64's finalizer over the counters
// (Steele, Lea, Flood 2014).
float counter_uniform(uint64_t seed, uint32_t choice, uint32_t token_index, uint32_t draw);

}  // namespace core
