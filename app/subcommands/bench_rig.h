// What the measurements of `moxie bench` share: the model on its rig, tokens to run, and how
// numbers are told.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/subcommands/bench_cmd.h"
#include "core/base/pool.h"
#include "core/base/token_id.h"
#include "core/formats/weight_file.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/kv/sequence.h"
#include "core/model/model.h"
#include "core/ops/probe.h"

namespace app {

using Json = nlohmann::ordered_json;

// A loaded model with pages for what will be measured, and the probes of the machine beside it.
struct BenchRig {
    // `tokens`: the most that is in the cache at a time, beyond the depth, in `sequences` parts.
    // Throws core::Error; of kind context when depth and tokens are more than the model was made
    // for.
    BenchRig(const BenchOptions& options, uint64_t tokens, unsigned sequences);

    const core::ModelConfig& config() const { return model->config(); }

    // Fills `base` up to the depth and runs one step, so that the first repetition is like the
    // others.
    void warm_up(unsigned depth);

    // Appends tokens to one sequence in one pass.
    void forward(core::Sequence& sequence, std::span<const core::TokenId> tokens,
                 core::LogitRows rows);

    // What every JSON result begins with.
    Json describe(const BenchOptions& options) const;
    // The first line of every text.
    std::string headline(const BenchOptions& options) const;

    const core::Kernels& kernels;
    std::unique_ptr<core::WeightFile> file;
    core::Pool pool;
    std::unique_ptr<core::Model> model;
    core::PagePool pages;
    core::ReadProbe probe;
    core::Sequence base;  // `depth` tokens
    std::vector<float> logits;
};

// Tokens without meaning, but spread over the vocabulary and so over the experts.
std::vector<core::TokenId> spread_tokens(size_t count, uint32_t vocab, uint32_t seed);

double seconds_since(std::chrono::steady_clock::time_point start);

// Of a quantity over the repetitions.
struct Spread {
    double median = 0;
    double least = 0;
    double most = 0;
};

// REQUIRES: not empty.
Spread spread_of(std::vector<double> values);

// Of what `quantity` sees in each repetition.
template <class Repetition, class Quantity>
Spread spread_of(const std::vector<Repetition>& repetitions, Quantity quantity) {
    std::vector<double> values;
    values.reserve(repetitions.size());
    for (const Repetition& repetition : repetitions) {
        values.push_back(quantity(repetition));
    }
    return spread_of(std::move(values));
}

Json to_json(const Spread& spread);

std::string number(double value, int digits);
// Three significant figures from 1 on.
std::string rate(double value);
std::string tokens_per_second(const Spread& spread);

}  // namespace app
