// The table of kernels: every inner loop of the engine, chosen at run time for the CPU.
//
// A tier starts from the complete scalar table and overrides what it does better. All tiers give
// the same bits unless docs/decisions says otherwise. Kernels are plain functions on plain memory:
// no allocation, no threads, no exceptions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/tensor/dtype.h"

namespace core {

// Activations as a kernel reads them. Quantized: `values` int8 [tokens][cols] with each group of 4
// columns contiguous, `scales` f32 [tokens][cols / 32] (max / 127), `sums` int32 [tokens][cols /
// 32] (sum of the 32 int8 values). Float: `floats` f32 [tokens][cols].
struct ActivationView {
    const int8_t* values = nullptr;
    const float* scales = nullptr;
    const int32_t* sums = nullptr;
    const float* floats = nullptr;
    uint32_t tokens = 0;
    uint32_t cols = 0;
};

// One panel (16 output rows) times tokens [begin, end) of x.
struct PanelProduct {
    const std::byte* panel =
        nullptr;                // packed as documented in core/tensor/matrix.h, 64-byte aligned
    uint32_t scale_groups = 0;  // I8C only
    ActivationView x;
    uint32_t token_begin = 0;
    uint32_t token_end = 0;
    float* y = nullptr;  // y[token * y_stride + row], row < rows
    size_t y_stride = 0;
    uint32_t rows = 16;  // rows of the panel to store; fewer than 16 only in the last panel
};

struct Kernels {
    std::string_view name;  // "scalar", "avx2", "avx512vnni"

    // x[0, n) to int8 blocks of 32: d = max|x| / 127, q = nearest even of x * (1 / d); d = 0 for
    // zeros. REQUIRES: n a multiple of 32.
    void (*quantize)(const float* x, uint32_t n, int8_t* values, float* scales,
                     int32_t* sums) = nullptr;

    void (*matmul_f32)(const PanelProduct&) = nullptr;
    void (*matmul_f16)(const PanelProduct&) = nullptr;
    void (*matmul_bf16)(const PanelProduct&) = nullptr;
    void (*matmul_q8_0)(const PanelProduct&) = nullptr;
    void (*matmul_q4_0)(const PanelProduct&) = nullptr;
    void (*matmul_i8c)(const PanelProduct&) = nullptr;

    const struct VectorKernels* vector = nullptr;  // attention, norms, activations: vector.h
};

// The product kernel for weights of a type. REQUIRES: a computable type.
void (*matmul_kernel(const Kernels& kernels, DType type))(const PanelProduct&);

// The best tier this CPU runs, limited by `isa` ("" = environment variable MOXIE_ISA, else no
// limit). Throws Error(usage) for an unknown name or a tier this CPU cannot run.
const Kernels& select_kernels(std::string_view isa = {});

// Every tier this CPU can run, scalar first. For tests.
std::span<const Kernels* const> all_kernels();

}  // namespace core
