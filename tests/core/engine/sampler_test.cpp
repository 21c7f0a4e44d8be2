// Every stage against a slow, straightforward reference in double precision, the shape of the
// drawn distribution, and replay.

#include "core/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

using chat::Detail;
using chat::Sampling;
using chat::Stage;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Everything off: the model's own distribution.
Sampling plain() {
    return {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0};
}

std::vector<float> random_logits(std::mt19937_64& random, size_t count) {
    // Own arithmetic: the standard's distributions differ between libraries. Quarters make ties.
    std::vector<float> logits(count);
    for (float& logit : logits)
        logit = static_cast<float>(random() % 64) * 0.25F - 8;
    return logits;
}

// What is left of a vocabulary: id to probability, in the order value descending, id ascending.
struct Left {
    std::vector<TokenId> ids;
    std::map<TokenId, double> probability;
    std::map<TokenId, Stage> removed;
    double margin = 1;  // distance of the closest decision from its threshold
};

struct Reference {
    std::vector<double> logits;
    std::vector<TokenId> order;
    Left left;

    double weight(TokenId id, double temperature) const {
        const double best = logits[static_cast<size_t>(order.front())];
        return std::exp((logits[static_cast<size_t>(id)] - best) / temperature);
    }
    double mass(double temperature) const {
        double sum = 0;
        for (const TokenId id : order)
            sum += weight(id, temperature);
        return sum;
    }
    void keep(size_t count, Stage stage) {
        for (size_t index = count; index < order.size(); ++index)
            left.removed[order[index]] = stage;
        order.resize(count);
    }
    void near(double value, double threshold) {
        left.margin = std::min(left.margin, std::abs(value - threshold));
    }

    void penalize(const Sampling& sampling, const SampleContext& context) {
        std::vector<TokenId> all(context.prompt.begin(), context.prompt.end());
        all.insert(all.end(), context.answer.begin(), context.answer.end());
        const size_t window =
            sampling.repetition_window < 0
                ? all.size()
                : std::min<size_t>(all.size(), static_cast<size_t>(sampling.repetition_window));
        for (size_t id = 0; id < logits.size(); ++id) {
            for (const auto& [biased, bias] : sampling.logit_bias)
                if (biased == static_cast<TokenId>(id)) logits[id] += bias;
            if (std::find(all.end() - static_cast<std::ptrdiff_t>(window), all.end(),
                          static_cast<TokenId>(id)) != all.end())
                logits[id] = logits[id] > 0 ? logits[id] / sampling.repetition_penalty
                                            : logits[id] * sampling.repetition_penalty;
            const auto count =
                std::count(context.answer.begin(), context.answer.end(), static_cast<TokenId>(id));
            logits[id] -= sampling.frequency_penalty * static_cast<double>(count);
            if (count > 0) logits[id] -= sampling.presence_penalty;
        }
    }

    void top_p(double p) {
        const double total = mass(1);
        double sum = 0;
        for (size_t index = 0; index < order.size(); ++index) {
            sum += weight(order[index], 1) / total;
            near(sum, p);
            if (sum >= p) return keep(index + 1, Stage::top_p);
        }
    }
    void min_p(double p) {
        size_t count = 0;
        for (; count < order.size() && weight(order[count], 1) >= p; ++count) {
        }
        for (const TokenId id : order)
            near(weight(id, 1), p);
        keep(std::max<size_t>(count, 1), Stage::min_p);
    }
    // As runners.py: cumulate from the smallest up; all that reach the threshold stay.
    void grok1_nucleus(double p, double temperature) {
        const double total = mass(temperature);
        double sum = 0;
        for (size_t index = order.size(); index-- > 0;) {
            sum += weight(order[index], temperature) / total;
            near(sum, 1 - p);
            if (sum < 1 - p) continue;
            const double threshold = logits[static_cast<size_t>(order[index])];
            size_t count = 0;
            while (count < order.size() && logits[static_cast<size_t>(order[count])] >= threshold)
                ++count;
            return keep(count, Stage::top_p);
        }
    }
};

Left reference(const std::vector<float>& logits, const Sampling& sampling,
               const SampleContext& context, const std::vector<TokenId>& never) {
    Reference state;
    state.logits.assign(logits.begin(), logits.end());
    state.penalize(sampling, context);
    for (const TokenId id : never)
        state.logits[static_cast<size_t>(id)] = -kInfinity;
    for (size_t id = 0; id < logits.size(); ++id)
        if (state.logits[id] > -kInfinity)
            state.order.push_back(static_cast<TokenId>(id));
        else
            state.left.removed[static_cast<TokenId>(id)] = Stage::banned;
    std::stable_sort(state.order.begin(), state.order.end(), [&](TokenId a, TokenId b) {
        return state.logits[static_cast<size_t>(a)] > state.logits[static_cast<size_t>(b)];
    });
    if (sampling.grok1_order) {
        if (sampling.top_p < 1) state.grok1_nucleus(sampling.top_p, sampling.temperature);
    } else {
        if (sampling.top_k > 0 && static_cast<size_t>(sampling.top_k) < state.order.size())
            state.keep(static_cast<size_t>(sampling.top_k), Stage::top_k);
        if (sampling.top_p < 1) state.top_p(sampling.top_p);
        if (sampling.min_p > 0) state.min_p(sampling.min_p);
    }
    const double total = state.mass(sampling.temperature);
    for (const TokenId id : state.order)
        state.left.probability[id] = state.weight(id, sampling.temperature) / total;
    state.left.ids = state.order;
    return state.left;
}

// Returns whether the comparison could be made.
bool expect_agreement(const std::vector<float>& logits, const Sampling& sampling,
                      const SampleContext& context, const std::vector<TokenId>& never) {
    const Left expected = reference(logits, sampling, context, never);
    const auto vocab = static_cast<uint32_t>(logits.size());
    Sampler sampler(vocab, never);
    const auto shown = sampler.preview(logits, sampling, context, vocab);
    EXPECT_EQ(shown.size(), logits.size());
    // Where a sum lies on its threshold, float and double may decide differently.
    if (expected.margin < 1e-6) return false;
    for (const auto& alternative : shown) {
        const auto kept = expected.probability.find(alternative.id);
        if (kept == expected.probability.end()) {
            EXPECT_EQ(alternative.removed_by, expected.removed.at(alternative.id));
            EXPECT_EQ(alternative.final_probability, 0);
        } else {
            EXPECT_EQ(alternative.removed_by, Stage::none);
            EXPECT_NEAR(alternative.final_probability, kept->second, 1e-6);
        }
    }
    for (size_t index = 1; index < shown.size(); ++index) {
        const float before = logits[static_cast<size_t>(shown[index - 1].id)];
        const float here = logits[static_cast<size_t>(shown[index].id)];
        EXPECT_TRUE(before > here || (before == here && shown[index - 1].id < shown[index].id));
    }
    return true;
}

// All stages at once, at random strengths, some of them off.
Sampling random_sampling(std::mt19937_64& random) {
    const auto share = [&] { return static_cast<float>(random() % 1000) * 0.001F; };
    Sampling sampling = plain();
    sampling.temperature = 0.1F + 2 * share();
    if (random() % 2) sampling.top_k = static_cast<int32_t>(random() % 80);
    if (random() % 2) sampling.top_p = share();
    if (random() % 2) sampling.min_p = 0.2F * share();
    if (random() % 2) sampling.repetition_penalty = 0.5F + share();
    sampling.repetition_window = static_cast<int32_t>(random() % 20) - 1;
    if (random() % 2) sampling.frequency_penalty = 2 * share() - 1;
    if (random() % 2) sampling.presence_penalty = 2 * share() - 1;
    for (size_t count = random() % 4; count > 0; --count)
        sampling.logit_bias.emplace_back(static_cast<TokenId>(random() % 60),
                                         random() % 3 ? 4 * share() - 2 : -kInfinity);
    return sampling;
}

TEST(Sampler, AgreesWithTheReferenceAtEveryStage) {
    std::mt19937_64 random(7);
    int compared = 0;
    for (int round = 0; round < 400; ++round) {
        const size_t vocab = 64 + random() % 100;
        const auto logits = random_logits(random, vocab);
        std::vector<TokenId> prompt(random() % 12);
        std::vector<TokenId> answer(random() % 12);
        for (TokenId& id : prompt)
            id = static_cast<TokenId>(random() % 60);
        for (TokenId& id : answer)
            id = static_cast<TokenId>(random() % 60);
        SCOPED_TRACE("round " + std::to_string(round));
        Sampling sampling = random_sampling(random);
        sampling.grok1_order = round % 4 == 0;
        compared += expect_agreement(logits, sampling, {.prompt = prompt, .answer = answer}, {0, 5})
                        ? 1
                        : 0;
    }
    EXPECT_GT(compared, 380);
}

TEST(Sampler, AgreesWithTheReferenceWhereItSortsBeyondTheHeap) {
    std::mt19937_64 random(8);
    std::vector<float> logits(5000);
    for (float& logit : logits)
        logit = static_cast<float>(random() % 65536) * 0x1p-14F;
    for (const float p : {0.3F, 0.9F, 0.99F}) {
        Sampling sampling = plain();
        sampling.top_p = p;
        EXPECT_TRUE(expect_agreement(logits, sampling, {}, {}));
        sampling.top_k = 3000;
        EXPECT_TRUE(expect_agreement(logits, sampling, {}, {}));
        sampling.grok1_order = true;
        sampling.temperature = 0.7F;
        EXPECT_TRUE(expect_agreement(logits, sampling, {}, {}));
    }
}

TEST(Sampler, GreedyTakesTheLowestIdOfEquals) {
    Sampler sampler(5, {});
    Sampling sampling;
    sampling.temperature = 0;
    EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3, 0}, sampling, {}).id, 1);
}

TEST(Sampler, GreedyObeysBiasPenaltiesAndBans) {
    const std::vector<float> logits{1, 4, 3, 2, 0};
    Sampling sampling = plain();
    sampling.temperature = 0;
    const std::vector<TokenId> never{1};
    Sampler sampler(5, never);
    EXPECT_EQ(sampler.sample(logits, sampling, {}).id, 2);
    sampling.logit_bias = {{4, 10.0F}, {1, 100.0F}};
    EXPECT_EQ(sampler.sample(logits, sampling, {}).id, 4);
    sampling.logit_bias = {{2, -kInfinity}};
    EXPECT_EQ(sampler.sample(logits, sampling, {}).id, 3);
    sampling.logit_bias = {};
    sampling.frequency_penalty = 1;
    const std::vector<TokenId> answer{2, 2};
    EXPECT_EQ(sampler.sample(logits, sampling, {.answer = answer}).id, 3);
}

TEST(Sampler, TinyTopPLeavesOneToken) {
    std::mt19937_64 random(9);
    const auto logits = random_logits(random, 200);
    for (const float p : {0.0F, 1e-9F})
        for (const bool grok1 : {false, true}) {
            Sampling sampling = plain();
            sampling.top_p = p;
            sampling.grok1_order = grok1;
            auto unequal = logits;
            unequal[17] = 20;
            Sampler sampler(200, {});
            const auto token = sampler.sample(unequal, sampling, {});
            EXPECT_EQ(token.id, 17);
            EXPECT_EQ(token.final_probability, 1.0F);
        }
}

// Probabilities 0.5, 0.25, 0.125, 0.125 in an order of ids that is not theirs.
TEST(Sampler, Grok1OrderKeepsEqualsAtTheThreshold) {
    const std::vector<float> logits{std::log(0.125F), std::log(0.5F), std::log(0.125F),
                                    std::log(0.25F)};
    const auto kept = [&](float p, float temperature, bool grok1) {
        Sampling sampling = plain();
        sampling.top_p = p;
        sampling.temperature = temperature;
        sampling.grok1_order = grok1;
        sampling.top_k = grok1 ? 1 : 0;  // Grok-1 has no top-k
        Sampler sampler(4, {});
        std::vector<TokenId> ids;
        for (const auto& alternative : sampler.preview(logits, sampling, {}, 4))
            if (alternative.removed_by == Stage::none) ids.push_back(alternative.id);
        return ids;
    };
    EXPECT_EQ(kept(0.4F, 1, true), (std::vector<TokenId>{1}));
    EXPECT_EQ(kept(0.6F, 1, true), (std::vector<TokenId>{1, 3}));
    EXPECT_EQ(kept(0.8F, 1, true), (std::vector<TokenId>{1, 3, 0, 2}));
    EXPECT_EQ(kept(0.8F, 1, false), (std::vector<TokenId>{1, 3, 0}));
    // Temperature comes first: at 0.5 the shares are 0.727, 0.182, 0.045, 0.045.
    EXPECT_EQ(kept(0.7F, 0.5F, true), (std::vector<TokenId>{1}));
    EXPECT_EQ(kept(0.7F, 0.5F, false), (std::vector<TokenId>{1, 3}));
    EXPECT_EQ(kept(1.0F, 0.01F, true), (std::vector<TokenId>{1, 3, 0, 2}));
}

TEST(Sampler, ReportsTheRawDistribution) {
    const std::vector<float> logits{std::log(0.125F), std::log(0.5F), std::log(0.125F),
                                    std::log(0.25F)};
    Sampling sampling = plain();
    sampling.top_k = 1;
    Sampler sampler(4, {});
    const auto token =
        sampler.sample(logits, sampling, {.detail = Detail::full, .alternatives = 3});
    EXPECT_EQ(token.id, 1);
    EXPECT_EQ(token.rank, 0U);
    EXPECT_NEAR(token.raw_probability, 0.5, 1e-6);
    EXPECT_NEAR(token.entropy, 1.75 * std::log(2.0), 1e-6);
    EXPECT_EQ(token.final_probability, 1.0F);
    ASSERT_EQ(token.alternatives.size(), 3U);
    EXPECT_EQ(token.alternatives[1].id, 3);
    EXPECT_NEAR(token.alternatives[1].raw_probability, 0.25, 1e-6);
    EXPECT_EQ(token.alternatives[1].removed_by, Stage::top_k);
    EXPECT_EQ(token.alternatives[2].id, 0);

    sampling.logit_bias = {{1, -kInfinity}};
    const auto banned = sampler.sample(logits, sampling, {.detail = Detail::full});
    EXPECT_EQ(banned.id, 3);
    EXPECT_EQ(banned.rank, 1U);
    EXPECT_EQ(banned.alternatives[0].removed_by, Stage::banned);
}

// Chi-square of 40,000 draws over 16 tokens against what is announced.
void expect_distribution(const Sampling& sampling, uint64_t seed) {
    constexpr uint32_t kDraws = 40000;
    std::mt19937_64 random(seed);
    std::vector<float> logits(16);
    for (float& logit : logits)
        logit = static_cast<float>(random() % 4000) * 0.001F;
    Sampler sampler(16, {});
    const auto announced = sampler.preview(logits, sampling, {}, 16);
    std::map<TokenId, uint32_t> seen;
    std::vector<TokenId> answer;
    for (uint32_t draw = 0; draw < kDraws; ++draw) {
        Sampling each = sampling;
        each.seed = seed + draw / 100;
        answer.resize(draw % 100);
        ++seen[sampler.sample(logits, each, {.answer = answer, .choice = draw % 3}).id];
    }
    double chi_square = 0;
    int freedom = -1;
    for (const auto& alternative : announced) {
        const double expected = alternative.final_probability * kDraws;
        if (expected == 0) {
            EXPECT_EQ(seen[alternative.id], 0U);
            continue;
        }
        const double difference = seen[alternative.id] - expected;
        chi_square += difference * difference / expected;
        ++freedom;
    }
    // Mean plus four standard deviations of the chi-square distribution.
    EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2.0 * freedom)) << "freedom " << freedom;
}

TEST(Sampler, DrawsWhatItAnnounces) {
    expect_distribution(plain(), 1);
    expect_distribution({.temperature = 0.8F, .top_k = 9, .top_p = 0.9F, .min_p = 0.02F}, 2);
    expect_distribution({.temperature = 1.5F, .top_p = 0.8F, .grok1_order = true}, 3);
}

TEST(Sampler, ReplaysFromAnyToken) {
    std::mt19937_64 random(4);
    std::vector<std::vector<float>> steps;
    for (int step = 0; step < 50; ++step)
        steps.push_back(random_logits(random, 300));
    Sampling sampling = plain();
    sampling.seed = 42;
    sampling.presence_penalty = 0.5F;
    Sampler first(300, {});
    std::vector<TokenId> answer;
    for (const auto& logits : steps)
        answer.push_back(first.sample(logits, sampling, {.answer = answer}).id);
    for (const size_t from : {size_t{0}, size_t{1}, size_t{30}, size_t{49}}) {
        Sampler second(300, {});
        const std::span<const TokenId> past = std::span(answer).first(from);
        EXPECT_EQ(second.sample(steps[from], sampling, {.answer = past}).id, answer[from]);
    }
    sampling.seed = 43;
    std::vector<TokenId> other;
    for (const auto& logits : steps)
        other.push_back(first.sample(logits, sampling, {.answer = other}).id);
    EXPECT_NE(other, answer);
}

TEST(Sampler, ChoicesOfOneSeedDiffer) {
    const std::vector<float> logits(1000, 0.0F);
    Sampler sampler(1000, {});
    const Sampling sampling = plain();
    const auto first = sampler.sample(logits, sampling, {.choice = 0}).id;
    const auto second = sampler.sample(logits, sampling, {.choice = 1}).id;
    EXPECT_NE(first, second);
}

TEST(Sampler, RandomNumbersNeverChange) {
    // Computed by an independent implementation; a change would break every replay.
    const auto bits = [](float value) { return static_cast<uint32_t>(value * 0x1p24F); };
    EXPECT_EQ(bits(counter_uniform(0, 0, 0, 0)), 0x238275U);
    EXPECT_EQ(bits(counter_uniform(42, 0, 0, 0)), 0x6310BFU);
    EXPECT_EQ(bits(counter_uniform(42, 0, 1, 0)), 0x93BE84U);
    EXPECT_EQ(bits(counter_uniform(42, 1, 0, 0)), 0x560ADAU);
    EXPECT_EQ(bits(counter_uniform(UINT64_MAX, 3, 1000, 2)), 0x0DAEE5U);
    double sum = 0;
    for (uint32_t index = 0; index < 100000; ++index) {
        const float value = counter_uniform(5, 1, index, 0);
        ASSERT_GE(value, 0.0F);
        ASSERT_LT(value, 1.0F);
        sum += value;
    }
    EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Sampler, RefusesLogitsThatAreNoNumbers) {
    Sampler sampler(3, {});
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity}) {
        const std::vector<float> logits{0, bad, 1};
        EXPECT_THROW(sampler.sample(logits, plain(), {}), Error);
        Sampling greedy;
        greedy.temperature = 0;
        EXPECT_THROW(sampler.sample(logits, greedy, {}), Error);
    }
}

TEST(Sampler, RefusesToChooseFromNothing) {
    const std::vector<TokenId> never{0, 1, 2};
    Sampler sampler(3, never);
    EXPECT_THROW(sampler.sample(std::vector<float>{1, 2, 3}, plain(), {}), Error);
    Sampler free(2, {});
    EXPECT_THROW(free.sample(std::vector<float>(2, -kInfinity), plain(), {}), Error);
}

TEST(Sampler, RefusesParametersOutOfRange) {
    const auto refused = [](auto change) {
        Sampling sampling;
        change(sampling);
        try {
            check_sampling(sampling, 10);
        } catch (const Error& error) {
            return error.kind() == ErrorKind::usage;
        }
        return false;
    };
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(refused([](Sampling& s) { s.temperature = -1; }));
    EXPECT_TRUE(refused([&](Sampling& s) { s.temperature = nan; }));
    EXPECT_TRUE(refused([](Sampling& s) { s.top_p = 1.5F; }));
    EXPECT_TRUE(refused([](Sampling& s) { s.min_p = -0.1F; }));
    EXPECT_TRUE(refused([](Sampling& s) { s.repetition_penalty = 0; }));
    EXPECT_TRUE(refused([&](Sampling& s) { s.frequency_penalty = nan; }));
    EXPECT_TRUE(refused([](Sampling& s) { s.logit_bias = {{10, 1.0F}}; }));
    EXPECT_TRUE(refused([](Sampling& s) { s.logit_bias = {{1, kInfinity}}; }));
    EXPECT_FALSE(refused([](Sampling& s) { s.logit_bias = {{9, -kInfinity}}; }));
}

}  // namespace
}  // namespace core
