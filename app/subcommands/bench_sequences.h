// `moxie bench --sequences N`: what decoding N sequences in one pass gains over one at a time.
#pragma once

#include <iosfwd>

#include "app/subcommands/bench_cmd.h"

namespace app {

// Decodes `generate` tokens of `sequences` different sequences in one ragged batch, a step of one
// sequence alone between every two steps, so that a drift of the machine hits both. Prints tokens
// per second of both; their ratio, the gain; what a step reads: experts, from the router's counts,
// and bytes of weights and KV; the gain that these bytes allow, a machine given that does nothing
// but read; and the share of it that was reached. Returns 0 or throws core::Error.
int run_bench_sequences(const BenchOptions& options, std::ostream& out);

}  // namespace app
