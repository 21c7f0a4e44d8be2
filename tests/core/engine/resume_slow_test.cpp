// Conversations that wander: turns, edits, regenerations, branches, siblings, company, restarts
// and, memory being short, evictions in random order, for every family and KV type, greedy and
// seeded.
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/engine/resume_world.h"

namespace core {
namespace {

class Wandering : public testing::TestWithParam<std::tuple<support::Family, KvType, bool>> {
  protected:
    uint32_t below(uint32_t end) { return static_cast<uint32_t>(random_()) % end; }

    std::vector<TokenId>& any_line() { return lines_[below(static_cast<uint32_t>(lines_.size()))]; }

    // A turn more, on any line.
    void go_on() {
        auto& line = any_line();
        if (line.size() > 300) line.resize(below(250) + 20);
        line = joined(line, some_tokens(1 + below(90), seed_++));
        const auto answers = world_.ask({.prompt = line, .max_tokens = 1 + below(40)});
        line = joined(line, answers.tokens());
    }

    void edit() {
        auto line = any_line();
        const uint32_t at = below(static_cast<uint32_t>(line.size()));
        line.resize(at + 1);
        line[at] = line[at] == 9 ? 10 : 9;
        world_.ask({.prompt = line, .max_tokens = 1 + below(20)});
        lines_.push_back(std::move(line));
        if (lines_.size() > 12) lines_.erase(lines_.begin());
    }

    void regenerate() {
        const Question question{.prompt = any_line(), .max_tokens = 10};
        EXPECT_EQ(world_.ask(question).choices, world_.ask(question).choices);
    }

    void branch() {
        const auto& line = any_line();
        const auto whole = world_.ask({.prompt = line, .max_tokens = 20});
        const auto kept = static_cast<std::ptrdiff_t>(below(20));
        const auto begin = whole.tokens().begin();
        const auto again = world_.ask({.prompt = line, .forced_prefix = {begin, begin + kept}});
        EXPECT_LE(again.usage.recomputed, 1U);
    }

    void company() {
        std::vector<Question> questions;
        for (uint32_t i = 0; i < 4; ++i)
            questions.push_back({.prompt = any_line(),
                                 .max_tokens = 5 + below(20),
                                 .choices = 1 + below(2),
                                 .scope = i == 3 ? "another" : ""});
        const auto together = world_.ask_together(questions);
        for (size_t i = 0; i < questions.size(); ++i)
            EXPECT_EQ(world_.ask(questions[i]).choices, together[i].choices);
    }

    World world_{{.family = std::get<0>(GetParam()),
                  .type = std::get<1>(GetParam()),
                  .greedy = std::get<2>(GetParam()),
                  .context = 1024,
                  .on_disk = true}};
    std::mt19937 random_{11};
    uint32_t seed_ = 1;
    std::vector<std::vector<TokenId>> lines_{some_tokens(70, 1), some_tokens(140, 2)};
};

INSTANTIATE_TEST_SUITE_P(Families, Wandering,
                         testing::Combine(testing::ValuesIn(support::kAllFamilies),
                                          testing::Values(KvType::f32, KvType::f16, KvType::q8),
                                          testing::Bool()),
                         [](const auto& each) {
                             return support::name(std::get<0>(each.param)) + "_" +
                                    std::string(name(std::get<1>(each.param))) +
                                    (std::get<2>(each.param) ? "Greedy" : "Seeded");
                         });

TEST_P(Wandering, NoWayThroughTheTreeOfTurnsChangesALogit) {
    constexpr uint32_t kChunks[] = {1, 16, 33, 64, 300};
    for (int i = 0; i < 150; ++i) {
        switch (below(7)) {
            case 0:
            case 1: go_on(); break;
            case 2: edit(); break;
            case 3: regenerate(); break;
            case 4: branch(); break;
            case 5: company(); break;
            default:
                if (below(4) == 0) world_.restart(kChunks[below(5)]);
                break;
        }
        if (HasFailure()) FAIL() << "step " << i;
    }
    world_.verify();
}

}  // namespace
}  // namespace core
