// `moxie kv`: what the KV cache directory holds, without a model.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace app {

struct KvOptions {
    std::string directory;
    bool json = false;
    uint64_t budget = 0;  // bytes that the directory may hold; 0 = not known
};

// Prints the pages of the directory by root (a model, a KV type and a scope) and by line: a way
// from the root to a page that nothing continues, which is the past of a conversation or of a
// branch. Pages that lines share are on disk once; how many are, and what the lines would take
// without, is told, and beside the total the budget. A directory that is not there is an empty one.
// Returns 0.
int run_kv(const KvOptions& options, std::ostream& out);

}  // namespace app
