// How many prompt tokens a pass takes, and whose.
//
// A prompt alone takes all it can. Beside answers that are being written it must not stall them:
// a chunk is as long as a pass may last, found from what the passes before took, and after a long
// pass the answers get passes of their own until they have kept half of their speed. A constant
// cannot do that: a chunk of 16 costs a dense model 1.3 decode steps and one with 8 experts, all of
// which it reads, 3.6 (docs/decisions/042-prefill-beside-answers.md). Engine thread only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace core {

class PrefillPace {
  public:
    // `most`: prompt tokens of a pass without answers; at least 1.
    explicit PrefillPace(uint32_t most);

    // Prompt tokens that the next pass may take beside one token of each of `answers`; 0 when it is
    // the answers' own.
    uint32_t allowance(uint32_t answers) const;

    // What a pass was made of and how long it took.
    void passed(uint32_t answers, uint32_t prompt_tokens, double seconds);

  private:
    double longest_pass() const;

    uint32_t most_;
    double chunk_;                  // prompt tokens beside answers
    double step_ = 0;               // seconds of a pass without prompt tokens
    uint32_t answers_of_step_ = 0;  // for so many answers; 0 = not measured
    double owed_ = 0;               // seconds that prompts took beyond their half
};

// Shares out an allowance over prompts. `left`: the tokens that each has still to read, the oldest
// prompt first; 0 for what is none. Half goes to the prompt that is done soonest, so that a short
// question does not wait for a long document; the rest to the oldest, so that it is not put off for
// ever; and what they do not need to the others in order.
std::vector<uint32_t> share_allowance(uint32_t allowance, std::span<const uint32_t> left);

}  // namespace core
