// How prompts are read beside answers, with made-up times.
#include "core/engine/prefill_pace.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace core {
namespace {

constexpr uint32_t kMost = 256;

// A machine on which a pass costs a fixed time, more when it reads all experts for a prompt, and
// something for each token.
struct Machine {
    double step = 0;
    double all_experts = 0;
    double per_token = 0;

    double seconds(uint32_t prompt_tokens) const {
        return prompt_tokens == 0 ? step : all_experts + prompt_tokens * per_token;
    }
};

constexpr Machine kMixture{.step = 0.1, .all_experts = 0.34, .per_token = 0.001};
constexpr Machine kDense{.step = 0.08, .all_experts = 0.08, .per_token = 0.003};
constexpr Machine kSmall{.step = 0.003, .all_experts = 0.004, .per_token = 0.0002};

struct Reading {
    double seconds = 0;
    uint32_t passes = 0;      // tokens of the running answer
    double longest_pass = 0;  // of the later half, when the pace is found
    uint32_t longest_chunk = 0;
};

Reading read_beside_an_answer(const Machine& machine, uint32_t tokens) {
    PrefillPace pace(kMost);
    Reading reading;
    for (uint32_t left = tokens; left > 0;) {
        const uint32_t chunk = std::min(pace.allowance(1), left);
        const double seconds = machine.seconds(chunk);
        pace.passed(1, chunk, seconds);
        left -= chunk;
        reading.seconds += seconds;
        ++reading.passes;
        reading.longest_chunk = std::max(reading.longest_chunk, chunk);
        if (left < tokens / 2) reading.longest_pass = std::max(reading.longest_pass, seconds);
    }
    return reading;
}

TEST(PrefillPace, APromptAloneTakesAllItCan) {
    PrefillPace pace(kMost);
    EXPECT_EQ(pace.allowance(0), kMost);
    pace.passed(0, kMost, 10.0);
    EXPECT_EQ(pace.allowance(0), kMost);
}

TEST(PrefillPace, AnswersKeepHalfOfTheirSpeedWhileALongPromptIsRead) {
    for (const Machine& machine : {kMixture, kDense, kSmall}) {
        const auto reading = read_beside_an_answer(machine, 4000);
        const double interval = reading.seconds / reading.passes;
        if (machine.step * 2 > 0.1) {
            EXPECT_LE(interval, 2.05 * machine.step);
        }
        EXPECT_LE(reading.longest_pass, std::max(4.2 * machine.step, 0.105));
    }
}

TEST(PrefillPace, WhereAllExpertsAreReadAnywayChunksGrow) {
    const auto reading = read_beside_an_answer(kMixture, 4000);
    EXPECT_GT(reading.longest_chunk, 40U);
    // Chunks of 16 in every pass, the rule before this one, took 89 s at a quarter of the speed.
    EXPECT_LT(reading.seconds, 60.0);
}

TEST(PrefillPace, ChunksShrinkWhenTheMachineSlowsDown) {
    PrefillPace pace(kMost);
    pace.passed(1, 0, 0.01);
    for (int i = 0; i < 10; ++i)
        pace.passed(1, pace.allowance(1), 0.015);
    const auto fast = pace.allowance(1);
    EXPECT_EQ(fast, kMost);
    pace.passed(1, fast, 0.5);
    while (pace.allowance(1) == 0)
        pace.passed(1, 0, 0.01);
    EXPECT_LT(pace.allowance(1), fast);
    EXPECT_GE(pace.allowance(1), 16U);
}

TEST(PrefillPace, AStepIsMeasuredWheneverTheNumberOfAnswersChanges) {
    PrefillPace pace(kMost);
    EXPECT_EQ(pace.allowance(1), 0U);
    pace.passed(1, 0, 0.1);
    EXPECT_EQ(pace.allowance(1), 16U);
    EXPECT_EQ(pace.allowance(2), 0U);
    pace.passed(2, 0, 0.15);
    EXPECT_EQ(pace.allowance(2), 16U);
}

TEST(PrefillPace, OneHiccupDoesNotStopAPromptForLong) {
    PrefillPace pace(kMost);
    pace.passed(1, 0, 0.01);
    pace.passed(1, 16, 60.0);
    int passes = 0;
    for (; pace.allowance(1) == 0; ++passes)
        pace.passed(1, 0, 0.01);
    EXPECT_LE(passes, 16);
}

TEST(PrefillPace, AChunkIsNeverLongerThanTheMost) {
    PrefillPace pace(4);
    pace.passed(1, 0, 0.01);
    EXPECT_EQ(pace.allowance(1), 4U);
    pace.passed(1, 4, 0.001);
    EXPECT_EQ(pace.allowance(1), 4U);
}

std::vector<uint32_t> shares(uint32_t allowance, std::vector<uint32_t> left) {
    return share_allowance(allowance, left);
}

TEST(ShareAllowance, OnePromptTakesWhatItNeeds) {
    EXPECT_EQ(shares(64, {100}), (std::vector<uint32_t>{64}));
    EXPECT_EQ(shares(64, {10}), (std::vector<uint32_t>{10}));
    EXPECT_EQ(shares(64, {}), (std::vector<uint32_t>{}));
    EXPECT_EQ(shares(0, {3, 4}), (std::vector<uint32_t>{0, 0}));
}

TEST(ShareAllowance, AShortQuestionDoesNotWaitForALongDocument) {
    EXPECT_EQ(shares(64, {5000, 20}), (std::vector<uint32_t>{44, 20}));
    EXPECT_EQ(shares(64, {5000, 90}), (std::vector<uint32_t>{32, 32}));
    EXPECT_EQ(shares(1, {5000, 90}), (std::vector<uint32_t>{0, 1}));
    EXPECT_EQ(shares(64, {0, 5000, 0, 20}), (std::vector<uint32_t>{0, 44, 0, 20}));
}

TEST(ShareAllowance, AStreamOfShortQuestionsDoesNotStopTheDocument) {
    EXPECT_EQ(shares(64, {5000, 90, 80, 70}), (std::vector<uint32_t>{32, 0, 0, 32}));
}

TEST(ShareAllowance, EqualPromptsAreReadInOrder) {
    EXPECT_EQ(shares(64, {500, 500, 500}), (std::vector<uint32_t>{64, 0, 0}));
}

TEST(ShareAllowance, NothingOfTheAllowanceIsLost) {
    for (const auto& left : {std::vector<uint32_t>{10, 20, 30, 40}, {1, 1, 1}, {70, 2}, {2, 70}}) {
        const auto given = shares(50, left);
        const auto sum = [](const auto& all) {
            return std::accumulate(all.begin(), all.end(), 0U);
        };
        EXPECT_EQ(sum(given), std::min(50U, sum(left)));
        for (size_t i = 0; i < left.size(); ++i)
            EXPECT_LE(given[i], left[i]);
    }
}

}  // namespace
}  // namespace core
