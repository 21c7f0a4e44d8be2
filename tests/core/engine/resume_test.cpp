// Nothing is read twice, and nothing that was read before changes a bit: conversations with their
// past in the cache against the same ones computed anew, logits compared with ==.
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/engine/resume_world.h"

namespace core {
namespace {

using Case = std::tuple<KvType, bool>;

std::string name_of(const testing::TestParamInfo<Case>& each) {
    return std::string(name(std::get<0>(each.param))) +
           (std::get<1>(each.param) ? "Greedy" : "Seeded");
}

// The other half of the combinations, and other families, are in resume_slow_test.cpp.
const auto kCases =
    testing::Values(Case(KvType::f32, false), Case(KvType::f16, true), Case(KvType::q8, false));

// A turn after another: what was asked, what was answered, what is asked next.
std::vector<TokenId> next_turn(const std::vector<TokenId>& prompt, const Answers& answers,
                               uint32_t seed) {
    return joined(joined(prompt, answers.tokens()), some_tokens(20, seed));
}

class Resume : public testing::TestWithParam<Case> {
  protected:
    World world{{.type = std::get<0>(GetParam()), .greedy = std::get<1>(GetParam())}};
    const std::vector<TokenId> prompt = some_tokens(150, 1);
};

INSTANTIATE_TEST_SUITE_P(EveryKvType, Resume, kCases, name_of);

// The uninterrupted conversation, which the others are compared with through the book.
TEST_P(Resume, ANextTurnReadsWhatIsNewAndHasTheLogitsOfTheWholeComputedAnew) {
    std::vector<TokenId> line = prompt;
    for (uint32_t turn = 0; turn < 4; ++turn)
        line = next_turn(line, world.ask({.prompt = line}), 10 + turn);
    EXPECT_GE(world.book.size(), 4U * 24);
    world.verify();
}

TEST_P(Resume, RegenerationReadsOneTokenAndGivesTheSameAnswer) {
    const auto first = world.ask({.prompt = prompt});
    const auto again = world.ask({.prompt = prompt});
    EXPECT_EQ(again.usage.recomputed, 1U);
    EXPECT_EQ(again.choices, first.choices);
    world.verify();
}

TEST_P(Resume, AForkAndTheReturnToTheOldLineChangeNothing) {
    const auto first = world.ask({.prompt = prompt});
    for (const size_t at : {100U, 64U, 63U, 1U}) {
        auto edited = prompt;
        edited[at] = edited[at] == 5 ? 6 : 5;
        world.ask({.prompt = edited});
        EXPECT_EQ(world.ask({.prompt = prompt}).choices, first.choices);
    }
    world.ask({.prompt = next_turn(prompt, first, 2)});
    world.verify();
}

TEST_P(Resume, AnotherConversationInBetweenChangesNothing) {
    const auto first = world.ask({.prompt = prompt});
    const auto other = some_tokens(200, 3);
    const auto others = world.ask({.prompt = other});
    const auto second = world.ask({.prompt = next_turn(prompt, first, 2)});
    world.ask({.prompt = next_turn(other, others, 4)});
    world.restart();
    EXPECT_EQ(world.ask({.prompt = next_turn(prompt, first, 2)}).choices, second.choices);
    world.verify();
}

TEST_P(Resume, ABatchWithThreeOtherSequencesChangesNothing) {
    const auto alone = world.ask({.prompt = prompt, .max_tokens = 40});
    std::vector<Question> questions{{.prompt = prompt, .max_tokens = 40, .scope = "fresh"}};
    for (uint32_t other = 0; other < 3; ++other)
        questions.push_back(
            {.prompt = some_tokens(30 + 50 * other, 5 + other), .max_tokens = 20 + 10 * other});
    EXPECT_EQ(world.ask_together(questions).front().choices, alone.choices);
    questions.front().scope = "";
    EXPECT_EQ(world.ask_together(questions).front().choices, alone.choices);
    world.verify();
}

TEST_P(Resume, PrefillInOtherChunksChangesNothing) {
    const auto whole = world.ask({.prompt = prompt});
    for (const uint32_t chunk : {1U, 17U, 200U}) {
        world.restart(chunk);
        EXPECT_EQ(world.ask({.prompt = prompt}).choices, whole.choices) << chunk;
    }
    world.verify();
}

TEST_P(Resume, ABranchFromAnyTokenCostsOneStep) {
    const auto whole = world.ask({.prompt = prompt});
    for (const size_t kept : {size_t{0}, size_t{1}, size_t{12}, whole.tokens().size() - 1}) {
        const auto length = static_cast<std::ptrdiff_t>(kept);
        const auto begin = whole.tokens().begin();
        const auto branch = world.ask({.prompt = prompt,
                                       .forced_prefix = {begin, begin + length},
                                       .max_tokens = 24 - static_cast<uint32_t>(kept)});
        EXPECT_LE(branch.usage.recomputed, 1U) << kept;
        EXPECT_EQ(branch.tokens(), std::vector<TokenId>(begin + length, whole.tokens().end()));
        // Another token there.
        auto other = std::vector<TokenId>(begin, begin + length);
        other.push_back(whole.tokens()[kept] == 7 ? 8 : 7);
        const auto elsewhere = world.ask({.prompt = prompt, .forced_prefix = other});
        EXPECT_LE(elsewhere.usage.recomputed, 1U) << kept;
    }
    world.verify();
}

TEST_P(Resume, SiblingAnswersReadThePromptOnceAndEachIsWhatItIsAlone) {
    const auto siblings = world.ask({.prompt = prompt, .choices = 4});
    EXPECT_EQ(siblings.usage.recomputed, prompt.size());
    for (const auto& answer : siblings.choices) {
        const auto next = world.ask({.prompt = joined(joined(prompt, answer), some_tokens(9, 2))});
        EXPECT_LE(next.usage.recomputed, 10U);
    }
    world.verify();
}

class ResumeFromDisk : public testing::TestWithParam<Case> {
  protected:
    World world{{.type = std::get<0>(GetParam()),
                 .greedy = std::get<1>(GetParam()),
                 .context = 384,
                 .on_disk = true}};
    const std::vector<TokenId> prompt = some_tokens(150, 1);
};

INSTANTIATE_TEST_SUITE_P(EveryKvType, ResumeFromDisk, kCases, name_of);

TEST_P(ResumeFromDisk, ARestartChangesNothing) {
    const auto first = world.ask({.prompt = prompt});
    const auto second = world.ask({.prompt = next_turn(prompt, first, 2)});
    world.restart();
    const auto again = world.ask({.prompt = next_turn(prompt, first, 2)});
    EXPECT_EQ(again.choices, second.choices);
    EXPECT_EQ(again.usage.recomputed, 1U);
    EXPECT_EQ(again.usage.restored, again.usage.reused);
    EXPECT_GT(again.usage.restored_bytes, 0U);
    world.restart();
    world.ask({.prompt = next_turn(next_turn(prompt, first, 2), second, 3)});
    world.verify();
}

TEST_P(ResumeFromDisk, EvictionAndReloadChangeNothing) {
    const auto first = world.ask({.prompt = prompt});
    for (uint32_t other = 0; other < 8; ++other)
        world.ask({.prompt = some_tokens(300, 50 + other), .max_tokens = 2});
    const auto again = world.ask({.prompt = prompt});
    EXPECT_GT(again.usage.restored, 0U) << "it should have left the memory";
    EXPECT_EQ(again.choices, first.choices);
    world.ask({.prompt = next_turn(prompt, first, 2)});
    world.verify();
}

TEST_P(ResumeFromDisk, ForksBranchesAndSiblingsAfterARestartChangeNothing) {
    const auto first = world.ask({.prompt = prompt});
    auto edited = prompt;
    edited[100] = edited[100] == 5 ? 6 : 5;
    const auto fork = world.ask({.prompt = edited});
    world.restart();
    EXPECT_EQ(world.ask({.prompt = edited}).choices, fork.choices);
    auto elsewhere = prompt;
    elsewhere[140] = elsewhere[140] == 5 ? 6 : 5;
    world.ask({.prompt = elsewhere});
    world.restart();
    const auto begin = first.tokens().begin();
    const auto branch =
        world.ask({.prompt = prompt, .forced_prefix = {begin, begin + 12}, .max_tokens = 12});
    EXPECT_LE(branch.usage.recomputed, 1U);
    EXPECT_EQ(branch.tokens(), std::vector<TokenId>(begin + 12, first.tokens().end()));
    world.restart();
    EXPECT_EQ(world.ask({.prompt = prompt, .choices = 3}).choices[0], first.tokens());
    world.verify();
}

TEST_P(ResumeFromDisk, RestoringBesideThreeRunningSequencesInOtherChunksChangesNothing) {
    const auto alone = world.ask({.prompt = prompt});
    for (const uint32_t chunk : {7U, 100U}) {
        world.restart(chunk);
        std::vector<Question> questions;
        for (uint32_t other = 0; other < 3; ++other)
            questions.push_back({.prompt = some_tokens(20 + 40 * other, 5 + other)});
        questions.push_back({.prompt = prompt});
        EXPECT_EQ(world.ask_together(questions).back().choices, alone.choices);
    }
    world.verify();
}

TEST_P(ResumeFromDisk, WhatIsNotToBeKeptIsGoneAfterARestart) {
    const auto first = world.ask({.prompt = prompt, .scope = "temporary", .persist = false});
    world.restart();
    world.forget_what_was_read();
    const auto again = world.ask({.prompt = prompt, .scope = "temporary", .persist = false});
    EXPECT_EQ(again.usage.reused, 0U);
    EXPECT_EQ(again.choices, first.choices);
}

}  // namespace
}  // namespace core
