// The AVX2 tier for the types of core/tensor/panel_layout.h. Codes have at most six bits, so that
// vpmaddubsw does not saturate: 2 * 63 * 127 fits 16 bits, and as many groups of columns are summed
// there as fit too. Levels from a table are signed and go as |w| and sign(w) x.

#include <utility>

#include "core/kernels/tiers.h"
#include "core/tensor/panel_layout.h"

#if MOXIE_X86_TIERS

#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace core {
namespace {

#include "core/kernels/matmul_avx2_tiles.h"

// Bits of each byte moved up by `places`, -6 to 4, so that they come to lie where `mask` is.
[[gnu::always_inline]] inline __m256i move_bits(__m256i v, int places, char mask) {
    __m256i moved = v;
    switch (places) {
        case 4: moved = _mm256_slli_epi16(v, 4); break;
        case 3: moved = _mm256_slli_epi16(v, 3); break;
        case 2: moved = _mm256_slli_epi16(v, 2); break;
        case 1: moved = _mm256_slli_epi16(v, 1); break;
        case -1: moved = _mm256_srli_epi16(v, 1); break;
        case -2: moved = _mm256_srli_epi16(v, 2); break;
        case -3: moved = _mm256_srli_epi16(v, 3); break;
        case -4: moved = _mm256_srli_epi16(v, 4); break;
        case -5: moved = _mm256_srli_epi16(v, 5); break;
        case -6: moved = _mm256_srli_epi16(v, 6); break;
        default: break;
    }
    return _mm256_and_si256(moved, _mm256_set1_epi8(mask));
}

// 8 rows of a panel: `codes`, `from` and `panel` point at the first of them.
template <DType Type>
struct QuantFormat {
    static constexpr PanelLayout kLayout = panel_layout(Type);
    static constexpr bool kFine = kLayout.sub == 16;
    static constexpr bool kTable = has_table(Type);
    static constexpr int32_t kOffset = kTable ? 0 : unsigned_offset(Type);
    // Largest code, and how many groups of four columns are summed in 16 bits: at most four where
    // a factor covers four.
    static constexpr int kLargest =
        kTable ? 127
               : (1 << ((kLayout.nibbles ? 4 : 0) + (kLayout.pairs ? 2 : 0) +
                        (kLayout.bits ? 1 : 0))) -
                     1;
    static constexpr int kFitting = 32767 / (2 * kLargest * 127);
    static constexpr int kMostGroups = kFine ? 4 : 8;
    static constexpr int kGroups = kFitting >= kMostGroups ? kMostGroups
                                   : kFitting >= 4         ? 4
                                   : kFitting >= 2         ? 2
                                                           : 1;

    // Columns 4 * g to 4 * g + 3 of 8 rows: codes, or signed levels from a table.
    [[gnu::always_inline]] static __m256i group(const std::byte* codes, int g) {
        __m256i code = _mm256_setzero_si256();
        if constexpr (kLayout.nibbles) {
            code = move_bits(load_bytes(codes + 64 * (g % 4)), g < 4 ? 0 : -4, 15);
        }
        if constexpr (kLayout.pairs) {
            constexpr int kTo = kLayout.nibbles ? 4 : 0;
            const __m256i plane = load_bytes(codes + kLayout.pairs_at() + 64 * (g / 4));
            code = _mm256_or_si256(code, move_bits(plane, kTo - 2 * (g % 4), 3 << kTo));
        }
        if constexpr (kLayout.bits) {
            constexpr int kTo = (kLayout.nibbles ? 4 : 0) + (kLayout.pairs ? 2 : 0);
            const __m256i plane = load_bytes(codes + kLayout.bits_at());
            code = _mm256_or_si256(code, move_bits(plane, kTo - g, 1 << kTo));
        }
        if constexpr (kTable) {
            const __m128i table =
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(kSignedTable<Type>.values));
            code = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), code);
        }
        return code;
    }

    // The four products of each row and group, in pairs of 16 bits.
    [[gnu::always_inline]] static __m256i multiply(__m256i w, __m256i x) {
        if constexpr (kTable) {
            return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
        }
        return _mm256_maddubs_epi16(w, x);
    }

    // sum[t] += exact integer dot of the groups [First, Last).
    template <int First, int Last, int Tokens>
    [[gnu::always_inline]] static void add_groups(const std::byte* codes, const int8_t* x,
                                                  size_t cols, __m256i (&sum)[Tokens]) {
        const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
        for (int begin = First; begin < Last; begin += kGroups) {
            __m256i pairs[Tokens] = {};
#pragma GCC unroll 8
            for (int g = begin; g < begin + kGroups; ++g) {
                const __m256i w = group(codes, g);
#pragma GCC unroll 4
                for (int t = 0; t < Tokens; ++t) {
                    pairs[t] = _mm256_add_epi16(pairs[t],
                                                multiply(w, broadcast_four(x + t * cols + 4 * g)));
                }
            }
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; ++t) {
                sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(pairs[t], ones));
            }
        }
    }

    static __m256 load_scale(const std::byte* from) {
        return Type == DType::mxfp4 ? Bf16Format::load(from) : F16Format::load(from);
    }
    static __m256i load_factors(const std::byte* from) {
        return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
    }
    static __m256i load_minimums(const std::byte* from) {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
    }
};

// Where the parts of 8 rows lie: half `h` of a panel.
template <DType Type>
struct Rows {
    static constexpr PanelLayout kLayout = panel_layout(Type);

    const std::byte* panel;
    size_t h;

    const std::byte* codes(size_t k) const { return panel + kLayout.codes(k) + 32 * h; }
    const std::byte* scales(size_t k) const { return panel + kLayout.scales(k) + 16 * h; }
    const std::byte* minimums(size_t k) const { return panel + kLayout.minimums(k) + 16 * h; }
    const std::byte* factors(size_t k, size_t sub) const {
        return panel + kLayout.factors(k, sub) + 8 * h;
    }
    const std::byte* sub_minimums(size_t k, size_t sub) const {
        return panel + kLayout.sub_minimums(k, sub) + 8 * h;
    }
};

// A factor for 32 columns.
template <DType Type>
struct WholeProduct {
    using Format = QuantFormat<Type>;
    static constexpr int kTokens = 2;

    template <int Tokens>
    [[gnu::always_inline]] static void block(const TileJob& job, size_t k, size_t h,
                                             __m256 (&acc)[Tokens]) {
        constexpr PanelLayout kLayout = Format::kLayout;
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        const size_t at = job.token * blocks + k;
        const Rows<Type> rows{job.panel, h};
        __m256i sum[Tokens];
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
            sum[t] = _mm256_set1_epi32(-Format::kOffset * x.sums[at + t * blocks]);
        }
        Format::template add_groups<0, 8>(rows.codes(k), x.values + at * kBlockCols, x.cols, sum);
        __m256 scale = Format::load_scale(rows.scales(k));
        if constexpr (kLayout.block != kBlock) {
            scale =
                _mm256_mul_ps(scale, _mm256_cvtepi32_ps(Format::load_factors(rows.factors(k, 0))));
        }
        add_scaled(sum, scale, x.scales + at, blocks, acc);
        if constexpr (kLayout.has_minimum) {
            __m256 minimum = F16Format::load(rows.minimums(k));
            if constexpr (kLayout.block != kBlock) {
                const __m256i factors = Format::load_minimums(rows.sub_minimums(k, 0));
                minimum = _mm256_mul_ps(minimum, _mm256_cvtepi32_ps(factors));
            }
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; ++t) {
                const size_t of = at + t * blocks;
                const float less = x.scales[of] * static_cast<float>(x.sums[of]);
                acc[t] = _mm256_fnmadd_ps(minimum, _mm256_set1_ps(less), acc[t]);
            }
        }
    }
};

// A factor for 16 columns.
template <DType Type>
struct HalvesProduct {
    using Format = QuantFormat<Type>;
    static constexpr int kTokens = 2;

    template <int Half, int Tokens>
    [[gnu::always_inline]] static void add_half(const TileJob& job, size_t k,
                                                const Rows<Type>& rows, __m256i (&total)[Tokens]) {
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        const size_t at = job.token * blocks + k;
        __m256i sum[Tokens];
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
            sum[t] = _mm256_set1_epi32(-Format::kOffset * half_sum(x, at + t * blocks, Half));
        }
        Format::template add_groups<4 * Half, 4 * Half + 4>(
            rows.codes(k), x.values + at * kBlockCols, x.cols, sum);
        const __m256i factors = Format::load_factors(rows.factors(k, Half));
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
            total[t] = _mm256_add_epi32(total[t], _mm256_mullo_epi32(sum[t], factors));
        }
    }

    template <int Tokens>
    [[gnu::always_inline]] static void block(const TileJob& job, size_t k, size_t h,
                                             __m256 (&acc)[Tokens]) {
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        const size_t at = job.token * blocks + k;
        const Rows<Type> rows{job.panel, h};
        __m256i total[Tokens] = {};
        add_half<0>(job, k, rows, total);
        add_half<1>(job, k, rows, total);
        const __m256 scale = Format::load_scale(rows.scales(k));
        add_scaled(total, scale, x.scales + at, blocks, acc);
        if constexpr (Format::kLayout.has_minimum) {
            const __m256 minimum = F16Format::load(rows.minimums(k));
            const __m256i first = Format::load_minimums(rows.sub_minimums(k, 0));
            const __m256i second = Format::load_minimums(rows.sub_minimums(k, 1));
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; ++t) {
                const size_t of = at + t * blocks;
                const __m256i sum = _mm256_add_epi32(
                    _mm256_mullo_epi32(first, _mm256_set1_epi32(half_sum(x, of, 0))),
                    _mm256_mullo_epi32(second, _mm256_set1_epi32(half_sum(x, of, 1))));
                const __m256 both = _mm256_mul_ps(minimum, _mm256_set1_ps(x.scales[of]));
                acc[t] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(sum), both, acc[t]);
            }
        }
    }
};

template <DType Type>
void matmul_of(const PanelProduct& product) {
    if constexpr (QuantFormat<Type>::kFine) {
        matmul<TileProduct<HalvesProduct<Type>>>(product);
    } else {
        matmul<TileProduct<WholeProduct<Type>>>(product);
    }
}

template <size_t... Index>
void fill(Kernels& kernels, std::index_sequence<Index...>) {
    ((kernels.matmul_quants[Index] = matmul_of<kQuantTypes[Index]>), ...);
}

}  // namespace

void apply_quants_avx2(Kernels& kernels) {
    fill(kernels, std::make_index_sequence<kQuantTypeCount>{});
}

}  // namespace core

#pragma GCC pop_options

#endif  // MOXIE_X86_TIERS
