// Every buffer of a forward pass, sized once for the largest batch so far; a smaller batch uses
// their beginnings.
#pragma once

#include <cstdint>
#include <vector>

#include "core/model/config.h"
#include "core/ops/attention.h"
#include "core/ops/elementwise.h"
#include "core/ops/moe.h"

namespace core {

class Workspace {
  public:
    explicit Workspace(const ModelConfig& config);

    // Makes room for a batch of `rows` tokens. Invalidates pointers into the buffers.
    void reserve(uint32_t rows);

    std::vector<uint32_t> positions;  // [rows]
    std::vector<uint32_t> slice_of;   // [rows]: which slice a row belongs to
    std::vector<float> x;             // [rows, dim]: the residual stream
    std::vector<float> normed;        // [rows, dim]: input of a branch
    std::vector<float> branch;        // [rows, dim]: its output
    std::vector<float> q;             // [rows, heads * head_dim]
    std::vector<float> k;             // [rows, kv_heads * head_dim]
    std::vector<float> v;
    std::vector<float> attended;       // [rows, heads * head_dim]
    std::vector<float> probabilities;  // [rows, experts]
    std::vector<float> dense;          // [rows, dim]: output of the dense FFN
    std::vector<float> shared;         // [rows, dim]: output of the shared expert
    std::vector<float> shared_gates;   // [rows]: what it is multiplied by
    std::vector<float> expert_rows;    // [rows * active, dim]: outputs of the experts

    // One table for each different rotation among the layers.
    std::vector<RotationTable> rotations;
    std::vector<uint32_t> rotation_of;           // [layers]: index into `rotations`
    std::vector<const RopeSpec*> rotation_spec;  // [rotations]

    MatmulInput qkv_input;
    MatmulInput attended_input;
    MatmulInput output_input;
    AttentionScratch attention_scratch;
    Routing routing;
    std::vector<GatedBranch> branches;
    BranchBuffers branch_buffers;
    std::vector<MatmulJob> jobs;

  private:
    // Floats per row of each buffer: the largest layer's.
    struct Widths {
        size_t dim = 0;
        size_t q = 0;
        size_t kv = 0;
        size_t experts = 0;
        size_t dense = 0;
        size_t shared = 0;
        size_t expert_rows = 0;
    };
    Widths widths_;
    uint32_t rows_ = 0;
};

}  // namespace core
