// Products of packed weights with rows of activations: y[t, r] = sum over k of W[r, k] x[t, k].
//
// Activations are prepared once per weight kind and shared by every matrix that reads them
// (q, k, v; gate and up). Several products run in one parallel region, because each join costs more
// than a small matrix.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"
#include "core/tensor/matrix.h"

namespace core {

// Set by a client, read by pool tasks: when true the remaining tasks do nothing.
using CancelFlag = std::atomic<bool>;

// Rows of activations in the form that weights of a type want: int8 blocks of 32 with scale and sum
// for the quantized types, float32 for F32, F16, BF16. Reused between calls; grows, never shrinks.
class Activations {
  public:
    // Copies or quantizes x [tokens, cols], rows `stride` floats apart.
    // `rows` optionally names the rows of x to take, in order (experts gather their tokens).
    void assign(const Kernels& kernels, DType weight_type, const float* x, size_t stride,
                uint32_t tokens, uint32_t cols, std::span<const uint32_t> rows = {});

    // The same in two steps, for callers with many rows: resize(), then assign_row() once for each
    // token, from any tasks.
    void resize(DType weight_type, uint32_t tokens, uint32_t cols);
    void assign_row(const Kernels& kernels, uint32_t token, const float* x);

    uint32_t tokens() const { return tokens_; }
    uint32_t cols() const { return cols_; }
    bool quantized() const { return quantized_; }
    ActivationView view() const;

  private:
    static constexpr uint32_t kBlock = 32;

    uint32_t tokens_ = 0;
    uint32_t cols_ = 0;
    bool quantized_ = false;
    size_t scales_at_ = 0;  // byte offsets in storage_
    size_t sums_at_ = 0;
    size_t half_sums_at_ = 0;
    size_t capacity_ = 0;
    std::shared_ptr<std::byte> storage_;  // 64-byte aligned
};

// One product. y is [tokens, weight rows], rows `y_stride` floats apart.
struct MatmulJob {
    const Matrix* weights = nullptr;
    const Activations* x = nullptr;
    float* y = nullptr;
    size_t y_stride = 0;
};

// Runs all jobs in one region of the pool. When `cancel` becomes true, y is garbage.
// REQUIRES: x of each job was assigned for its weights' type and has weights->cols() columns.
void matmul(const Kernels& kernels, Pool& pool, std::span<const MatmulJob> jobs,
            const CancelFlag* cancel = nullptr);

}  // namespace core
