// What a model's results depend on, as a hash: pages of the KV cache made by one model are never
// found by another.
#pragma once

#include <cstdint>

#include "core/base/hash.h"
#include "core/formats/weight_file.h"
#include "core/model/config.h"

namespace core {

// Changes whenever kernels, ops or forward() change a bit of the logits; a test holds it against a
// committed hash of a fixed model's logits (tests/core/model/numerics_isa_test.cpp).
inline constexpr uint32_t kNumericsVersion = 1;

// Of the weights: metadata, names, types and shapes of all tensors, and the first and the last
// 64 KiB of each (where a file holds a tensor in another form, its first and its last row). Reading
// everything would take as long as loading it. Call it before pages of the file are released.
Hash128 weights_identity(const WeightFile& file);

// Of weights and of the configuration that is made of them.
Hash128 model_identity(const WeightFile& file, const ModelConfig& config);

}  // namespace core
