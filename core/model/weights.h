// The tensors of a model, bound by name and row range and packed for the kernels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/pool.h"
#include "core/formats/weight_file.h"
#include "core/model/config.h"
#include "core/model/model.h"
#include "core/tensor/matrix.h"

namespace core {

// down(activation(gate x) * up x). Matrices are empty where the layer has no such branch.
struct BranchWeights {
    Matrix gate;  // [width, dim]
    Matrix up;    // [width, dim]
    Matrix down;  // [dim, width]
};

// Vectors are empty where the layer has no such step.
struct LayerWeights {
    std::vector<float> attention_norm;       // [dim]
    std::vector<float> attention_post_norm;  // [dim]
    std::vector<float> ffn_norm;             // [dim]
    std::vector<float> ffn_post_norm;        // [dim]
    std::vector<float> q_bias;               // [heads * head_dim]
    std::vector<float> k_bias;               // [kv_heads * head_dim]
    std::vector<float> v_bias;
    std::vector<float> o_bias;  // [dim]
    std::vector<float> q_norm;  // [head_dim]
    std::vector<float> k_norm;
    std::vector<float> router;  // [experts, dim]
    Matrix q;                   // [heads * head_dim, dim]
    Matrix k;                   // [kv_heads * head_dim, dim]
    Matrix v;
    Matrix o;  // [dim, heads * head_dim]
    BranchWeights dense;
    BranchWeights shared;            // the expert that every token uses
    std::vector<float> shared_gate;  // [dim]
    std::vector<BranchWeights> experts;
};

struct Weights {
    Matrix embedding;  // [vocab, dim]
    Matrix output;     // [vocab, dim]; empty when the embedding serves
    std::vector<float> output_norm;
    std::vector<LayerWeights> layers;

    const Matrix& output_matrix() const { return output.empty() ? embedding : output; }
};

// Finds and checks every tensor, then packs in parallel, releasing the file's pages behind it, so
// that at most one copy of the weights is in memory. Errors as Model::load.
Weights load_weights(const WeightFile& file, const ModelConfig& config, Pool& pool,
                     const LoadOptions& options);

// Finds and checks every tensor without packing any; reads vectors only. Errors as Model::load.
void check_tensors(const WeightFile& file, const ModelConfig& config);

// Bytes that a tensor takes in memory once it is loaded. REQUIRES: a computable type.
uint64_t packed_bytes(const TensorInfo& tensor);

// Bytes of packed weights.
uint64_t weight_bytes(const Weights& weights);
// Bytes that a pass reads in which experts[l] experts of layer l have a token, and those that one
// decoded token reads.
uint64_t read_bytes(const Weights& weights, std::span<const uint32_t> experts);
uint64_t decode_bytes(const Weights& weights, const ModelConfig& config);

}  // namespace core
