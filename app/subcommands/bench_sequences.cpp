#include "app/subcommands/bench_sequences.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "app/subcommands/bench_rig.h"
#include "core/base/error.h"

namespace app {
namespace {

using core::Slice;
using core::TokenId;
using Clock = std::chrono::steady_clock;

// What decode steps took and read.
struct Steps {
    uint64_t tokens = 0;
    uint64_t steps = 0;
    double seconds = 0;
    double bytes = 0;
    double experts = 0;  // in all layers, each counted once per step

    double rate() const { return static_cast<double>(tokens) / seconds; }
    double tokens_per_byte() const { return static_cast<double>(tokens) / bytes; }
    double per_step(double sum) const { return sum / static_cast<double>(steps); }
};

// One repetition.
struct Comparison {
    Steps alone;
    Steps together;
    double read = 0;  // bytes per second that the machine reads

    double gain() const { return together.rate() / alone.rate(); }
    double allowed() const { return together.tokens_per_byte() / alone.tokens_per_byte(); }
};

class SequencesBench {
  public:
    explicit SequencesBench(const BenchOptions& options)
        : options_(options),
          rig_(options, uint64_t{options.generate} * (options.sequences + 1),
               options.sequences + 1) {
        rig_.model->count_experts(&use_);
        rig_.warm_up(options.depth);
    }

    Comparison repeat(uint32_t seed) {
        const core::Pool::Awake awake(rig_.pool);
        Comparison seen;
        const double before = rig_.probe.measure(options_.probe_seconds);
        decode(seed, seen);
        const double after = rig_.probe.measure(options_.probe_seconds);
        seen.read = (before + after) / 2;
        return seen;
    }

    const BenchRig& rig() const { return rig_; }

  private:
    // A sequence with tokens of its own.
    struct Line {
        std::vector<TokenId> tokens;
        core::Sequence sequence;
    };

    // Step i of the lone sequence runs the same token as the first of the others, so that both read
    // the same experts for it.
    void decode(uint32_t seed, Comparison& seen) {
        std::vector<Line> lines;
        for (unsigned s = 0; s <= options_.sequences; ++s) {
            const uint32_t line_seed = seed + 7919U * (s == 0 ? 0 : s - 1);
            lines.push_back({spread_tokens(options_.generate, rig_.config().vocab, line_seed),
                             rig_.base.fork()});
        }
        const std::span<Line> all(lines);
        for (unsigned i = 0; i < options_.generate; ++i) {
            step(all.first(1), i, seen.alone);
            step(all.subspan(1), i, seen.together);
        }
    }

    // Runs token `index` of each line.
    void step(std::span<Line> lines, unsigned index, Steps& steps) {
        std::vector<Slice> batch;
        for (Line& line : lines) {
            batch.push_back({.sequence = &line.sequence,
                             .tokens = std::span(line.tokens).subspan(index, 1),
                             .logits = core::LogitRows::last});
        }
        for (auto& layer : use_.counts) {
            std::ranges::fill(layer, 0);
        }
        const Clock::time_point start = Clock::now();
        rig_.model->forward(batch, rig_.logits);
        steps.seconds += seconds_since(start);
        steps.tokens += lines.size();
        ++steps.steps;
        steps.bytes += static_cast<double>(rig_.model->read_bytes(use_)) + kv_bytes(lines);
        for (const auto& layer : use_.counts) {
            steps.experts += static_cast<double>(
                std::ranges::count_if(layer, [](uint64_t tokens) { return tokens != 0; }));
        }
    }

    // Every sequence reads its own past, shared pages or not.
    double kv_bytes(std::span<const Line> lines) const {
        const double position = static_cast<double>(rig_.pages.layout().page_bytes()) /
                                static_cast<double>(core::kPagePositions);
        double bytes = 0;
        for (const Line& line : lines) {
            bytes += line.sequence.length() * position;
        }
        return bytes;
    }

    BenchOptions options_;
    BenchRig rig_;
    core::ExpertUse use_;
};

struct Side {
    Spread rate;         // tokens per second
    double bytes = 0;    // per step, mean
    double experts = 0;  // per step, mean
    double read_share = 0;
};

struct Report {
    Side alone;
    Side together;
    double read = 0;  // median of the probe, bytes per second
    Spread gain;
    Spread allowed;
    Spread share;
};

Side evaluate(const std::vector<Comparison>& seen, Steps Comparison::*side) {
    const auto median = [&](auto quantity) { return spread_of(seen, quantity).median; };
    return {
        .rate = spread_of(seen, [&](const Comparison& c) { return (c.*side).rate(); }),
        .bytes = median([&](const Comparison& c) { return (c.*side).per_step((c.*side).bytes); }),
        .experts =
            median([&](const Comparison& c) { return (c.*side).per_step((c.*side).experts); }),
        .read_share = median(
            [&](const Comparison& c) { return (c.*side).bytes / (c.*side).seconds / c.read; })};
}

Report evaluate(const std::vector<Comparison>& seen) {
    return {.alone = evaluate(seen, &Comparison::alone),
            .together = evaluate(seen, &Comparison::together),
            .read = spread_of(seen, [](const Comparison& c) { return c.read; }).median,
            .gain = spread_of(seen, [](const Comparison& c) { return c.gain(); }),
            .allowed = spread_of(seen, [](const Comparison& c) { return c.allowed(); }),
            .share = spread_of(seen, [](const Comparison& c) { return c.gain() / c.allowed(); })};
}

Json to_json(const Side& side) {
    return {{"tokens_per_second", to_json(side.rate)},
            {"experts_per_step", side.experts},
            {"bytes_per_step", side.bytes},
            {"share_of_read_bandwidth", side.read_share}};
}

void print_json(const BenchOptions& options, const BenchRig& rig, const Report& report,
                std::ostream& out) {
    Json json = rig.describe(options);
    json["read_bytes_per_second"] = report.read;
    json["steps"] = options.generate;
    json["sequences"] = options.sequences;
    json["alone"] = to_json(report.alone);
    json["together"] = to_json(report.together);
    json["gain"] = to_json(report.gain);
    json["gain_allowed"] = to_json(report.allowed);
    json["share_of_gain"] = to_json(report.share);
    out << json.dump(2) << '\n';
}

void print_side(const std::string& who, const Side& side, uint64_t experts, std::ostream& out) {
    out << who << ": " << tokens_per_second(side.rate) << ", a step reads ";
    if (experts > 0) {
        out << number(side.experts, 1) << " of " << experts << " experts, ";
    }
    out << number(side.bytes / 1e9, 3) << " GB, at " << number(side.read_share * 100, 0)
        << " % of the read bandwidth\n";
}

void print_text(const BenchOptions& options, const BenchRig& rig, const Report& report,
                std::ostream& out) {
    uint64_t experts = 0;
    for (const core::LayerSpec& layer : rig.config().layers) {
        experts += layer.ffn.router.experts;
    }
    out << rig.headline(options) << "read bandwidth " << rate(report.read / 1e9) << " GB/s\n";
    print_side("1 sequence", report.alone, experts, out);
    print_side(std::to_string(options.sequences) + " sequences", report.together, experts, out);
    out << "gain " << number(report.gain.median, 2) << " (min " << number(report.gain.least, 2)
        << ", max " << number(report.gain.most, 2) << "), the bytes read allow "
        << number(report.allowed.median, 2) << ": " << number(report.share.median * 100, 0)
        << " % of it reached\n";
}

}  // namespace

int run_bench_sequences(const BenchOptions& options, std::ostream& out) {
    if (options.generate == 0) {
        throw core::Error(core::ErrorKind::usage, "-n", "is 0", "give it a number of steps");
    }
    SequencesBench bench(options);
    std::vector<Comparison> seen;
    for (unsigned i = 0; i < options.repetitions; ++i) {
        seen.push_back(bench.repeat(i + 2));
    }
    const Report report = evaluate(seen);
    if (options.json) {
        print_json(options, bench.rig(), report, out);
    } else {
        print_text(options, bench.rig(), report, out);
    }
    return 0;
}

}  // namespace app
