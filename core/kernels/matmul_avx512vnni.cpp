// The AVX-512 VNNI tier of the matrix products. A lane of a 512-bit register is an output row.
//
// Products run in tiles of Panels x Tokens accumulators that never leave the registers. Two panels
// share each broadcast of an activation, so that the two load ports keep up with the multiply-add
// ports; one token takes one panel at a time, because one stream of memory is the fastest.
//
// Stored weights are unsigned (w + offset). vpdpbusd multiplies them with signed activations; the
// accumulator starts at -offset times the block sum of the activations, which corrects it exactly.

#include "core/kernels/tiers.h"

#if MOXIE_X86_TIERS

#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")

namespace core {
namespace {

#include "core/kernels/matmul_avx512vnni_tiles.h"

// ---- Block formats: how 16 rows x 32 columns become vectors of unsigned bytes.

struct BytesFormat {
    static constexpr size_t kBlockBytes = kByteBlock;
    static constexpr int32_t kOffset = kQ8Offset;

    // Columns 4 * group to 4 * group + 3 of 16 rows.
    static __m512i group(const std::byte* weights, int group) {
        return _mm512_loadu_si512(weights + 64 * group);
    }
};

struct NibblesFormat {
    static constexpr size_t kBlockBytes = kNibbleBlock;
    static constexpr int32_t kOffset = kQ4Offset;

    static __m512i group(const std::byte* weights, int group) {
        const __m512i both = _mm512_loadu_si512(weights + 64 * (group % 4));
        const __m512i low = _mm512_set1_epi8(15);
        return _mm512_and_si512(group < 4 ? both : _mm512_srli_epi16(both, 4), low);
    }
};

// ---- Products

struct F32Format {
    static constexpr size_t kColumnBytes = 64;
    static __m512 load(const std::byte* column) { return _mm512_loadu_ps(column); }
};

// Q8_0 and Q4_0: acc = fma(float(sum), scale_w * scale_x, acc) per block.
template <class Format>
struct BlockProduct {
    static constexpr int kPairTokens = 6;  // 24 accumulators, 2 weights, 1 broadcast, 2 scales
    static constexpr int kSingleTokens = 8;

    template <int Panels, int Tokens>
    [[gnu::always_inline]] static void add_block(const TileJob& job, size_t k, size_t at,
                                                 Accumulators<Panels, Tokens>& acc) {
        const ActivationView& x = job.product->x;
        const std::byte* scales = job.panel + scales_of_block(k, Format::kBlockBytes);
        __m512i sum[Panels][Tokens];
        dot_block<Format, Panels, Tokens>(job, job.panel + values_of_block(k, Format::kBlockBytes),
                                          x.values + at * kBlockCols, x.sums + at, sum);
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            const __m512 scale = F16Format::load(scales + p * job.product->panel_bytes);
            add_scaled<Tokens>(sum[p], scale, x.scales + at, x.cols / kBlockCols, acc[p]);
        }
    }
};

// I8C: fma by scale_x into the group's accumulator, by the row's scale at the end of a group.
struct GroupProduct {
    static constexpr int kPairTokens = 5;  // the group's accumulators are alive besides the sums
    static constexpr int kSingleTokens = 8;

    // Adds the blocks [begin, end) of one group.
    template <int Panels, int Tokens>
    [[gnu::always_inline]] static void add_group(const TileJob& job, size_t begin, size_t end,
                                                 const std::byte* values,
                                                 Accumulators<Panels, Tokens>& group) {
        const ActivationView& x = job.product->x;
        const size_t blocks = x.cols / kBlockCols;
        for (size_t k = begin; k < end; ++k, values += kByteBlock) {
            const size_t at = job.token * blocks + k;
            __m512i sum[Panels][Tokens];
            dot_block<BytesFormat, Panels, Tokens>(job, values, x.values + at * kBlockCols,
                                                   x.sums + at, sum);
#pragma GCC unroll 16
            for (int t = 0; t < Tokens; ++t) {
                const __m512 x_scale = _mm512_set1_ps(x.scales[at + t * blocks]);
#pragma GCC unroll 2
                for (int p = 0; p < Panels; ++p) {
                    group[p][t] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[p][t]), x_scale, group[p][t]);
                }
            }
        }
    }

    template <int Panels, int Tokens>
    static void tile(const TileJob& job) {
        const PanelProduct& product = *job.product;
        const size_t group_blocks = product.x.cols / kBlockCols / product.scale_groups;
        const size_t end = product.col_end / kBlockCols;
        Accumulators<Panels, Tokens> acc;
        start<Panels, Tokens>(job, acc);
        for (size_t k = product.col_begin / kBlockCols; k < end; k += group_blocks) {
            const std::byte* values = job.panel + values_of_group_block(k, group_blocks);
            Accumulators<Panels, Tokens> group = {};
            add_group<Panels, Tokens>(job, k, k + group_blocks, values, group);
            const std::byte* scales = values + group_blocks * kByteBlock;
#pragma GCC unroll 2
            for (int p = 0; p < Panels; ++p) {
                const __m512 scale = Bf16Format::load(scales + p * product.panel_bytes);
#pragma GCC unroll 16
                for (int t = 0; t < Tokens; ++t) {
                    acc[p][t] = _mm512_fmadd_ps(group[p][t], scale, acc[p][t]);
                }
            }
        }
        store<Panels, Tokens>(job, acc);
    }
};

// F32, F16, BF16: one fma per column.
template <class Format>
struct FloatProduct {
    static constexpr int kPairTokens = 8;
    static constexpr int kSingleTokens = 8;

    template <int Panels, int Tokens>
    static void tile(const TileJob& job) {
        const PanelProduct& product = *job.product;
        const size_t cols = product.x.cols;
        Accumulators<Panels, Tokens> acc;
        start<Panels, Tokens>(job, acc);
        const float* first = product.x.floats + job.token * cols;
        for (size_t k = product.col_begin; k < product.col_end; ++k) {
            __m512 w[Panels];
#pragma GCC unroll 2
            for (int p = 0; p < Panels; ++p) {
                w[p] = Format::load(job.panel + p * product.panel_bytes + k * Format::kColumnBytes);
            }
#pragma GCC unroll 16
            for (int t = 0; t < Tokens; ++t) {
                const __m512 value = _mm512_set1_ps(first[t * cols + k]);
#pragma GCC unroll 2
                for (int p = 0; p < Panels; ++p) {
                    acc[p][t] = _mm512_fmadd_ps(w[p], value, acc[p][t]);
                }
            }
        }
        store<Panels, Tokens>(job, acc);
    }
};

// ---- Activations

void quantize(const float* x, uint32_t n, int8_t* values, float* scales, int32_t* sums) {
    for (uint32_t block = 0; block < n / kBlockCols; ++block, x += kBlockCols) {
        const __m512 low = _mm512_loadu_ps(x);
        const __m512 high = _mm512_loadu_ps(x + 16);
        const float largest =
            _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        float d = largest / 127.0F;
        if (d < kSmallestScale) d = 0.0F;
        const __m512 inverse = _mm512_set1_ps(d == 0.0F ? 0.0F : 1.0F / d);
        const __m512i q_low = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
        const __m512i q_high = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
        auto* out = reinterpret_cast<__m128i*>(values + size_t{block} * kBlockCols);
        _mm_storeu_si128(out, _mm512_cvtepi32_epi8(q_low));
        _mm_storeu_si128(out + 1, _mm512_cvtepi32_epi8(q_high));
        scales[block] = d;
        sums[block] = _mm512_reduce_add_epi32(_mm512_add_epi32(q_low, q_high));
    }
}

// ---- Probes

// The compiler must believe that *value is read and changed here, or it folds the loops below.
void keep(__m512i* value) {
    __asm__ volatile("" : : "r"(value) : "memory");
}

uint32_t read_memory(const std::byte* data, size_t bytes) {
    __m512i sum[4] = {};
    size_t i = 0;
    for (; i + 256 <= bytes; i += 256) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
            sum[v] = _mm512_add_epi32(sum[v], _mm512_loadu_si512(data + i + 64 * v));
        }
    }
    return static_cast<uint32_t>(_mm512_reduce_add_epi32(
        _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]))));
}

uint64_t int8_work(uint64_t rounds) {
    constexpr int kChains = 16;  // more than latency times ports
    __m512i sum[kChains];
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
        sum[c] = _mm512_set1_epi32(c);  // equal chains would become one
    }
    __m512i w = _mm512_set1_epi8(3);
    __m512i x = _mm512_set1_epi8(5);
    for (uint64_t i = 0; i < rounds; ++i) {
        keep(&w);
        keep(&x);
#pragma GCC unroll 16
        for (int c = 0; c < kChains; ++c) {
            sum[c] = _mm512_dpbusd_epi32(sum[c], w, x);
        }
    }
    __m512i all = sum[0];
#pragma GCC unroll 16
    for (int c = 1; c < kChains; ++c) {
        all = _mm512_add_epi32(all, sum[c]);
    }
    keep(&all);
    return rounds * kChains * 64 * 2;
}

}  // namespace

void apply_avx512vnni(Kernels& kernels) {
    kernels.name = "avx512vnni";
    kernels.quantize = quantize;
    kernels.matmul_f32 = matmul<FloatProduct<F32Format>, 1>;
    kernels.matmul_f16 = matmul<FloatProduct<F16Format>, 1>;
    kernels.matmul_bf16 = matmul<FloatProduct<Bf16Format>, 1>;
    kernels.matmul_q8_0 = matmul<TileProduct<BlockProduct<BytesFormat>>, 4>;
    kernels.matmul_q4_0 = matmul<TileProduct<BlockProduct<NibblesFormat>>, 4>;
    kernels.matmul_i8c = matmul<GroupProduct, 4>;
    apply_quants_avx512vnni(kernels);
    kernels.read_memory = read_memory;
    kernels.int8_work = int8_work;
}

}  // namespace core

#pragma GCC pop_options

#endif  // MOXIE_X86_TIERS
