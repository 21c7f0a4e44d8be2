// The scalar tier for the types of core/tensor/panel_layout.h, and the definition of their bits.
//
// A factor for 32 columns: acc = fma(float(sum), (scale * factor) * x_scale, acc), where scale *
// factor is exact. A factor for 16: both integer sums times their factors are added as integers
// first. A minimum is subtracted afterwards, in the same two ways.

#include <cmath>
#include <utility>

#include "core/base/half.h"
#include "core/kernels/matmul_scalar.h"
#include "core/kernels/tiers.h"
#include "core/tensor/panel_layout.h"

namespace core {
namespace {

using scalar::for_each_output;
using scalar::IntLanes;
using scalar::Lanes;
using scalar::load_half;

template <DType Type>
struct QuantRows {
    static constexpr PanelLayout kLayout = panel_layout(Type);
    static constexpr int kHalves = kBlock / kLayout.sub;

    static uint32_t byte(const std::byte* codes, size_t at) {
        return std::to_integer<uint32_t>(codes[at]);
    }

    // `lane`: 4 * row + column % 4.
    static int32_t level(const std::byte* codes, size_t lane, uint32_t col) {
        const uint32_t g = col / 4;
        uint32_t code = 0;
        uint32_t width = 0;
        if constexpr (kLayout.nibbles) {
            code = byte(codes, 64 * (g % 4) + lane) >> (g < 4 ? 0 : 4) & 15U;
            width = 4;
        }
        if constexpr (kLayout.pairs) {
            const uint32_t four = byte(codes, kLayout.pairs_at() + 64 * (g / 4) + lane);
            code |= (four >> (2 * (g % 4)) & 3U) << width;
            width += 2;
        }
        if constexpr (kLayout.bits) {
            code |= (byte(codes, kLayout.bits_at() + lane) >> g & 1U) << width;
        }
        if constexpr (has_table(Type)) return static_cast<int8_t>(kSignedTable<Type>.values[code]);
        return static_cast<int32_t>(code) - unsigned_offset(Type);
    }

    // Sums over the columns of half `h`, or over all 32.
    static IntLanes dot(const std::byte* codes, const int8_t* x, int h) {
        IntLanes sum{};
        const uint32_t begin = static_cast<uint32_t>(h) * kLayout.sub;
        for (uint32_t col = begin; col < begin + kLayout.sub; ++col) {
            for (size_t r = 0; r < kPanelRows; ++r) {
                sum[r] += level(codes, 4 * r + col % 4, col) * x[col];
            }
        }
        return sum;
    }

    static Lanes scale(const std::byte* panel, size_t k) {
        constexpr auto kConvert = Type == DType::mxfp4 ? bf16_to_f32 : f16_to_f32;
        return load_half<kConvert>(panel + kLayout.scales(k));
    }

    static int32_t factor(const std::byte* panel, size_t k, int h, size_t row) {
        if constexpr (kLayout.block == kBlock) return 1;
        const std::byte* at = panel + kLayout.factors(k, static_cast<size_t>(h));
        return static_cast<int8_t>(byte(at, row));
    }
    static int32_t minimum(const std::byte* panel, size_t k, int h, size_t row) {
        if constexpr (kLayout.block == kBlock) return 1;
        const std::byte* at = panel + kLayout.sub_minimums(k, static_cast<size_t>(h));
        return static_cast<int32_t>(byte(at, row));
    }
};

template <DType Type>
void add_block(const std::byte* panel, size_t k, const ActivationView& x, size_t at, Lanes& acc) {
    using Rows = QuantRows<Type>;
    const std::byte* codes = panel + Rows::kLayout.codes(k);
    const int8_t* values = x.values + at * kBlockCols;
    const Lanes scale = Rows::scale(panel, k);
    if constexpr (Rows::kHalves == 1) {
        const IntLanes sum = Rows::dot(codes, values, 0);
        for (size_t r = 0; r < kPanelRows; ++r) {
            const float own = scale[r] * static_cast<float>(Rows::factor(panel, k, 0, r));
            acc[r] = std::fma(static_cast<float>(sum[r]), own * x.scales[at], acc[r]);
        }
    } else {
        const IntLanes first = Rows::dot(codes, values, 0);
        const IntLanes second = Rows::dot(codes, values, 1);
        for (size_t r = 0; r < kPanelRows; ++r) {
            const int32_t sum =
                first[r] * Rows::factor(panel, k, 0, r) + second[r] * Rows::factor(panel, k, 1, r);
            acc[r] = std::fma(static_cast<float>(sum), scale[r] * x.scales[at], acc[r]);
        }
    }
}

template <DType Type>
void subtract_minimum(const std::byte* panel, size_t k, const ActivationView& x, size_t at,
                      Lanes& acc) {
    using Rows = QuantRows<Type>;
    const Lanes whole = load_half<f16_to_f32>(panel + Rows::kLayout.minimums(k));
    for (size_t r = 0; r < kPanelRows; ++r) {
        if constexpr (Rows::kHalves == 1) {
            const float own = whole[r] * static_cast<float>(Rows::minimum(panel, k, 0, r));
            acc[r] = std::fma(-own, x.scales[at] * static_cast<float>(x.sums[at]), acc[r]);
        } else {
            const int32_t sum = Rows::minimum(panel, k, 0, r) * half_sum(x, at, 0) +
                                Rows::minimum(panel, k, 1, r) * half_sum(x, at, 1);
            acc[r] = std::fma(-static_cast<float>(sum), whole[r] * x.scales[at], acc[r]);
        }
    }
}

template <DType Type>
void matmul_of(const PanelProduct& job) {
    const uint32_t blocks = job.x.cols / kBlockCols;
    for_each_output(job, [&](const std::byte* panel, size_t token, Lanes& acc) {
        for (uint32_t k = job.col_begin / kBlockCols; k < job.col_end / kBlockCols; ++k) {
            const size_t at = token * blocks + k;
            add_block<Type>(panel, k, job.x, at, acc);
            if constexpr (panel_layout(Type).has_minimum) {
                subtract_minimum<Type>(panel, k, job.x, at, acc);
            }
        }
    });
}

template <size_t... Index>
void fill(Kernels& kernels, std::index_sequence<Index...>) {
    ((kernels.matmul_quants[Index] = matmul_of<kQuantTypes[Index]>), ...);
}

}  // namespace

void apply_quants_scalar(Kernels& kernels) {
    fill(kernels, std::make_index_sequence<kQuantTypeCount>{});
}

}  // namespace core
