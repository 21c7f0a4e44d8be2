// Quantizers of the K-quants: super-blocks of 256 values, each sub-block with a factor (and a
// minimum) of few bits that multiplies the super-block's own.
//
// Our own search and not ggml's: the bits of a file differ from those of the field's tools, its
// errors do not (tests/core/tensor/quantize_test.cpp holds them against the plain types).
#pragma once

#include <span>

#include "core/tensor/block_parts.h"

namespace core {

// REQUIRES: values.size() == kSuperBlock.
void encode_q4_k(std::span<const float> values, BlockParts& parts);
void encode_q5_k(std::span<const float> values, BlockParts& parts);
void encode_q6_k(std::span<const float> values, BlockParts& parts);

}  // namespace core
