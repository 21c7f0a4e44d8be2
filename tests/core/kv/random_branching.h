// Conversations that are appended to, edited in the middle, forked, dropped, evicted and restarted
// at random, against a simple model: what has been read, as plain lists of tokens.
#pragma once

#include <cstdint>

#include "core/tensor/kv_block.h"

namespace core {

struct BranchingOptions {
    uint32_t steps = 0;
    uint64_t seed = 1;
    KvType type = KvType::f16;
    bool disk = true;
};

// Fails the running test where a row that comes from the cache is not what computing it gives,
// where more is computed than follows the first difference, or where a page is left over at the
// end.
void branch_at_random(const BranchingOptions& options);

}  // namespace core
