#include "app/subcommands/bench_rig.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/base/error.h"
#include "core/model/hugging_face.h"

namespace app {
namespace {

using core::TokenId;
using Clock = std::chrono::steady_clock;

core::PageLayout layout_of(const core::Model& model, const BenchOptions& options) {
    return {model.kv_shape(), core::kv_type_from_name(options.kv)};
}

// The tokens before, and what each sequence appends to its fork of them; a page more for each,
// which may be half empty, and for the copy of the tail that it writes.
core::PagePool make_pages(const core::Model& model, const BenchOptions& options, uint64_t tokens,
                          unsigned sequences) {
    if (options.depth + tokens / sequences > model.config().context) {
        throw core::Error(core::ErrorKind::context, "-d, -p and -n",
                          "need " + std::to_string(options.depth + tokens / sequences) +
                              " positions, the model was made for " +
                              std::to_string(model.config().context),
                          "give smaller ones");
    }
    core::PageLayout layout = layout_of(model, options);
    const uint64_t pages =
        (options.depth + tokens) / core::kPagePositions + 2 * (uint64_t{sequences} + 1);
    const uint64_t budget = pages * layout.page_bytes();
    return {std::move(layout), budget};
}

}  // namespace

BenchRig::BenchRig(const BenchOptions& options, uint64_t tokens, unsigned sequences)
    : kernels(core::select_kernels(options.isa)),
      file(core::open_model(options.path)),
      pool(options.threads),
      model(core::Model::load(*file, kernels, pool)),
      pages(make_pages(*model, options, tokens, sequences)),
      probe(kernels, pool, options.probe_bytes),
      base(pages) {}

void BenchRig::warm_up(unsigned depth) {
    const std::vector<TokenId> before = spread_tokens(depth, config().vocab, 1);
    constexpr size_t kChunk = 512;
    for (size_t at = 0; at < before.size(); at += kChunk) {
        const size_t count = std::min(kChunk, before.size() - at);
        forward(base, std::span(before).subspan(at, count), core::LogitRows::none);
    }
    core::Sequence sequence = base.fork();
    const TokenId token = 0;
    forward(sequence, {&token, 1}, core::LogitRows::last);
}

void BenchRig::forward(core::Sequence& sequence, std::span<const TokenId> tokens,
                       core::LogitRows rows) {
    const core::Slice slice{.sequence = &sequence, .tokens = tokens, .logits = rows};
    model->forward({&slice, 1}, logits);
}

Json BenchRig::describe(const BenchOptions& options) const {
    return {{"model", options.path},
            {"family", config().family},
            {"isa", kernels.name},
            {"threads", pool.size()},
            {"kv", options.kv},
            {"depth", options.depth},
            {"repetitions", options.repetitions},
            {"weight_bytes", model->weight_bytes()},
            {"decode_bytes_per_token", model->decode_bytes()}};
}

std::string BenchRig::headline(const BenchOptions& options) const {
    const auto weights = static_cast<double>(model->weight_bytes());
    const auto per_token = static_cast<double>(model->decode_bytes());
    return config().family + ", " + rate(weights / 1e9) + " GB of weights, " +
           number(per_token / 1e9, 3) + " GB read per token; " + std::string(kernels.name) + ", " +
           std::to_string(pool.size()) + " threads, KV " + options.kv + ", depth " +
           std::to_string(options.depth) + ", " + std::to_string(options.repetitions) +
           " repetitions\n";
}

std::vector<TokenId> spread_tokens(size_t count, uint32_t vocab, uint32_t seed) {
    std::vector<TokenId> tokens(count);
    uint32_t state = seed;
    for (TokenId& token : tokens) {
        state = state * 1664525U + 1013904223U;
        token = static_cast<TokenId>((uint64_t{state} * vocab) >> 32);
    }
    return tokens;
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

Spread spread_of(std::vector<double> values) {
    std::ranges::sort(values);
    const size_t middle = values.size() / 2;
    const double median =
        values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    return {median, values.front(), values.back()};
}

Json to_json(const Spread& spread) {
    return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}};
}

std::string number(double value, int digits) {
    char text[40];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

std::string rate(double value) {
    return number(value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

std::string tokens_per_second(const Spread& spread) {
    return rate(spread.median) + " tok/s (min " + rate(spread.least) + ", max " +
           rate(spread.most) + ")";
}

}  // namespace app
