// The AVX2 tier of the matrix products. A panel of 16 rows is two 256-bit registers.
//
// vpmaddubsw saturates at 16 bits, and (w + 128) x reaches 2 * 255 * 127. Bytes are therefore taken
// back to signed and multiplied as |w| and sign(w) x: 2 * 128 * 127 fits. Nibbles stay unsigned:
// all 8 products of a lane's column pairs together reach 16 * 15 * 127 = 30480, so that a block is
// summed in 16 bits and widened once.

#include "core/kernels/tiers.h"

#if MOXIE_X86_TIERS

#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace core {
namespace {

#include "core/kernels/matmul_avx2_tiles.h"

// ---- Block formats: the exact integer dot of 8 rows x 32 columns with one token.

struct BytesFormat {
    static constexpr size_t kBlockBytes = kByteBlock;

    template <int Tokens>
    [[gnu::always_inline]] static void dot(const std::byte* weights, const int8_t* x, size_t cols,
                                           const int32_t*, size_t, __m256i (&sum)[Tokens]) {
        const __m256i flip = _mm256_set1_epi8(-128);
        const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
            sum[t] = _mm256_setzero_si256();
        }
#pragma GCC unroll 8
        for (int g = 0; g < 8; ++g) {
            const __m256i w = _mm256_xor_si256(load_bytes(weights + 64 * g), flip);
            const __m256i magnitude = _mm256_abs_epi8(w);
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; ++t) {
                const __m256i signed_x = _mm256_sign_epi8(broadcast_four(x + t * cols + 4 * g), w);
                const __m256i pairs = _mm256_maddubs_epi16(magnitude, signed_x);
                sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
};

struct NibblesFormat {
    static constexpr size_t kBlockBytes = kNibbleBlock;

    template <int Tokens>
    [[gnu::always_inline]] static void dot(const std::byte* weights, const int8_t* x, size_t cols,
                                           const int32_t* x_sum, size_t blocks,
                                           __m256i (&sum)[Tokens]) {
        const __m256i nibble = _mm256_set1_epi8(15);
        const __m256i ones = _mm256_set1_epi16(1);
        __m256i pairs[Tokens];
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
            pairs[t] = _mm256_setzero_si256();
        }
#pragma GCC unroll 4
        for (int g = 0; g < 4; ++g) {
            const __m256i both = load_bytes(weights + 64 * g);
            const __m256i low = _mm256_and_si256(both, nibble);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; ++t) {
                const int8_t* four = x + t * cols + 4 * g;
                const __m256i a = _mm256_maddubs_epi16(low, broadcast_four(four));
                const __m256i b = _mm256_maddubs_epi16(high, broadcast_four(four + 16));
                pairs[t] = _mm256_add_epi16(pairs[t], _mm256_add_epi16(a, b));
            }
        }
#pragma GCC unroll 4
        for (int t = 0; t < Tokens; ++t) {
            const __m256i start = _mm256_set1_epi32(-kQ4Offset * x_sum[t * blocks]);
            sum[t] = _mm256_add_epi32(start, _mm256_madd_epi16(pairs[t], ones));
        }
    }
};

// ---- Products

struct F32Format {
    static constexpr size_t kBytes = 4;
    static __m256 load(const std::byte* from) {
        return _mm256_loadu_ps(reinterpret_cast<const float*>(from));
    }
};

template <class Format>
struct BlockProduct {
    static constexpr int kTokens =
        2;  // 8 accumulators; with weights and constants all 16 registers

    // Block k of half h of the panel's rows.
    template <int Tokens>
    [[gnu::always_inline]] static void block(const TileJob& job, size_t k, size_t h,
                                             __m256 (&acc)[Tokens]) {
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        const size_t at = job.token * blocks + k;
        __m256i sum[Tokens];
        Format::dot(job.panel + values_of_block(k, Format::kBlockBytes) + 32 * h,
                    x.values + at * kBlockCols, x.cols, x.sums + at, blocks, sum);
        const __m256 scale =
            F16Format::load(job.panel + scales_of_block(k, Format::kBlockBytes) + 16 * h);
        add_scaled(sum, scale, x.scales + at, blocks, acc);
    }
};

struct GroupProduct {
    static constexpr int kTokens = 2;

    // Adds the blocks [begin, end) of one group.
    template <int Tokens>
    [[gnu::always_inline]] static void add_group(const TileJob& job, size_t begin, size_t end,
                                                 const std::byte* values,
                                                 Accumulators<Tokens>& group) {
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        for (size_t k = begin; k < end; ++k, values += kByteBlock) {
            const size_t at = job.token * blocks + k;
#pragma GCC unroll 2
            for (int h = 0; h < kHalves; ++h) {
                __m256i sum[Tokens];
                BytesFormat::dot(values + 32 * h, x.values + at * kBlockCols, x.cols, x.sums + at,
                                 blocks, sum);
#pragma GCC unroll 4
                for (int t = 0; t < Tokens; ++t) {
                    const __m256 x_scale = _mm256_set1_ps(x.scales[at + t * blocks]);
                    group[h][t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t]), x_scale, group[h][t]);
                }
            }
        }
    }

    template <int Tokens>
    static void tile(const TileJob& job) {
        const PanelProduct& product = *job.product;
        const size_t group_blocks = product.x.cols / kBlockCols / product.scale_groups;
        const size_t end = product.col_end / kBlockCols;
        Accumulators<Tokens> acc;
        start<Tokens>(job, acc);
        for (size_t k = product.col_begin / kBlockCols; k < end; k += group_blocks) {
            const std::byte* values = job.panel + values_of_group_block(k, group_blocks);
            Accumulators<Tokens> group = {};
            add_group<Tokens>(job, k, k + group_blocks, values, group);
            const std::byte* scales = values + group_blocks * kByteBlock;
#pragma GCC unroll 2
            for (int h = 0; h < kHalves; ++h) {
                const __m256 scale = Bf16Format::load(scales + 16 * h);
#pragma GCC unroll 4
                for (int t = 0; t < Tokens; ++t) {
                    acc[h][t] = _mm256_fmadd_ps(group[h][t], scale, acc[h][t]);
                }
            }
        }
        store<Tokens>(job, acc);
    }
};

template <class Format>
struct FloatProduct {
    static constexpr int kTokens = 4;

    template <int Tokens>
    static void tile(const TileJob& job) {
        const PanelProduct& product = *job.product;
        const size_t cols = product.x.cols;
        Accumulators<Tokens> acc;
        start<Tokens>(job, acc);
        const float* first = product.x.floats + job.token * cols;
        for (size_t k = product.col_begin; k < product.col_end; ++k) {
            const std::byte* column = job.panel + k * Format::kBytes * kPanelRows;
            const __m256 top = Format::load(column);
            const __m256 bottom = Format::load(column + Format::kBytes * kHalfRows);
#pragma GCC unroll 4
            for (int t = 0; t < Tokens; ++t) {
                const __m256 value = _mm256_set1_ps(first[t * cols + k]);
                acc[0][t] = _mm256_fmadd_ps(top, value, acc[0][t]);
                acc[1][t] = _mm256_fmadd_ps(bottom, value, acc[1][t]);
            }
        }
        store<Tokens>(job, acc);
    }
};

// ---- Activations

float largest_magnitude(const __m256 (&x)[4]) {
    const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    const __m256 a = _mm256_max_ps(_mm256_and_ps(x[0], no_sign), _mm256_and_ps(x[1], no_sign));
    const __m256 b = _mm256_max_ps(_mm256_and_ps(x[2], no_sign), _mm256_and_ps(x[3], no_sign));
    const __m256 all = _mm256_max_ps(a, b);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_movehdup_ps(m));
    return _mm_cvtss_f32(m);
}

int32_t sum_of_lanes(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

void quantize(const float* x, uint32_t n, int8_t* values, float* scales, int32_t* sums) {
    for (uint32_t block = 0; block < n / kBlockCols; ++block, x += kBlockCols) {
        const __m256 in[4] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16),
                              _mm256_loadu_ps(x + 24)};
        float d = largest_magnitude(in) / 127.0F;
        if (d < kSmallestScale) d = 0.0F;
        const __m256 inverse = _mm256_set1_ps(d == 0.0F ? 0.0F : 1.0F / d);
        __m256i q[4];
        for (int i = 0; i < 4; ++i) {
            q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(in[i], inverse));
        }
        const __m256i words =
            _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        // The packs work within 128-bit lanes; put the groups of four bytes back in order.
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + size_t{block} * kBlockCols),
                            _mm256_permutevar8x32_epi32(words, order));
        scales[block] = d;
        sums[block] = sum_of_lanes(
            _mm256_add_epi32(_mm256_add_epi32(q[0], q[1]), _mm256_add_epi32(q[2], q[3])));
    }
}

// ---- Probes

// The compiler must believe that *value is read and changed here, or it folds the loops below.
void keep(__m256i* value) {
    __asm__ volatile("" : : "r"(value) : "memory");
}

uint32_t read_memory(const std::byte* data, size_t bytes) {
    __m256i sum[4] = {};
    for (size_t i = 0; i + 128 <= bytes; i += 128) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
            sum[v] = _mm256_add_epi32(sum[v], load_bytes(data + i + 32 * v));
        }
    }
    return static_cast<uint32_t>(sum_of_lanes(
        _mm256_add_epi32(_mm256_add_epi32(sum[0], sum[1]), _mm256_add_epi32(sum[2], sum[3]))));
}

// A byte product here is vpmaddubsw, vpmaddwd and an add.
uint64_t int8_work(uint64_t rounds) {
    constexpr int kChains = 8;
    __m256i sum[kChains];
#pragma GCC unroll 8
    for (int c = 0; c < kChains; ++c) {
        sum[c] = _mm256_set1_epi32(c);  // equal chains would become one
    }
    __m256i w = _mm256_set1_epi8(3);
    __m256i x = _mm256_set1_epi8(5);
    const __m256i ones = _mm256_set1_epi16(1);
    for (uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
        for (int c = 0; c < kChains; ++c) {
            keep(&x);  // each chain multiplies for itself
            const __m256i pairs = _mm256_maddubs_epi16(w, x);
            sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(pairs, ones));
        }
    }
    __m256i all = sum[0];
#pragma GCC unroll 8
    for (int c = 1; c < kChains; ++c) {
        all = _mm256_add_epi32(all, sum[c]);
    }
    keep(&all);
    return rounds * kChains * 32 * 2;
}

}  // namespace

void apply_avx2(Kernels& kernels) {
    kernels.name = "avx2";
    kernels.quantize = quantize;
    kernels.matmul_f32 = matmul<FloatProduct<F32Format>>;
    kernels.matmul_f16 = matmul<FloatProduct<F16Format>>;
    kernels.matmul_bf16 = matmul<FloatProduct<Bf16Format>>;
    kernels.matmul_q8_0 = matmul<TileProduct<BlockProduct<BytesFormat>>>;
    kernels.matmul_q4_0 = matmul<TileProduct<BlockProduct<NibblesFormat>>>;
    kernels.matmul_i8c = matmul<GroupProduct>;
    apply_quants_avx2(kernels);
    kernels.read_memory = read_memory;
    kernels.int8_work = int8_work;
}

}  // namespace core

#pragma GCC pop_options

#endif  // MOXIE_X86_TIERS
