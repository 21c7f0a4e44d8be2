// The AVX-512 VNNI tier for the types of core/tensor/panel_layout.h. One template for all of them:
// what differs is the planes of their codes, and whether a factor covers 32 columns or 16.

#include <utility>

#include "core/kernels/tiers.h"
#include "core/tensor/panel_layout.h"

#if MOXIE_X86_TIERS

#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

namespace core {
namespace {

#include "core/kernels/matmul_avx512vnni_tiles.h"

// Bits of each byte moved up by `places`, -7 to 7, so that they come to lie where `mask` is.
[[gnu::always_inline]] inline __m512i move_bits(__m512i v, int places, char mask) {
    __m512i moved = v;
    switch (places) {
        case 4: moved = _mm512_slli_epi16(v, 4); break;
        case 3: moved = _mm512_slli_epi16(v, 3); break;
        case 2: moved = _mm512_slli_epi16(v, 2); break;
        case 1: moved = _mm512_slli_epi16(v, 1); break;
        case -1: moved = _mm512_srli_epi16(v, 1); break;
        case -2: moved = _mm512_srli_epi16(v, 2); break;
        case -3: moved = _mm512_srli_epi16(v, 3); break;
        case -4: moved = _mm512_srli_epi16(v, 4); break;
        case -5: moved = _mm512_srli_epi16(v, 5); break;
        case -6: moved = _mm512_srli_epi16(v, 6); break;
        default: break;
    }
    return _mm512_and_si512(moved, _mm512_set1_epi8(mask));
}

template <DType Type>
struct QuantFormat {
    static constexpr PanelLayout kLayout = panel_layout(Type);
    static constexpr size_t kBlockBytes = kLayout.code_bytes();
    static constexpr int32_t kOffset = unsigned_offset(Type);
    static constexpr bool kFine = kLayout.sub == 16;

    // Columns 4 * g to 4 * g + 3 of 16 rows, as level + offset.
    [[gnu::always_inline]] static __m512i group(const std::byte* codes, int g) {
        __m512i code = _mm512_setzero_si512();
        if constexpr (kLayout.nibbles) {
            code = move_bits(_mm512_loadu_si512(codes + 64 * (g % 4)), g < 4 ? 0 : -4, 15);
        }
        if constexpr (kLayout.pairs) {
            constexpr int kTo = kLayout.nibbles ? 4 : 0;
            const __m512i plane = _mm512_loadu_si512(codes + kLayout.pairs_at() + 64 * (g / 4));
            code = _mm512_or_si512(code, move_bits(plane, kTo - 2 * (g % 4), 3 << kTo));
        }
        if constexpr (kLayout.bits) {
            constexpr int kTo = (kLayout.nibbles ? 4 : 0) + (kLayout.pairs ? 2 : 0);
            const __m512i plane = _mm512_loadu_si512(codes + kLayout.bits_at());
            code = _mm512_or_si512(code, move_bits(plane, kTo - g, 1 << kTo));
        }
        if constexpr (has_table(Type)) {
            const __m128i table =
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(kUnsignedTable<Type>.values));
            code = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), code);
        }
        return code;
    }

    // 16 halves, as floats.
    static __m512 load_scale(const std::byte* from) {
        return Type == DType::mxfp4 ? Bf16Format::load(from) : F16Format::load(from);
    }
    static __m512i load_factors(const std::byte* from) {
        return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
    static __m512i load_minimums(const std::byte* from) {
        return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }

    // Scale and minimum of block k where a factor covers all of it.
    static __m512 scale(const std::byte* panel, size_t k) {
        const __m512 whole = load_scale(panel + kLayout.scales(k));
        if constexpr (kLayout.block == kBlock) return whole;
        const __m512i factors = load_factors(panel + kLayout.factors(k, 0));
        return _mm512_mul_ps(whole, _mm512_cvtepi32_ps(factors));
    }
    static __m512 minimum(const std::byte* panel, size_t k) {
        const __m512 whole = F16Format::load(panel + kLayout.minimums(k));
        if constexpr (kLayout.block == kBlock) return whole;
        const __m512i factors = load_minimums(panel + kLayout.sub_minimums(k, 0));
        return _mm512_mul_ps(whole, _mm512_cvtepi32_ps(factors));
    }
};

// A factor for 32 columns: acc = fma(float(sum), scale * x_scale, acc), and with a minimum
// acc = fma(-minimum, x_scale * float(x_sum), acc).
template <DType Type>
struct WholeProduct {
    using Format = QuantFormat<Type>;
    static constexpr int kPairTokens = 5;
    static constexpr int kSingleTokens = 8;

    template <int Panels, int Tokens>
    [[gnu::always_inline]] static void add_block(const TileJob& job, size_t k, size_t at,
                                                 Accumulators<Panels, Tokens>& acc) {
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        __m512i sum[Panels][Tokens];
        dot_block<Format, Panels, Tokens>(job, job.panel + Format::kLayout.codes(k),
                                          x.values + at * kBlockCols, x.sums + at, sum);
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            const std::byte* panel = job.panel + p * job.product->panel_bytes;
            add_scaled<Tokens>(sum[p], Format::scale(panel, k), x.scales + at, blocks, acc[p]);
            if constexpr (Format::kLayout.has_minimum) {
                const __m512 minimum = Format::minimum(panel, k);
#pragma GCC unroll 16
                for (int t = 0; t < Tokens; ++t) {
                    const size_t of = at + t * blocks;
                    const float less = x.scales[of] * static_cast<float>(x.sums[of]);
                    acc[p][t] = _mm512_fnmadd_ps(minimum, _mm512_set1_ps(less), acc[p][t]);
                }
            }
        }
    }
};

// A factor for 16 columns: both halves are put together in integers, then one fma; minimums the
// same, with the sums of the halves.
template <DType Type>
struct HalvesProduct {
    using Format = QuantFormat<Type>;
    static constexpr int kPairTokens = 3;  // two integer sums beside each accumulator
    static constexpr int kSingleTokens = 6;

    template <int Half, int Panels, int Tokens>
    [[gnu::always_inline]] static void add_half(const TileJob& job, size_t k,
                                                __m512i (&total)[Panels][Tokens]) {
        const PanelProduct& product = *job.product;
        const ActivationView& x = product.x;
        const size_t blocks = x.cols / kBlockCols;
        const size_t at = job.token * blocks + k;
        __m512i sum[Panels][Tokens];
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
            const int32_t x_sum = half_sum(x, at + t * blocks, Half);
            const __m512i correction = _mm512_set1_epi32(-Format::kOffset * x_sum);
#pragma GCC unroll 2
            for (int p = 0; p < Panels; ++p) {
                sum[p][t] = correction;
            }
        }
        add_groups<Format, Panels, Tokens, 4 * Half, 4 * Half + 4>(
            job, job.panel + Format::kLayout.codes(k), x.values + at * kBlockCols, sum);
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            const __m512i factors = Format::load_factors(job.panel + p * product.panel_bytes +
                                                         Format::kLayout.factors(k, Half));
#pragma GCC unroll 16
            for (int t = 0; t < Tokens; ++t) {
                total[p][t] = _mm512_add_epi32(total[p][t], _mm512_mullo_epi32(sum[p][t], factors));
            }
        }
    }

    template <int Panels, int Tokens>
    [[gnu::always_inline]] static void subtract_minimums(const TileJob& job, size_t k,
                                                         Accumulators<Panels, Tokens>& acc) {
        const PanelProduct& product = *job.product;
        const ActivationView& x = product.x;
        const size_t blocks = x.cols / kBlockCols;
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            const std::byte* panel = job.panel + p * product.panel_bytes;
            const __m512 whole = F16Format::load(panel + Format::kLayout.minimums(k));
            const __m512i first = Format::load_minimums(panel + Format::kLayout.sub_minimums(k, 0));
            const __m512i second =
                Format::load_minimums(panel + Format::kLayout.sub_minimums(k, 1));
#pragma GCC unroll 16
            for (int t = 0; t < Tokens; ++t) {
                const size_t of = (job.token + t) * blocks + k;
                const __m512i sum = _mm512_add_epi32(
                    _mm512_mullo_epi32(first, _mm512_set1_epi32(half_sum(x, of, 0))),
                    _mm512_mullo_epi32(second, _mm512_set1_epi32(half_sum(x, of, 1))));
                const __m512 both = _mm512_mul_ps(whole, _mm512_set1_ps(x.scales[of]));
                acc[p][t] = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(sum), both, acc[p][t]);
            }
        }
    }

    template <int Panels, int Tokens>
    [[gnu::always_inline]] static void add_block(const TileJob& job, size_t k, size_t at,
                                                 Accumulators<Panels, Tokens>& acc) {
        const PanelProduct& product = *job.product;
        const ActivationView& x = product.x;
        fetch_ahead<Panels, Tokens>(job.panel + Format::kLayout.codes(k), Format::kBlockBytes,
                                    product.panel_bytes);
        __m512i total[Panels][Tokens] = {};
        add_half<0, Panels, Tokens>(job, k, total);
        add_half<1, Panels, Tokens>(job, k, total);
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            const __m512 scale =
                Format::load_scale(job.panel + p * product.panel_bytes + Format::kLayout.scales(k));
            add_scaled<Tokens>(total[p], scale, x.scales + at, x.cols / kBlockCols, acc[p]);
        }
        if constexpr (Format::kLayout.has_minimum) {
            subtract_minimums<Panels, Tokens>(job, k, acc);
        }
    }
};

template <DType Type>
void matmul_of(const PanelProduct& product) {
    if constexpr (QuantFormat<Type>::kFine) {
        matmul<TileProduct<HalvesProduct<Type>>, 4>(product);
    } else {
        matmul<TileProduct<WholeProduct<Type>>, 4>(product);
    }
}

template <size_t... Index>
void fill(Kernels& kernels, std::index_sequence<Index...>) {
    ((kernels.matmul_quants[Index] = matmul_of<kQuantTypes[Index]>), ...);
}

}  // namespace

void apply_quants_avx512vnni(Kernels& kernels) {
    fill(kernels, std::make_index_sequence<kQuantTypeCount>{});
}

}  // namespace core

#pragma GCC pop_options

#endif  // MOXIE_X86_TIERS
