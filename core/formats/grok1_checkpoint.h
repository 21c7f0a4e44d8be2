// The checkpoint folder of Grok-1, `ckpt-0`: 770 pickles, one tensor each, known by their number.
//
// Appears as a file with GGUF's names, shapes and metadata (architecture `grok`), so that nothing
// else knows of it: matrices lie [in, out] in the files and are transposed by read_rows(), int8
// weights and their bf16 scales become I8C without loss. Source: xai-org/grok-1 checkpoint.py,
// which numbers tensors by jax.tree_flatten.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/formats/weight_file.h"

namespace core {

namespace grok1 {

inline constexpr uint32_t kLayers = 64;
inline constexpr uint32_t kDim = 6144;
inline constexpr uint32_t kHeadDim = 128;
inline constexpr uint32_t kTensorsOfModel = 2;   // embedding, final norm
inline constexpr uint32_t kTensorsOfLayer = 12;  // in alphabetical order of their module paths
inline constexpr uint32_t kMaxLayers = 80;       // mappings are limited to about 1000

}  // namespace grok1

// What the files do not say.
struct Grok1Constants {
    uint32_t head_dim = grok1::kHeadDim;
    uint32_t active_experts = 2;
    uint32_t context = 8192;
    // Of a model with Grok-1's dimension; another number is an incomplete download.
    uint32_t layers = grok1::kLayers;
};

// The folder itself or its `ckpt-0`, whichever holds such a checkpoint; nothing when neither does.
std::optional<std::string> find_grok1_checkpoint(const std::string& folder);

// Opens and checks every file against its place in the model, reading headers only. Smaller models
// of the same form are accepted. Throws Error(model_unusable).
std::unique_ptr<WeightFile> open_grok1_checkpoint(const std::string& folder,
                                                  const Grok1Constants& constants = {});

// Number of the layer at each rank: files lie in the order of the names decoder_layer_0,
// decoder_layer_1, decoder_layer_10 ..., sorted as text.
std::vector<uint32_t> grok1_layer_order(uint32_t layers);

}  // namespace core
