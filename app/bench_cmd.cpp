#include "app/bench_cmd.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/pool.h"
#include "core/base/token_id.h"
#include "core/formats/weight_file.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/kv/sequence.h"
#include "core/model/model.h"
#include "core/ops/probe.h"

namespace app {
namespace {

using core::Error;
using core::ErrorKind;
using core::TokenId;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens without meaning, but spread over the vocabulary and so over the experts.
std::vector<TokenId> spread_tokens(size_t count, uint32_t vocab, uint32_t seed) {
    std::vector<TokenId> tokens(count);
    uint32_t state = seed;
    for (TokenId& token : tokens) {
        state = state * 1664525U + 1013904223U;
        token = static_cast<TokenId>((uint64_t{state} * vocab) >> 32);
    }
    return tokens;
}

// Multiplies and adds that a prompt token needs in matrices; a token whose logits nobody wants
// needs no FFN in the last layer.
double prefill_operations(const core::ModelConfig& config) {
    double multiplies = 0;
    for (size_t i = 0; i < config.layers.size(); ++i) {
        const core::AttentionSpec& a = config.layers[i].attention;
        const core::FfnSpec& f = config.layers[i].ffn;
        multiplies += 2.0 * config.dim * a.head_dim * (a.heads + a.kv_heads);
        if (i + 1 == config.layers.size()) continue;
        const double widths =
            f.dense_width + f.shared_width + static_cast<double>(f.expert_width) * f.router.active;
        multiplies +=
            3.0 * config.dim * widths + static_cast<double>(config.dim) * f.router.experts;
    }
    return 2.0 * multiplies;
}

// True when most bytes of weights are multiplied as int8, so that the int8 peak is a measure.
bool mostly_quantized(const core::WeightFile& file) {
    uint64_t floats = 0;
    uint64_t all = 0;
    for (const core::TensorInfo& tensor : file.tensors()) {
        const bool is_float = tensor.type == core::DType::f32 || tensor.type == core::DType::f16 ||
                              tensor.type == core::DType::bf16;
        all += tensor.data.size();
        if (is_float) floats += tensor.data.size();
    }
    return floats * 2 < all;
}

// What one repetition saw. Rates are per second; zero where not measured.
struct Repetition {
    double prefill = 0;    // tokens
    double decode = 0;     // tokens
    double read = 0;       // bytes that the machine reads
    double int8_peak = 0;  // operations that the machine can do
};

class Bench {
  public:
    explicit Bench(const BenchOptions& options)
        : options_(options),
          kernels_(core::select_kernels(options.isa)),
          file_(core::open_weight_file(options.path)),
          pool_(options.threads),
          model_(core::Model::load(*file_, kernels_, pool_)),
          pages_(layout(), page_budget()),
          probe_(kernels_, pool_, options.probe_bytes),
          base_(pages_) {}

    // Fills the cache up to the depth and runs one step, so that the first repetition is like the
    // others.
    void warm_up() {
        const std::vector<TokenId> before = spread_tokens(options_.depth, config().vocab, 1);
        constexpr size_t kChunk = 512;
        for (size_t at = 0; at < before.size(); at += kChunk) {
            const size_t count = std::min(kChunk, before.size() - at);
            forward(base_, std::span(before).subspan(at, count), core::LogitRows::none);
        }
        core::Sequence sequence = base_.fork();
        const TokenId token = 0;
        forward(sequence, {&token, 1}, core::LogitRows::last);
    }

    Repetition repeat(uint32_t seed) {
        const core::Pool::Awake awake(pool_);
        Repetition seen;
        const double before = probe_.measure(options_.probe_seconds);
        seen.decode = decode(seed);
        const double after = probe_.measure(options_.probe_seconds);
        seen.read = (before + after) / 2;
        seen.prefill = prefill(seed);
        seen.int8_peak = core::measure_int8_peak(kernels_, pool_, options_.probe_seconds);
        return seen;
    }

    const core::ModelConfig& config() const { return model_->config(); }
    const core::Model& model() const { return *model_; }
    const core::WeightFile& file() const { return *file_; }
    const core::Kernels& kernels() const { return kernels_; }
    unsigned threads() const { return pool_.size(); }

  private:
    core::PageLayout layout() const {
        std::vector<core::KvLayerShape> shapes;
        for (const core::LayerSpec& layer : config().layers) {
            shapes.push_back({layer.attention.kv_heads, layer.attention.head_dim});
        }
        return {shapes, core::kv_type_from_name(options_.kv)};
    }

    // The tokens before, and one fork of them at a time with what it appends.
    uint64_t page_budget() const {
        const uint64_t tokens =
            uint64_t{options_.depth} + std::max({options_.prompt, options_.generate, 1U});
        return (tokens / core::kPagePositions + 3) * layout().page_bytes();
    }

    void forward(core::Sequence& sequence, std::span<const TokenId> tokens, core::LogitRows rows) {
        const core::Slice slice{.sequence = &sequence, .tokens = tokens, .logits = rows};
        model_->forward({&slice, 1}, logits_);
    }

    double prefill(uint32_t seed) {
        if (options_.prompt == 0) return 0;
        const auto tokens = spread_tokens(options_.prompt, config().vocab, seed);
        core::Sequence sequence = base_.fork();
        const Clock::time_point start = Clock::now();
        forward(sequence, tokens, core::LogitRows::last);
        return options_.prompt / seconds_since(start);
    }

    double decode(uint32_t seed) {
        if (options_.generate == 0) return 0;
        const auto tokens = spread_tokens(options_.generate, config().vocab, seed);
        core::Sequence sequence = base_.fork();
        const Clock::time_point start = Clock::now();
        for (const TokenId& token : tokens) {
            forward(sequence, {&token, 1}, core::LogitRows::last);
        }
        return options_.generate / seconds_since(start);
    }

    BenchOptions options_;
    const core::Kernels& kernels_;
    std::unique_ptr<core::WeightFile> file_;
    core::Pool pool_;
    std::unique_ptr<core::Model> model_;
    core::PagePool pages_;
    core::ReadProbe probe_;
    core::Sequence base_;  // `depth` tokens
    std::vector<float> logits_;
};

struct Spread {
    double median = 0;
    double least = 0;
    double most = 0;
};

// Of a quantity over the repetitions.
template <class Quantity>
Spread spread_of(const std::vector<Repetition>& repetitions, Quantity quantity) {
    std::vector<double> values;
    values.reserve(repetitions.size());
    for (const Repetition& repetition : repetitions) {
        values.push_back(quantity(repetition));
    }
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    const double median =
        values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    return {median, values.front(), values.back()};
}

struct Report {
    Spread prefill;            // tokens per second
    Spread decode;             // tokens per second
    double read = 0;           // median of the probe, bytes per second
    double int8_peak = 0;      // median of the probe, operations per second
    double decode_bytes = 0;   // per second, at the median
    double decode_share = 0;   // median over repetitions of the share in the same one
    double prefill_work = 0;   // operations per second, at the median
    double prefill_share = 0;  // as decode_share
    bool int8 = false;         // the int8 peak is a measure for these weights
};

Report evaluate(const Bench& bench, const std::vector<Repetition>& repetitions) {
    const auto bytes = static_cast<double>(bench.model().decode_bytes());
    const double operations = prefill_operations(bench.config());
    Report report;
    report.prefill = spread_of(repetitions, [](const Repetition& r) { return r.prefill; });
    report.decode = spread_of(repetitions, [](const Repetition& r) { return r.decode; });
    report.read = spread_of(repetitions, [](const Repetition& r) { return r.read; }).median;
    report.int8_peak =
        spread_of(repetitions, [](const Repetition& r) { return r.int8_peak; }).median;
    report.decode_bytes = report.decode.median * bytes;
    report.prefill_work = report.prefill.median * operations;
    report.decode_share = spread_of(repetitions, [&](const Repetition& r) {
                              return r.decode * bytes / r.read;
                          }).median;
    report.prefill_share = spread_of(repetitions, [&](const Repetition& r) {
                               return r.prefill * operations / r.int8_peak;
                           }).median;
    report.int8 = mostly_quantized(bench.file());
    return report;
}

Json to_json(const Spread& spread) {
    return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}};
}

void print_json(const BenchOptions& options, const Bench& bench, const Report& report,
                std::ostream& out) {
    Json json = {{"model", options.path},
                 {"family", bench.config().family},
                 {"isa", bench.kernels().name},
                 {"threads", bench.threads()},
                 {"kv", options.kv},
                 {"depth", options.depth},
                 {"repetitions", options.repetitions},
                 {"weight_bytes", bench.model().weight_bytes()},
                 {"decode_bytes_per_token", bench.model().decode_bytes()},
                 {"read_bytes_per_second", report.read},
                 {"int8_peak_per_second", report.int8_peak}};
    if (options.prompt > 0) {
        json["prefill"] = {{"tokens", options.prompt},
                           {"tokens_per_second", to_json(report.prefill)},
                           {"operations_per_second", report.prefill_work}};
        if (report.int8) json["prefill"]["share_of_int8_peak"] = report.prefill_share;
    }
    if (options.generate > 0) {
        json["decode"] = {{"tokens", options.generate},
                          {"tokens_per_second", to_json(report.decode)},
                          {"weight_bytes_per_second", report.decode_bytes},
                          {"share_of_read_bandwidth", report.decode_share}};
    }
    out << json.dump(2) << '\n';
}

std::string number(double value, int digits) {
    char text[40];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

// Three significant figures from 1 on.
std::string rate(double value) {
    return number(value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

std::string tokens_per_second(const Spread& spread) {
    return rate(spread.median) + " tok/s (min " + rate(spread.least) + ", max " +
           rate(spread.most) + ")";
}

void print_text(const BenchOptions& options, const Bench& bench, const Report& report,
                std::ostream& out) {
    constexpr double kGiga = 1e9;
    const auto weights = static_cast<double>(bench.model().weight_bytes());
    const auto per_token = static_cast<double>(bench.model().decode_bytes());
    out << bench.config().family << ", " << rate(weights / kGiga) << " GB of weights, "
        << number(per_token / kGiga, 3) << " GB read per token; " << bench.kernels().name << ", "
        << bench.threads() << " threads, KV " << options.kv << ", depth " << options.depth << ", "
        << options.repetitions << " repetitions\n";
    if (options.prompt > 0) {
        out << "prefill " << options.prompt << ": " << tokens_per_second(report.prefill) << ", "
            << rate(report.prefill_work / kGiga) << " GOPS";
        if (report.int8) {
            out << ", " << number(report.prefill_share * 100, 0) << " % of the int8 peak of "
                << rate(report.int8_peak / kGiga);
        }
        out << '\n';
    }
    if (options.generate > 0) {
        out << "decode " << options.generate << ": " << tokens_per_second(report.decode) << ", "
            << rate(report.decode_bytes / kGiga) << " GB/s of weights, "
            << number(report.decode_share * 100, 0) << " % of the read bandwidth of "
            << rate(report.read / kGiga) << '\n';
    }
}

void check(const BenchOptions& options) {
    if (options.repetitions == 0) {
        throw Error(ErrorKind::usage, "-r", "is 0", "give at least 1 repetition");
    }
    if (options.prompt == 0 && options.generate == 0) {
        throw Error(ErrorKind::usage, "-p and -n", "are both 0", "give one of them a length");
    }
}

void check_context(const BenchOptions& options, const core::ModelConfig& config) {
    const uint64_t tokens = uint64_t{options.depth} + std::max(options.prompt, options.generate);
    if (tokens > config.context) {
        throw Error(ErrorKind::context, "-d, -p and -n",
                    "need " + std::to_string(tokens) + " positions, the model was made for " +
                        std::to_string(config.context),
                    "give smaller ones");
    }
}

}  // namespace

int run_bench(const BenchOptions& options, std::ostream& out) {
    check(options);
    Bench bench(options);
    check_context(options, bench.config());
    bench.warm_up();
    std::vector<Repetition> repetitions;
    for (unsigned i = 0; i < options.repetitions; ++i) {
        repetitions.push_back(bench.repeat(i + 2));
    }
    const Report report = evaluate(bench, repetitions);
    if (options.json) {
        print_json(options, bench, report, out);
    } else {
        print_text(options, bench, report, out);
    }
    return 0;
}

}  // namespace app
