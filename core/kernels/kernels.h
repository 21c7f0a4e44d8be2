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
#include "core/tensor/matrix.h"
#include "core/tensor/panel_layout.h"

namespace core {

// Activations as a kernel reads them: quantized (values, scales, sums) or floats.
struct ActivationView {
    const int8_t* values = nullptr;  // [tokens, cols]
    const float* scales = nullptr;   // [tokens, cols / 32]: max|x| / 127
    const int32_t* sums = nullptr;   // [tokens, cols / 32]: sum of the block's 32 values
    const float* floats = nullptr;   // [tokens, cols]
    uint32_t tokens = 0;
    uint32_t cols = 0;
    const int32_t* half_sums = nullptr;  // [tokens, cols / 32]: sum of the block's first 16 values
};

// Consecutive panels (16 output rows each) times tokens [token_begin, token_end) of x.
struct PanelProduct {
    const std::byte* panels = nullptr;  // first panel, packed as core/tensor/matrix.h says
    size_t panel_bytes = 0;             // from one panel to the next; a multiple of 64
    uint32_t rows = kPanelRows;         // rows to compute: all of each panel but the last
    uint32_t scale_groups = 0;          // I8C only
    ActivationView x;
    uint32_t token_begin = 0;
    uint32_t token_end = 0;
    // Columns [col_begin, col_end): a sum starts from zero at column 0 and from y elsewhere, so
    // that a product may be taken in slices that fit a cache, in order. Begin and end are multiples
    // of 32 (I8C: of a group) or the last column.
    uint32_t col_begin = 0;
    uint32_t col_end = 0;
    float* y = nullptr;  // y[token * y_stride + row], row < rows
    size_t y_stride = 0;
};

struct Kernels {
    std::string_view name;  // "scalar", "avx2", "avx512vnni"

    // x[0, n) to int8 blocks of 32: d = max|x| / 127, q = nearest even of x * (1 / d). A block
    // whose d is below the smallest normal float becomes zeros with d = 0. REQUIRES: n a multiple
    // of 32, x finite (else values are unspecified).
    void (*quantize)(const float* x, uint32_t n, int8_t* values, float* scales,
                     int32_t* sums) = nullptr;

    void (*matmul_f32)(const PanelProduct&) = nullptr;
    void (*matmul_f16)(const PanelProduct&) = nullptr;
    void (*matmul_bf16)(const PanelProduct&) = nullptr;
    void (*matmul_q8_0)(const PanelProduct&) = nullptr;
    void (*matmul_q4_0)(const PanelProduct&) = nullptr;
    void (*matmul_i8c)(const PanelProduct&) = nullptr;
    void (*matmul_quants[kQuantTypeCount])(const PanelProduct&) = {};  // by quant_index()

    // For the probes of core/ops/probe.h: reads memory as fast as it comes and returns a checksum;
    // runs `rounds` of the tier's best int8 multiply-adds and returns how many operations that was.
    uint32_t (*read_memory)(const std::byte* data, size_t bytes) = nullptr;
    uint64_t (*int8_work)(uint64_t rounds) = nullptr;

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
