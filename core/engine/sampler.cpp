#include "core/engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "core/base/error.h"

namespace core {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();
constexpr size_t kLanes = 16;
constexpr size_t kBlock = 64;

// exp for x <= 0, by the same operations on every machine: libm's last bit depends on the CPU, and
// a last bit can move a draw. Cephes' polynomial; relative error below 1e-7. Below -87, where
// float32 loses its precision, it is 0. Comparisons are made on the bits, without a branch, so that
// GCC 12 vectorizes a loop of these at -O2.
constexpr int32_t kFar = std::bit_cast<int32_t>(87.0F);

int32_t size_bits(float x) {
    return std::bit_cast<int32_t>(x) & 0x7FFFFFFF;
}

// x, but at least -87 (also for -infinity).
float clamp_far(float x) {
    const int32_t size = size_bits(x);
    return -std::bit_cast<float>(size < kFar ? size : kFar);
}

[[gnu::always_inline]] inline float exp_of(float x) {
    constexpr float kLog2E = 1.44269504F;
    constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
    constexpr float kLn2High = 0.693359375F;
    constexpr float kLn2Low = -2.12194440e-4F;
    const float clamped = clamp_far(x);
    const float shifted = clamped * kLog2E + kRound;
    const float n = shifted - kRound;
    const float r = (clamped - n * kLn2High) - n * kLn2Low;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1.0F;
    const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
    const int32_t bits = std::bit_cast<int32_t>(p) + exponent * (1 << 23);
    return std::bit_cast<float>(bits & -static_cast<int32_t>(size_bits(x) <= kFar));
}

// A block of weights of the draw; not inlined, because GCC 12 does not vectorize it inside of
// another loop.
[[gnu::noinline]] void weigh_block(const float* __restrict logits, float best, float divisor,
                                   float* __restrict weights) {
    for (size_t index = 0; index < kBlock; ++index)
        weights[index] = exp_of((logits[index] - best) / divisor);
}

using Lanes = std::array<double, kLanes>;

// Calls add(logits, weights) for blocks of all logits; the last one is filled up with -infinity.
template <class Add>
void for_each_block(std::span<const float> logits, float best, float divisor, Add add) {
    std::array<float, kBlock> weights{};
    size_t at = 0;
    for (; at + kBlock <= logits.size(); at += kBlock) {
        weigh_block(&logits[at], best, divisor, weights.data());
        add(&logits[at], weights.data());
    }
    std::array<float, kBlock> rest{};
    rest.fill(kBanned);
    std::copy(logits.begin() + static_cast<std::ptrdiff_t>(at), logits.end(), rest.begin());
    weigh_block(rest.data(), best, divisor, weights.data());
    add(rest.data(), weights.data());
}

void add_lanes(const float* values, Lanes& lanes) {
    for (size_t at = 0; at < kBlock; at += kLanes)
        for (size_t lane = 0; lane < kLanes; ++lane)
            lanes[lane] += values[at + lane];
}

double sum_of(const Lanes& lanes) {
    double sum = 0;
    for (const double lane : lanes)
        sum += lane;
    return sum;
}

float max_of(const float* values, size_t count) {
    float max = kBanned;
    for (size_t index = 0; index < count; ++index)
        max = values[index] > max ? values[index] : max;
    return max;
}

// How many logits come before this one in the total order.
uint32_t rank_of(std::span<const float> logits, TokenId id) {
    const auto place = static_cast<size_t>(id);
    const float logit = logits[place];
    uint32_t rank = 0;
    for (const float other : logits)
        rank += other > logit ? 1U : 0U;
    for (const float other : logits.first(place))
        rank += other == logit ? 1U : 0U;
    return rank;
}

void require(bool condition, const char* name, float value, const char* range) {
    if (!condition)
        throw Error(ErrorKind::usage, name, "is " + std::to_string(value),
                    std::string("must be ") + range);
}

uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

}  // namespace

float counter_uniform(uint64_t seed, uint32_t choice, uint32_t token_index, uint32_t draw) {
    constexpr uint64_t kGamma = 0x9E3779B97F4A7C15U;
    uint64_t x = mix(seed + kGamma);
    x = mix((x ^ (uint64_t{choice} << 32 | token_index)) + kGamma);
    x = mix((x ^ draw) + kGamma);
    return static_cast<float>(x >> 40) * 0x1p-24F;
}

void check_sampling(const chat::Sampling& sampling, uint32_t vocab) {
    const auto within = [](float value, float low, float high) {
        return value >= low && value <= high;  // false for NaN
    };
    constexpr float kMax = std::numeric_limits<float>::max();
    require(within(sampling.temperature, 0, kMax), "temperature", sampling.temperature,
            "0 or more");
    require(within(sampling.top_p, 0, 1), "top_p", sampling.top_p, "between 0 and 1");
    require(within(sampling.min_p, 0, 1), "min_p", sampling.min_p, "between 0 and 1");
    require(within(sampling.repetition_penalty, std::numeric_limits<float>::min(), kMax),
            "repetition_penalty", sampling.repetition_penalty, "more than 0");
    require(within(sampling.frequency_penalty, -kMax, kMax), "frequency_penalty",
            sampling.frequency_penalty, "finite");
    require(within(sampling.presence_penalty, -kMax, kMax), "presence_penalty",
            sampling.presence_penalty, "finite");
    for (const auto& [id, bias] : sampling.logit_bias) {
        if (id < 0 || static_cast<uint32_t>(id) >= vocab)
            throw Error(ErrorKind::usage, "logit_bias",
                        "token " + std::to_string(id) + " is not in the vocabulary of " +
                            std::to_string(vocab));
        require(within(bias, kBanned, kMax), "logit_bias", bias, "finite or -infinity");
    }
}

Sampler::Sampler(uint32_t vocab, std::span<const TokenId> never)
    : vocab_(vocab), work_(vocab), counts_(vocab) {
    for (const TokenId id : never)
        if (id >= 0 && static_cast<uint32_t>(id) < vocab) never_.push_back(id);
    ranked_.reserve(vocab);
    shown_.reserve(vocab);
    counted_.reserve(vocab);
}

chat::Token Sampler::sample(std::span<const float> logits, const chat::Sampling& sampling,
                            const SampleContext& context) {
    adjust(logits, sampling, context);
    filter(sampling);
    const auto index = static_cast<uint32_t>(context.answer.size());
    const Candidate chosen = sampling.temperature == 0
                                 ? best_
                                 : draw(counter_uniform(sampling.seed, context.choice, index, 0));

    chat::Token token{.id = chosen.id, .bytes = {}};
    token.temperature = sampling.temperature;
    token.final_probability = final_probability(chosen.id);
    if (context.detail == chat::Detail::text) return token;

    const RawSums raw = raw_sums(logits);
    const float logit = logits[static_cast<size_t>(chosen.id)];
    token.raw_probability = static_cast<float>(exp_of(logit - raw.max) / raw.total);
    token.entropy = raw.entropy;
    token.rank = rank_of(logits, chosen.id);
    if (context.detail == chat::Detail::full)
        token.alternatives = alternatives(logits, raw, context.alternatives);
    return token;
}

std::vector<chat::Alternative> Sampler::preview(std::span<const float> logits,
                                                const chat::Sampling& sampling,
                                                const SampleContext& context, uint32_t count) {
    adjust(logits, sampling, context);
    filter(sampling);
    return alternatives(logits, raw_sums(logits), count);
}

void Sampler::adjust(std::span<const float> logits, const chat::Sampling& sampling,
                     const SampleContext& context) {
    MOXIE_CHECK(logits.size() == vocab_);
    check_sampling(sampling, vocab_);
    constexpr float kMax = std::numeric_limits<float>::max();
    bool bad = false;
    for (const float logit : logits)
        bad |= !(logit <= kMax);
    if (bad)
        throw Error(ErrorKind::internal, "logits", "one of them is not a number or infinite",
                    "the model or its cache is damaged");
    std::copy(logits.begin(), logits.end(), work_.begin());
    for (const auto& [id, bias] : sampling.logit_bias)
        work_[static_cast<size_t>(id)] += bias;
    penalize_repetition(sampling, context);
    penalize_answer(sampling, context.answer);
    for (const TokenId id : never_)
        work_[static_cast<size_t>(id)] = kBanned;
    find_best();
}

// Once for each distinct token among the last ones of prompt and answer.
void Sampler::penalize_repetition(const chat::Sampling& sampling, const SampleContext& context) {
    const float penalty = sampling.repetition_penalty;
    if (penalty == 1.0F || sampling.repetition_window == 0) return;
    const size_t all = context.prompt.size() + context.answer.size();
    const size_t window = sampling.repetition_window < 0
                              ? all
                              : std::min(all, static_cast<size_t>(sampling.repetition_window));
    for (size_t at = all - window; at < all; ++at) {
        const TokenId id = at < context.prompt.size() ? context.prompt[at]
                                                      : context.answer[at - context.prompt.size()];
        if (id < 0 || static_cast<uint32_t>(id) >= vocab_) continue;
        uint32_t& count = counts_[static_cast<size_t>(id)];
        if (count++ != 0) continue;
        counted_.push_back(id);
        float& logit = work_[static_cast<size_t>(id)];
        logit = logit > 0 ? logit / penalty : logit * penalty;
    }
    for (const TokenId id : counted_)
        counts_[static_cast<size_t>(id)] = 0;
    counted_.clear();
}

void Sampler::penalize_answer(const chat::Sampling& sampling, std::span<const TokenId> answer) {
    if (sampling.frequency_penalty == 0 && sampling.presence_penalty == 0) return;
    for (const TokenId id : answer) {
        if (id < 0 || static_cast<uint32_t>(id) >= vocab_) continue;
        if (counts_[static_cast<size_t>(id)]++ == 0) counted_.push_back(id);
    }
    for (const TokenId id : counted_) {
        uint32_t& count = counts_[static_cast<size_t>(id)];
        work_[static_cast<size_t>(id)] -=
            sampling.frequency_penalty * static_cast<float>(count) + sampling.presence_penalty;
        count = 0;
    }
    counted_.clear();
}

void Sampler::find_best() {
    best_ = {kBanned, -1};
    alive_ = 0;
    for (uint32_t id = 0; id < vocab_; ++id) {
        alive_ += work_[id] > kBanned ? 1 : 0;
        if (work_[id] > best_.logit) best_ = {work_[id], static_cast<TokenId>(id)};
    }
    ranked_.clear();
    ranked_count_ = 0;
    if (alive_ == 0)
        throw Error(ErrorKind::internal, "sampler", "every token is banned",
                    "remove some of the logit bias");
    // Bias and penalties are finite, but their sum with a logit need not be.
    if (best_.logit > std::numeric_limits<float>::max())
        throw Error(ErrorKind::usage, "logit_bias", "makes a logit infinite", "use smaller values");
}

void Sampler::filter(const chat::Sampling& sampling) {
    kept_ = {.top_k = alive_, .top_p = alive_, .min_p = alive_, .divisor = 0, .total = 0};
    if (sampling.temperature == 0) return;  // truncations are irrelevant
    if (sampling.grok1_order) return filter_as_grok1(sampling);
    if (sampling.top_k > 0) kept_.top_k = std::min(alive_, static_cast<size_t>(sampling.top_k));
    if (kept_.top_k < alive_) ranked(kept_.top_k - 1, kept_.top_k);  // removed_by() looks there
    kept_.top_p = sampling.top_p < 1 ? nucleus(sampling.top_p, kept_.top_k) : kept_.top_k;
    kept_.min_p = kept_.top_p;
    if (sampling.min_p > 0) {
        size_t count = 1;
        while (count < kept_.top_p &&
               exp_of(ranked(count, kept_.top_p).logit - best_.logit) >= sampling.min_p)
            ++count;
        kept_.min_p = count;
    }
    kept_.divisor = sampling.temperature;
    kept_.total = mass(kept_.min_p, kept_.divisor);
}

// Keeps what is at least as large as the first value, from the smallest up, at which the cumulated
// probability reaches 1 - p: that is, every token with at most p above it, and its equals.
void Sampler::filter_as_grok1(const chat::Sampling& sampling) {
    // The distance from the best logit, so that a small temperature does not overflow.
    for (float& logit : work_)
        logit = (logit - best_.logit) / sampling.temperature;
    best_.logit = 0;
    kept_.divisor = 1;
    kept_.total = mass(alive_, 1);
    if (sampling.top_p >= 1) return;
    const double limit = static_cast<double>(sampling.top_p) * kept_.total;
    size_t count = 0;
    double above = 0;
    for (; count < alive_ && above <= limit; ++count)
        above += exp_of(ranked(count, alive_).logit);
    while (count < alive_ && ranked(count, alive_).logit == ranked(count - 1, alive_).logit)
        ++count;
    kept_.top_p = kept_.min_p = count;
    kept_.total = mass(count, 1);
}

// The smallest number of candidates, best first, that hold the share p of the best `limit`.
size_t Sampler::nucleus(float p, size_t limit) {
    const double wanted = static_cast<double>(p) * mass(limit, 1);
    double sum = 0;
    for (size_t count = 0; count < limit; ++count) {
        sum += exp_of(ranked(count, limit).logit - best_.logit);
        if (sum >= wanted) return count + 1;
    }
    return limit;
}

// The candidate at a place of the order; sorts only as far as anybody asks. `limit` is how far that
// can be at most.
const Sampler::Candidate& Sampler::ranked(size_t index, size_t limit) {
    if (index >= ranked_count_) {
        const size_t wanted = std::max({index + 1, size_t{64}, ranked_count_ * 8});
        ranked_count_ = select(work_, std::min({wanted, limit, alive_}), ranked_count_, ranked_);
    }
    return ranked_[index];
}

// Puts the best `count` of all logits in order at the front of `out`, where `sorted` of them are
// already, and returns how many there are.
size_t Sampler::select(std::span<const float> logits, size_t count, size_t sorted,
                       std::vector<Candidate>& out) {
    constexpr size_t kHeapLimit = 1024;
    if (count <= kHeapLimit) return select_few(logits, count, out);
    if (out.size() == sorted) {  // what is there came from a heap
        out.clear();
        sorted = 0;
        for (size_t id = 0; id < logits.size(); ++id)
            if (logits[id] > kBanned) out.push_back({logits[id], static_cast<TokenId>(id)});
    }
    count = std::min(count, out.size());
    const auto begin = out.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto end = out.begin() + static_cast<std::ptrdiff_t>(count);
    if (end != out.end()) std::nth_element(begin, end, out.end(), better);
    std::sort(begin, end, better);
    return count;
}

// A few of many: a heap of the best so far, whose worst most values do not reach.
size_t Sampler::select_few(std::span<const float> logits, size_t count,
                           std::vector<Candidate>& out) {
    out.clear();
    if (count == 0) return 0;
    float worst = kBanned;
    for (size_t block = 0; block < logits.size(); block += kLanes) {
        const size_t size = std::min(kLanes, logits.size() - block);
        if (!(max_of(&logits[block], size) > worst)) continue;
        for (size_t id = block; id < block + size; ++id) {
            // Ids ascend, so an equal value is never better than one that is in the heap.
            if (!(logits[id] > worst)) continue;
            if (out.size() == count) {
                std::pop_heap(out.begin(), out.end(), better);
                out.pop_back();
            }
            out.push_back({logits[id], static_cast<TokenId>(id)});
            std::push_heap(out.begin(), out.end(), better);
            if (out.size() == count) worst = out.front().logit;
        }
    }
    std::sort(out.begin(), out.end(), better);
    return out.size();
}

// The weight of the best `count` candidates.
double Sampler::mass(size_t count, float divisor) {
    const float best = best_.logit;
    if (count == alive_) {
        Lanes lanes{};
        for_each_block(work_, best, divisor,
                       [&](const float*, const float* weights) { add_lanes(weights, lanes); });
        return sum_of(lanes);
    }
    ranked(count - 1, count);
    double sum = 0;
    for (size_t index = 0; index < count; ++index)
        sum += exp_of((ranked_[index].logit - best) / divisor);
    return sum;
}

Sampler::Candidate Sampler::draw(float uniform) {
    const double target = static_cast<double>(uniform) * kept_.total;
    double sum = 0;
    Candidate last = best_;
    for (size_t index = 0; index < kept_.min_p; ++index) {
        const Candidate& candidate = ranked(index, kept_.min_p);
        const float weight = exp_of((candidate.logit - best_.logit) / kept_.divisor);
        if (weight == 0) break;
        sum += weight;
        last = candidate;
        if (sum > target) break;
    }
    return last;
}

float Sampler::final_probability(TokenId id) const {
    if (kept_.divisor == 0) return id == best_.id ? 1.0F : 0.0F;
    if (removed_by(id) != chat::Stage::none) return 0;
    const float logit = work_[static_cast<size_t>(id)];
    return static_cast<float>(exp_of((logit - best_.logit) / kept_.divisor) / kept_.total);
}

chat::Stage Sampler::removed_by(TokenId id) const {
    const Candidate candidate{work_[static_cast<size_t>(id)], id};
    if (candidate.logit == kBanned) return chat::Stage::banned;
    // A stage that keeps `count` keeps what is not worse than the last of them.
    const auto drops = [&](size_t count) {
        return count < alive_ && better(ranked_[count - 1], candidate);
    };
    if (drops(kept_.top_k)) return chat::Stage::top_k;
    if (drops(kept_.top_p)) return chat::Stage::top_p;
    if (drops(kept_.min_p)) return chat::Stage::min_p;
    return chat::Stage::none;
}

Sampler::RawSums Sampler::raw_sums(std::span<const float> logits) {
    RawSums raw{.max = max_of(logits.data(), logits.size())};
    Lanes totals{};
    Lanes products{};
    for_each_block(logits, raw.max, 1, [&](const float* values, const float* weights) {
        add_lanes(weights, totals);
        std::array<float, kBlock> product{};
        for (size_t index = 0; index < kBlock; ++index)
            product[index] = weights[index] * clamp_far(values[index] - raw.max);
        add_lanes(product.data(), products);
    });
    raw.total = sum_of(totals);
    raw.entropy = static_cast<float>(std::log(raw.total) - sum_of(products) / raw.total);
    return raw;
}

std::vector<chat::Alternative> Sampler::alternatives(std::span<const float> logits,
                                                     const RawSums& raw, uint32_t count) {
    shown_.clear();
    const size_t found = select(logits, std::min(count, vocab_), 0, shown_);
    std::vector<chat::Alternative> result;
    result.reserve(found);
    for (size_t index = 0; index < found; ++index) {
        const Candidate& shown = shown_[index];
        result.push_back(
            {.id = shown.id,
             .bytes = {},
             .raw_probability = static_cast<float>(exp_of(shown.logit - raw.max) / raw.total),
             .final_probability = final_probability(shown.id),
             .removed_by = removed_by(shown.id)});
    }
    return result;
}

}  // namespace core
