// Tiles of Panels x Tokens sums in registers, for the sources of the AVX-512 VNNI tier: included
// inside their target region and namespace, after <immintrin.h> and core/kernels/tiers.h.

// ---- Element formats: how 16 values in storage type become floats.

struct F16Format {
    static constexpr size_t kColumnBytes = 32;
    static __m512 load(const std::byte* column) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(column)));
    }
};

struct Bf16Format {
    static constexpr size_t kColumnBytes = 32;
    static __m512 load(const std::byte* column) {
        const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(column));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
    }
};

// ---- Tiles

inline int32_t load_int32(const int8_t* from) {
    int32_t value = 0;
    __builtin_memcpy(&value, from, sizeof(value));
    return value;
}

// What a tile works on: `Panels` panels from `panel` on, `Tokens` tokens from `token` on.
struct TileJob {
    const PanelProduct* product;
    const std::byte* panel;
    uint32_t row;  // of the first panel
    uint32_t token;
};

template <int Panels, int Tokens>
using Accumulators = __m512[Panels][Tokens];

// The rows of a tile's panel p that exist, and where they lie in y for its first token.
struct RowsOfPanel {
    __mmask16 mask;
    float* y;

    RowsOfPanel(const TileJob& job, int p) {
        const PanelProduct& product = *job.product;
        const uint32_t row = job.row + static_cast<uint32_t>(p) * kPanelRows;
        const uint32_t left = product.rows - row;
        mask = static_cast<__mmask16>(left >= kPanelRows ? 0xffffU : (1U << left) - 1);
        y = product.y + job.token * product.y_stride + row;
    }
};

// Zero, or where the sums stand when earlier columns are done.
template <int Panels, int Tokens>
[[gnu::always_inline]] inline void start(const TileJob& job, Accumulators<Panels, Tokens>& acc) {
    const size_t stride = job.product->y_stride;
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) {
        const RowsOfPanel rows(job, p);
        const __mmask16 mask = job.product->col_begin == 0 ? __mmask16{0} : rows.mask;
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
            acc[p][t] = _mm512_maskz_loadu_ps(mask, rows.y + static_cast<size_t>(t) * stride);
        }
    }
}

template <int Panels, int Tokens>
[[gnu::always_inline]] inline void store(const TileJob& job, Accumulators<Panels, Tokens>& acc) {
    const size_t stride = job.product->y_stride;
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p) {
        const RowsOfPanel rows(job, p);
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
            _mm512_mask_storeu_ps(rows.y + static_cast<size_t>(t) * stride, rows.mask, acc[p][t]);
        }
    }
}

// Few tokens: the limit is memory, and a block is done long before the next one has come. The
// hardware's prefetcher alone left Q4_0 at 75 % of the read bandwidth; asked for 4 KB ahead, it
// reaches it. With many tokens the weights come from the cache, and this would be in the way.
template <int Panels, int Tokens>
[[gnu::always_inline]] inline void fetch_ahead(const std::byte* weights, size_t bytes,
                                               size_t panel_bytes) {
    constexpr size_t kAhead = 4096;
    if constexpr (Tokens <= 4) {
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            // From the line before on: the scales of two blocks lie there.
            const std::byte* first = weights + p * panel_bytes + kAhead - kScaleLine;
#pragma GCC unroll 16
            for (size_t i = 0; i < bytes + kScaleLine; i += 64) {
                _mm_prefetch(reinterpret_cast<const char*>(first + i), _MM_HINT_T0);
            }
        }
    }
}

// sum[p][t] += the exact integer dot of the groups [First, Last) of four columns. `weights` are the
// values of the first panel's block, `x` the first token's.
template <class Format, int Panels, int Tokens, int First, int Last>
[[gnu::always_inline]] inline void add_groups(const TileJob& job, const std::byte* weights,
                                              const int8_t* x, __m512i (&sum)[Panels][Tokens]) {
    const size_t panel_bytes = job.product->panel_bytes;
    const size_t cols = job.product->x.cols;
#pragma GCC unroll 8
    for (int g = First; g < Last; ++g) {
        __m512i w[Panels];
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            w[p] = Format::group(weights + p * panel_bytes, g);
        }
#pragma GCC unroll 16
        for (int t = 0; t < Tokens; ++t) {
            const __m512i four = _mm512_set1_epi32(load_int32(x + t * cols + 4 * g));
#pragma GCC unroll 2
            for (int p = 0; p < Panels; ++p) {
                sum[p][t] = _mm512_dpbusd_epi32(sum[p][t], w[p], four);
            }
        }
    }
}

// sum[p][t] = exact integer dot of 32 columns; `x_sum`: of the first token's block.
template <class Format, int Panels, int Tokens>
[[gnu::always_inline]] inline void dot_block(const TileJob& job, const std::byte* weights,
                                             const int8_t* x, const int32_t* x_sum,
                                             __m512i (&sum)[Panels][Tokens]) {
    const size_t blocks = job.product->x.cols / kBlockCols;
    fetch_ahead<Panels, Tokens>(weights, Format::kBlockBytes, job.product->panel_bytes);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
        const __m512i correction = _mm512_set1_epi32(-Format::kOffset * x_sum[t * blocks]);
#pragma GCC unroll 2
        for (int p = 0; p < Panels; ++p) {
            sum[p][t] = correction;
        }
    }
    add_groups<Format, Panels, Tokens, 0, 8>(job, weights, x, sum);
}

// acc += float(sum) * (scale * x_scale) for one panel; `x_scales`: of the first token's block.
template <int Tokens>
[[gnu::always_inline]] inline void add_scaled(const __m512i (&sum)[Tokens], __m512 scale,
                                              const float* x_scales, size_t blocks,
                                              __m512 (&acc)[Tokens]) {
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
        const __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x_scales[t * blocks]));
        acc[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), both, acc[t]);
    }
}

// A product that goes from block to block: Blocks::add_block(job, k, at, acc) adds block k, which
// for the first token is block `at` of the activations.
template <class Blocks>
struct TileProduct {
    static constexpr int kPairTokens = Blocks::kPairTokens;
    static constexpr int kSingleTokens = Blocks::kSingleTokens;

    template <int Panels, int Tokens>
    static void tile(const TileJob& job) {
        const PanelProduct& product = *job.product;
        const size_t first = job.token * (product.x.cols / kBlockCols);
        Accumulators<Panels, Tokens> acc;
        start<Panels, Tokens>(job, acc);
        for (size_t k = product.col_begin / kBlockCols; k < product.col_end / kBlockCols; ++k) {
            Blocks::template add_block<Panels, Tokens>(job, k, first + k, acc);
        }
        store<Panels, Tokens>(job, acc);
    }
};

// ---- From a product to its tiles

// Tokens left over when full tiles are done: 1 to Tokens.
template <class Product, int Panels, int Tokens>
void last_tile(const TileJob& job, uint32_t tokens) {
    if (tokens == static_cast<uint32_t>(Tokens)) {
        Product::template tile<Panels, Tokens>(job);
    } else if constexpr (Tokens > 1) {
        last_tile<Product, Panels, Tokens - 1>(job, tokens);
    }
}

template <class Product, int Panels, int Tokens>
void all_tokens(TileJob job) {
    const uint32_t end = job.product->token_end;
    job.token = job.product->token_begin;
    for (; job.token + Tokens <= end; job.token += Tokens) {
        Product::template tile<Panels, Tokens>(job);
    }
    if (job.token < end) last_tile<Product, Panels, Tokens - 1>(job, end - job.token);
}

// `pair_from`: number of tokens from which two panels at a time are faster than one.
template <class Product, uint32_t pair_from>
void matmul(const PanelProduct& product) {
    TileJob job{&product, product.panels, 0, 0};
    if (product.token_end - product.token_begin >= pair_from) {
        for (; job.row + kPanelRows < product.rows; job.row += 2 * kPanelRows) {
            all_tokens<Product, 2, Product::kPairTokens>(job);
            job.panel += 2 * product.panel_bytes;
        }
    }
    for (; job.row < product.rows; job.row += kPanelRows) {
        all_tokens<Product, 1, Product::kSingleTokens>(job);
        job.panel += product.panel_bytes;
    }
}
