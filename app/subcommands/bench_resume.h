// `moxie bench --resume`: the first token of a conversation that was read before the program ended.
#pragma once

#include <iosfwd>

#include "app/subcommands/bench_cmd.h"

namespace app {

// Reads a conversation of `prompt` tokens with an engine that keeps its pages in a folder of its
// own, then starts `repetitions` engines anew on that folder and asks for the same conversation.
// Before each the files are dropped from the system's cache and read once plainly, which is what
// the disk needs for these bytes, and dropped again. Prints the time to the first token of both,
// their ratio, the bytes restored and the rates. Returns 0 or throws core::Error.
int run_bench_resume(const BenchOptions& options, std::ostream& out);

}  // namespace app
