// The reference tier: plain C++, complete, and the definition of every product's bits.
//
// Accumulation order is that of docs/architecture.md, "Numbers". std::fma is the hardware
// instruction where the C library finds one, and exact in any case.

#include "core/kernels/matmul_scalar.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/base/half.h"
#include "core/kernels/tiers.h"

namespace core {
namespace {

using scalar::for_each_output;
using scalar::IntLanes;
using scalar::Lanes;
using scalar::load_float;
using scalar::load_half;

void quantize(const float* x, uint32_t n, int8_t* values, float* scales, int32_t* sums) {
    for (uint32_t block = 0; block < n / kBlockCols; ++block, x += kBlockCols) {
        float largest = 0.0F;
        for (uint32_t i = 0; i < kBlockCols; ++i) {
            largest = std::max(largest, std::fabs(x[i]));
        }
        float d = largest / 127.0F;
        if (d < kSmallestScale) d = 0.0F;
        const float inverse = d == 0.0F ? 0.0F : 1.0F / d;
        int32_t sum = 0;
        for (uint32_t i = 0; i < kBlockCols; ++i) {
            const auto q = static_cast<int8_t>(std::lrintf(x[i] * inverse));
            values[block * kBlockCols + i] = q;
            sum += q;
        }
        scales[block] = d;
        sums[block] = sum;
    }
}

// Sum over a block of (w + 128) x, less 128 times the sum of x, for each row.
IntLanes dot_bytes(const std::byte* weights, const int8_t* x, int32_t x_sum) {
    IntLanes sum;
    sum.fill(-kQ8Offset * x_sum);
    for (uint32_t i = 0; i < kBlockCols; ++i) {
        const std::byte* column = weights + i / 4 * 64 + i % 4;
        for (size_t r = 0; r < kPanelRows; ++r) {
            sum[r] += std::to_integer<int32_t>(column[r * 4]) * x[i];
        }
    }
    return sum;
}

IntLanes dot_nibbles(const std::byte* weights, const int8_t* x, int32_t x_sum) {
    IntLanes sum;
    sum.fill(-kQ4Offset * x_sum);
    for (uint32_t i = 0; i < kBlockCols / 2; ++i) {
        const std::byte* column = weights + i / 4 * 64 + i % 4;
        for (size_t r = 0; r < kPanelRows; ++r) {
            const auto both = std::to_integer<int32_t>(column[r * 4]);
            sum[r] += (both & 15) * x[i] + (both >> 4) * x[i + kBlockCols / 2];
        }
    }
    return sum;
}

template <size_t BlockBytes, IntLanes (*Dot)(const std::byte*, const int8_t*, int32_t)>
void matmul_blocks(const PanelProduct& job) {
    const uint32_t blocks = job.x.cols / kBlockCols;
    for_each_output(job, [&](const std::byte* panel, size_t token, Lanes& acc) {
        for (uint32_t k = job.col_begin / kBlockCols; k < job.col_end / kBlockCols; ++k) {
            const size_t at = token * blocks + k;
            const Lanes scales = load_half<f16_to_f32>(panel + scales_of_block(k, BlockBytes));
            const IntLanes sum = Dot(panel + values_of_block(k, BlockBytes),
                                     job.x.values + at * kBlockCols, job.x.sums[at]);
            for (size_t r = 0; r < kPanelRows; ++r) {
                acc[r] = std::fma(static_cast<float>(sum[r]), scales[r] * job.x.scales[at], acc[r]);
            }
        }
    });
}

void matmul_i8c(const PanelProduct& job) {
    const uint32_t blocks = job.x.cols / kBlockCols;
    const uint32_t group_blocks = blocks / job.scale_groups;
    for_each_output(job, [&](const std::byte* panel, size_t token, Lanes& acc) {
        Lanes group{};
        for (uint32_t k = job.col_begin / kBlockCols; k < job.col_end / kBlockCols; ++k) {
            const size_t at = token * blocks + k;
            const std::byte* values = panel + values_of_group_block(k, group_blocks);
            const IntLanes sum = dot_bytes(values, job.x.values + at * kBlockCols, job.x.sums[at]);
            for (size_t r = 0; r < kPanelRows; ++r) {
                group[r] = std::fma(static_cast<float>(sum[r]), job.x.scales[at], group[r]);
            }
            if ((k + 1) % group_blocks != 0) continue;
            const Lanes scales = load_half<bf16_to_f32>(values + kByteBlock);
            for (size_t r = 0; r < kPanelRows; ++r) {
                acc[r] = std::fma(group[r], scales[r], acc[r]);
            }
            group.fill(0.0F);
        }
    });
}

template <size_t ElementBytes, Lanes (*Load)(const std::byte*)>
void matmul_floats(const PanelProduct& job) {
    for_each_output(job, [&](const std::byte* panel, size_t token, Lanes& acc) {
        const float* x = job.x.floats + token * job.x.cols;
        for (uint32_t k = job.col_begin; k < job.col_end; ++k) {
            const Lanes weights = Load(panel + k * ElementBytes * kPanelRows);
            for (size_t r = 0; r < kPanelRows; ++r) {
                acc[r] = std::fma(weights[r], x[k], acc[r]);
            }
        }
    });
}

uint32_t read_memory(const std::byte* data, size_t bytes) {
    uint64_t sum = 0;
    for (size_t i = 0; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        std::memcpy(&word, data + i, sizeof(word));
        sum += word;
    }
    return static_cast<uint32_t>(sum ^ (sum >> 32));
}

// Dots of one block in cache: what this tier can do at best.
uint64_t int8_work(uint64_t rounds) {
    std::array<std::byte, size_t{kBlockCols} * kPanelRows> weights{};
    std::array<int8_t, kBlockCols> x{};
    for (uint64_t i = 0; i < rounds; ++i) {
        const IntLanes sum = dot_bytes(weights.data(), x.data(), 1);
        x[i % kBlockCols] = static_cast<int8_t>(sum[i % kPanelRows]);
    }
    return rounds * kBlockCols * kPanelRows * 2;
}

}  // namespace

void apply_scalar(Kernels& kernels) {
    kernels.name = "scalar";
    kernels.quantize = quantize;
    kernels.matmul_f32 = matmul_floats<4, load_float>;
    kernels.matmul_f16 = matmul_floats<2, load_half<f16_to_f32>>;
    kernels.matmul_bf16 = matmul_floats<2, load_half<bf16_to_f32>>;
    kernels.matmul_q8_0 = matmul_blocks<kByteBlock, dot_bytes>;
    kernels.matmul_q4_0 = matmul_blocks<kNibbleBlock, dot_nibbles>;
    kernels.matmul_i8c = matmul_i8c;
    apply_quants_scalar(kernels);
    kernels.read_memory = read_memory;
    kernels.int8_work = int8_work;
}

}  // namespace core
