// `moxie bench`: how fast a model runs, beside what the machine can do at the same time.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>

namespace app {

struct BenchOptions {
    std::string path;          // a weight file; needs no vocabulary
    unsigned prompt = 512;     // tokens of a prefill; 0 = do not measure
    unsigned generate = 128;   // decode steps; 0 = do not measure
    unsigned depth = 0;        // tokens already in the cache before either
    unsigned threads = 0;      // 0 = physical cores
    unsigned repetitions = 5;  // at least 1
    unsigned sequences = 1;    // more: decode of so many together instead of prefill and decode
    bool resume = false;       // the first token after a restart instead
    std::string isa = {};      // "" = the best tier
    std::string kv = "f16";
    bool json = false;
    double probe_seconds = 0.2;               // of each probe, three per repetition
    size_t probe_bytes = size_t{1280} << 20;  // memory that the read probe walks
};

// Prints prefill and decode in tokens per second: median, least and most of the repetitions; GB/s
// of weights read by decode and operations per second of prefill; and which share of the machine's
// read bandwidth and int8 peak that is, probed before and after within each repetition, so that a
// drift of the machine hits both. With several sequences or `resume` what
// app/subcommands/bench_sequences.h and app/subcommands/bench_resume.h say. Returns 0 or throws
// core::Error.
int run_bench(const BenchOptions& options, std::ostream& out);

}  // namespace app
