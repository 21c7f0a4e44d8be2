#include "core/engine/prefill_pace.h"

#include <algorithm>

namespace core {
namespace {

// Prompt tokens beside answers, whatever they cost: fewer would read all experts for nearly
// nothing.
constexpr uint32_t kLeastChunk = 16;

// A pass with prompt tokens should last at most so many decode steps: as many as it takes to read
// all experts where a token uses a quarter of them. A small model's steps are shorter than anybody
// sees, so it may take some time in any case.
constexpr double kStepsOfPass = 4;
constexpr double kUnseenSeconds = 0.1;

// Answers keep this share of their speed.
constexpr double kAnswersShare = 0.5;

// Prompts owe at most so many steps, lest one hiccup of the machine holds them up for long.
constexpr double kMostOwedSteps = 16;

// How much of a new measurement of a step is believed.
constexpr double kTrust = 0.25;

}  // namespace

PrefillPace::PrefillPace(uint32_t most)
    : most_(std::max(most, 1U)), chunk_(std::min(most_, kLeastChunk)) {}

double PrefillPace::longest_pass() const {
    return std::max(kStepsOfPass * step_, kUnseenSeconds);
}

// A number of answers for which no step has been measured gets one.
uint32_t PrefillPace::allowance(uint32_t answers) const {
    if (answers == 0) return most_;
    if (answers != answers_of_step_ || owed_ >= step_) return 0;
    return static_cast<uint32_t>(chunk_);
}

void PrefillPace::passed(uint32_t answers, uint32_t prompt_tokens, double seconds) {
    if (answers == 0) return;
    if (prompt_tokens == 0) {
        const double trust = answers == answers_of_step_ ? kTrust : 1.0;
        step_ += trust * (seconds - step_);
        answers_of_step_ = answers;
        owed_ = std::max(0.0, owed_ - seconds);
        return;
    }
    owed_ = std::clamp(owed_ + seconds - step_ / kAnswersShare, 0.0, kMostOwedSteps * step_);
    // The end of a prompt says nothing about a whole chunk, unless it was too long already.
    if (prompt_tokens < static_cast<uint32_t>(chunk_) && seconds < longest_pass()) return;
    const double factor = std::clamp(longest_pass() / seconds, 0.5, 2.0);
    const double least = std::min(most_, kLeastChunk);
    chunk_ = std::clamp(chunk_ * factor, least, static_cast<double>(most_));
}

std::vector<uint32_t> share_allowance(uint32_t allowance, std::span<const uint32_t> left) {
    std::vector<uint32_t> shares(left.size());
    const auto give = [&](size_t prompt, uint32_t tokens) {
        const uint32_t taken = std::min({tokens, allowance, left[prompt] - shares[prompt]});
        shares[prompt] += taken;
        allowance -= taken;
    };
    size_t soonest = 0;
    for (size_t prompt = 0; prompt < left.size(); ++prompt)
        if (left[prompt] != 0 && (left[soonest] == 0 || left[prompt] < left[soonest]))
            soonest = prompt;
    if (!left.empty()) give(soonest, (allowance + 1) / 2);
    for (size_t prompt = 0; prompt < left.size(); ++prompt)
        give(prompt, allowance);
    return shares;
}

}  // namespace core
