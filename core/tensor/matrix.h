// Immutable weight matrices, packed for the kernels.
//
// y = W x with W [rows, cols]. Rows are grouped into panels of 16, interleaved so that a SIMD lane
// is an output row; there is no horizontal reduction anywhere, and a product of one row of
// activations and of many gives the same bits (docs/architecture.md, "Numbers").
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/tensor/dtype.h"

namespace core {

inline constexpr uint32_t kPanelRows = 16;

// Rows [begin, end) of a tensor: weights are bound by range, not as whole matrices, so that a
// machine of several can hold its share (roadmap: several machines).
struct RowRange {
    uint32_t begin = 0;
    uint32_t end = 0;
    uint32_t size() const { return end - begin; }
};

// What pack() reads: row-major storage blocks as they lie in a file.
struct MatrixSource {
    DType type = DType::f32;
    uint32_t rows = 0;                       // output dimension
    uint32_t cols = 0;                       // input dimension; a multiple of the type's block
    std::span<const std::byte> data = {};    // [rows, cols] in storage blocks
    std::span<const std::byte> scales = {};  // I8C: BF16 [rows, groups], groups contiguous per row
    uint32_t scale_groups = 0;  // I8C: column groups; cols / groups is a multiple of 32
};

// Layout of one panel (16 rows), k ascending. Missing rows of the last panel are zero bytes.
// Every vector of weights starts on a cache line; hence scales lie two blocks to a line.
//
// F32, F16, BF16: per column, 16 values in storage type.
//
// Q8_0: per 64 columns, 16 f16 scales of the first 32 and 16 of the second; then per 4 columns
// 16 rows x 4 bytes (w + 128). An odd last block has its line of scales, half of it zero.
//
// Q4_0: the same scales; then per 32 columns 4 vectors of 64 bytes: byte (row, j) of vector g holds
// column 4g + j in its low nibble and column 16 + 4g + j in its high nibble (w + 8).
//
// I8C: per column group, the bytes as in Q8_0, then a line with the group's 16 bf16 scales.
//
// The other quantized types: panel_layout.h.
class Matrix {
  public:
    Matrix() = default;

    DType type() const { return type_; }
    uint32_t rows() const { return rows_; }
    uint32_t cols() const { return cols_; }
    uint32_t panels() const { return (rows_ + kPanelRows - 1) / kPanelRows; }
    size_t panel_bytes() const { return panel_bytes_; }
    size_t bytes() const { return panel_bytes_ * panels(); }
    uint32_t scale_groups() const { return scale_groups_; }

    // 64-byte aligned start of panel p. REQUIRES: p < panels().
    const std::byte* panel(uint32_t p) const { return data_ + panel_bytes_ * p; }

    bool empty() const { return rows_ == 0; }

  private:
    friend class MatrixBuilder;

    DType type_ = DType::f32;
    uint32_t rows_ = 0;
    uint32_t cols_ = 0;
    uint32_t scale_groups_ = 0;
    size_t panel_bytes_ = 0;
    const std::byte* data_ = nullptr;
    std::shared_ptr<const std::byte> storage_;  // shared by the matrices cut from one allocation
};

// Zeroed memory, 64-byte aligned; large allocations lie on huge pages where the system has them.
// Throws Error(memory).
std::shared_ptr<std::byte> allocate_weights(size_t bytes);

// Cuts the memory of many small matrices out of large pieces, so that they lie on huge pages too
// and a decode step over them pays for few TLB misses. A piece lives as long as a matrix in it.
class WeightArena {
  public:
    // As allocate_weights().
    std::shared_ptr<std::byte> allocate(size_t bytes);

  private:
    std::shared_ptr<std::byte> piece_;
    size_t used_ = 0;
};

// Bytes of one packed panel, a multiple of 64.
size_t packed_panel_bytes(DType type, uint32_t cols, uint32_t scale_groups);

// Allocates (anonymous, huge pages asked for) and packs in steps, so that a loader can pack panels
// in parallel from pool tasks and release the source behind it.
class MatrixBuilder {
  public:
    // Throws Error(memory) when the allocation fails.
    // REQUIRES: computable type; source sizes agree with rows, cols and type (the loader checks).
    explicit MatrixBuilder(const MatrixSource& source);
    MatrixBuilder(const MatrixSource& source, WeightArena& arena);

    uint32_t panels() const { return matrix_.panels(); }

    // Packs panels [begin, end). Thread safe for disjoint ranges; does not throw.
    void pack(uint32_t begin, uint32_t end);

    // REQUIRES: every panel packed. The builder is empty afterwards.
    Matrix finish();

  private:
    void place(std::shared_ptr<std::byte> memory);

    MatrixSource source_;
    Matrix matrix_;
    std::byte* target_ = nullptr;
};

// Packs at once, on the calling thread. For tests and small matrices.
Matrix pack(const MatrixSource& source);

// One row as floats, out [cols]: an embedding is looked up in the matrix that also is the output.
// Scaled types round once, at value * scale.
void unpack_row(const Matrix& matrix, uint32_t row, float* out);

}  // namespace core
