#include "app/subcommands/bench_cmd.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "app/subcommands/bench_resume.h"
#include "app/subcommands/bench_rig.h"
#include "app/subcommands/bench_sequences.h"
#include "core/base/error.h"

namespace app {
namespace {

using core::Error;
using core::ErrorKind;
using core::TokenId;
using Clock = std::chrono::steady_clock;

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

double prefill(BenchRig& rig, unsigned count, uint32_t seed) {
    if (count == 0) return 0;
    const auto tokens = spread_tokens(count, rig.config().vocab, seed);
    core::Sequence sequence = rig.base.fork();
    const Clock::time_point start = Clock::now();
    rig.forward(sequence, tokens, core::LogitRows::last);
    return count / seconds_since(start);
}

double decode(BenchRig& rig, unsigned count, uint32_t seed) {
    if (count == 0) return 0;
    const auto tokens = spread_tokens(count, rig.config().vocab, seed);
    core::Sequence sequence = rig.base.fork();
    const Clock::time_point start = Clock::now();
    for (const TokenId& token : tokens) {
        rig.forward(sequence, {&token, 1}, core::LogitRows::last);
    }
    return count / seconds_since(start);
}

Repetition repeat(BenchRig& rig, const BenchOptions& options, uint32_t seed) {
    const core::Pool::Awake awake(rig.pool);
    Repetition seen;
    const double before = rig.probe.measure(options.probe_seconds);
    seen.decode = decode(rig, options.generate, seed);
    const double after = rig.probe.measure(options.probe_seconds);
    seen.read = (before + after) / 2;
    seen.prefill = prefill(rig, options.prompt, seed);
    seen.int8_peak = core::measure_int8_peak(rig.kernels, rig.pool, options.probe_seconds);
    return seen;
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

Report evaluate(const BenchRig& rig, const std::vector<Repetition>& repetitions) {
    const auto bytes = static_cast<double>(rig.model->decode_bytes());
    const double operations = prefill_operations(rig.config());
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
    report.int8 = mostly_quantized(*rig.file);
    return report;
}

void print_json(const BenchOptions& options, const BenchRig& rig, const Report& report,
                std::ostream& out) {
    Json json = rig.describe(options);
    json["read_bytes_per_second"] = report.read;
    json["int8_peak_per_second"] = report.int8_peak;
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

void print_text(const BenchOptions& options, const BenchRig& rig, const Report& report,
                std::ostream& out) {
    constexpr double kGiga = 1e9;
    out << rig.headline(options);
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

}  // namespace

int run_bench(const BenchOptions& options, std::ostream& out) {
    check(options);
    if (options.resume) return run_bench_resume(options, out);
    if (options.sequences > 1) return run_bench_sequences(options, out);
    BenchRig rig(options, std::max({options.prompt, options.generate, 1U}), 1);
    rig.warm_up(options.depth);
    std::vector<Repetition> repetitions;
    for (unsigned i = 0; i < options.repetitions; ++i) {
        repetitions.push_back(repeat(rig, options, i + 2));
    }
    const Report report = evaluate(rig, repetitions);
    if (options.json) {
        print_json(options, rig, report, out);
    } else {
        print_text(options, rig, report, out);
    }
    return 0;
}

}  // namespace app
