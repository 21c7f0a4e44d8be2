// Mixture of experts: which experts a token uses, and gated feed-forward branches over subsets of
// the tokens (each expert is one; a dense FFN is one over all tokens).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"
#include "core/kernels/vector.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/tensor/matrix.h"

namespace core {

struct Router {
    const float* weights = nullptr;  // [experts, dim]
    uint32_t experts = 0;
    uint32_t active = 0;
    float softcap = 0.0F;      // on the logits, before the softmax over all experts; 0 = off
    bool renormalize = false;  // divide the chosen probabilities by their sum
};

// Probabilities of all experts for one row x [dim]: float32 products in the order of
// VectorKernels::dot, cap, softmax. `probabilities`: [experts].
void router_probabilities(const VectorKernels& kernels, const Router& router, const float* x,
                          uint32_t dim, float* probabilities);

// sigmoid(w . x), computed as the first of softmax(w . x, 0): the kernel's exponential, the same
// bits in every tier. w, x: [dim].
float sigmoid_gate(const VectorKernels& kernels, const float* w, const float* x, uint32_t dim);

// The experts of each row, and the rows of each expert.
struct Routing {
    uint32_t active = 0;
    std::vector<uint32_t> experts;  // [rows, active], ascending ids in a row
    std::vector<float> weights;     // [rows, active]
    std::vector<uint32_t> places;   // [rows, active]: index into `rows`
    std::vector<uint32_t> begin;    // [experts + 1]: expert e has rows[begin[e], begin[e + 1])
    std::vector<uint32_t> rows;     // [rows * active], ascending within an expert

    // Top-k of each row: probability descending, then id ascending.
    // probabilities: [rows, router.experts]
    void assign(const Router& router, std::span<const float> probabilities);
};

enum class GateFunction : uint8_t { gelu_tanh, silu };

// out = down(gate_function(gate x) * up x) for some rows of x.
struct GatedBranch {
    const Matrix* gate = nullptr;
    const Matrix* up = nullptr;
    const Matrix* down = nullptr;
    std::span<const uint32_t> rows;  // of x, ascending; empty: all rows
    float* out = nullptr;            // [rows, dim]
};

// Memory of gated_branches, reused between calls.
struct BranchBuffers {
    // A branch's rows in the list of all branches' rows, and its part of `gate` and `up`.
    struct Plan {
        uint32_t tokens = 0;
        uint32_t first_row = 0;
        size_t offset = 0;  // floats
        bool all = false;   // takes every row of x, in order
    };
    std::vector<Plan> plans;
    MatmulInput all;                    // every row of x, shared by the branches that take them
    std::vector<MatmulInput> gathered;  // the rows of x of the others
    std::vector<MatmulInput> gated;     // activation(gate) * up, as input of the down products
    std::vector<float> gate;            // [branches, rows, width], one branch after the other
    std::vector<float> up;
    std::vector<MatmulJob> jobs;
};

// What the branches of a layer share.
struct BranchInput {
    std::span<const float> x;  // [rows, dim]
    uint32_t dim = 0;
    GateFunction function = GateFunction::silu;
};

// Runs all branches with two matrix regions: every gate and up, then every down.
// When `cancel` becomes true the outputs are garbage.
void gated_branches(const Kernels& kernels, Pool& pool, std::span<const GatedBranch> branches,
                    const BranchInput& input, BranchBuffers& buffers, const CancelFlag* cancel);

}  // namespace core
