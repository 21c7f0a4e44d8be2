// The differentiable operations of the network that are written by hand: each replaces a chain of
// LibTorch operations whose temporaries would not fit the caches of a small CPU. Tensors are
// contiguous float32; the elementwise parts run on the calling thread, because the trainer gives
// each thread a slice of the batch.
#pragma once

#include <cstdint>
#include <vector>

#include <torch/autograd.h>
#include <torch/types.h>

namespace train {

// x [rows, dim] times rsqrt(mean(x^2) + epsilon) times gain [dim].
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& gain, double epsilon);

// Rotates the pairs (i, i + head_dim / 2) of x [batch, time, heads, head_dim] by
// position * base^(-2i / head_dim).
torch::Tensor rope(const torch::Tensor& x, double base);

// Causal attention with grouped queries: q [batch, time, heads, head_dim], k and v
// [batch, time, kv_heads, head_dim]; the result has the shape of q. Scores are cap * tanh(scale *
// q.k / cap). Recomputes the scores in the backward pass. REQUIRES: cap <= 80.
torch::Tensor capped_attention(const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, double scale, double cap);

// x [rows, in] times weight [out, in] transposed. With `bf16` the product is taken in bfloat16.
torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight, bool bf16);

// Rows ends[e - 1] .. ends[e] of x [rows, in] times weight[e] of [experts, out, in] transposed:
// [rows, out].
torch::Tensor grouped_product(const torch::Tensor& x, const torch::Tensor& weight,
                              const std::vector<int64_t>& ends, bool bf16);

// gelu_tanh(gate) * up of gate_up [rows, 2 * width], which holds gate, then up: [rows, width].
torch::Tensor gated_gelu(const torch::Tensor& gate_up);

// Sum over the rows of shares [rows] times the cross entropy of targets [rows] under
// softmax(scale * hidden [rows, dim] . embedding [vocab, dim]). Never holds all logits at once and
// skips rows whose share is 0.
torch::Tensor tied_cross_entropy(const torch::Tensor& hidden, const torch::Tensor& embedding,
                                 const torch::Tensor& targets, const torch::Tensor& shares,
                                 double scale, bool bf16);

}  // namespace train
