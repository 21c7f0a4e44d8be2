// Steps that treat every row of activations by itself, and the rotation tables they share.
//
// A row's result depends on that row alone, so rows may be split over threads in any way.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"
#include "core/kernels/vector.h"
#include "core/ops/matmul.h"

namespace core {

// Below this many elements a join costs more than the work: a region costs some microseconds, in
// which one core does about this much.
inline constexpr size_t kElementsWorthAJoin = 16384;

// Calls body(row) for each row [0, rows), on the pool when the work is worth it. `elements` is
// what one row touches.
template <class Body>
void for_rows(Pool& pool, uint32_t rows, size_t elements, Body&& body) {
    if (pool.size() == 1 || rows == 1 || rows * elements < kElementsWorthAJoin) {
        for (uint32_t row = 0; row < rows; ++row)
            body(row);
        return;
    }
    const size_t per_task = (kElementsWorthAJoin / 2 + elements - 1) / elements;
    pool.run((rows + per_task - 1) / per_task, [&](size_t task, unsigned) {
        const auto end = static_cast<uint32_t>(std::min<size_t>(rows, (task + 1) * per_task));
        for (auto row = static_cast<uint32_t>(task * per_task); row < end; ++row)
            body(row);
    });
}

// Rows of activations in the forms that the matrices which read them want: floats, int8 or both.
// First begin() and want() on one thread, then fill_row() once for each row from any tasks.
class MatmulInput {
  public:
    // Forgets what was there. Keeps the memory.
    void begin(uint32_t tokens, uint32_t cols);

    // The form for weights of a type; its rows are valid when they have been filled.
    const Activations* want(DType weight_type);

    // x: [cols]
    void fill_row(const Kernels& kernels, uint32_t token, const float* x);

    uint32_t tokens() const { return tokens_; }

  private:
    uint32_t tokens_ = 0;
    uint32_t cols_ = 0;
    bool wants_floats_ = false;
    bool wants_quantized_ = false;
    Activations floats_;
    Activations quantized_;
};

// cos and sin of every rotation angle of a pass.
class RotationTable {
  public:
    // angle[row][i] = positions[row] * inverse_frequencies[i]; both cos and sin are multiplied by
    // `magnitude`. Angles are computed in double: in float they are off by 1e-3 at position 10^5.
    void assign(std::span<const uint32_t> positions, std::span<const float> inverse_frequencies,
                float magnitude);

    uint32_t half() const { return half_; }  // pairs per head
    const float* cos(uint32_t row) const { return values_.data() + size_t{row} * 2 * half_; }
    const float* sin(uint32_t row) const { return cos(row) + half_; }

  private:
    uint32_t half_ = 0;
    std::vector<float> values_;  // [rows][cos, sin][half]
};

// Rotates each of `heads` heads, `head_dim` floats apart. `adjacent`: pairs (2i, 2i + 1), else
// (i, i + half).
void rotate_heads(const VectorKernels& kernels, const RotationTable& table, uint32_t row,
                  bool adjacent, std::span<float> heads, uint32_t head_dim);

}  // namespace core
