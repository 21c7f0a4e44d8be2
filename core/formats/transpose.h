// Transposition of what a checkpoint stores [in, out] into rows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace core {

// out[row][k] = in[k][row] for `rows` rows of `depth` elements; a line of `in` has `stride`
// elements. REQUIRES: an element has 1, 2 or 4 bytes.
void transpose(size_t element_bytes, const std::byte* in, uint64_t stride, uint64_t rows,
               uint64_t depth, std::byte* out);

}  // namespace core
