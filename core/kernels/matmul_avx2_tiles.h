// Tiles of one panel x Tokens sums in registers, for the sources of the AVX2 tier: included inside
// their target region and namespace, after <immintrin.h> and core/kernels/tiers.h.

inline constexpr int kHalves = 2;  // registers per panel
inline constexpr uint32_t kHalfRows = 8;

inline __m256i load_bytes(const std::byte* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}

inline __m256i broadcast_four(const int8_t* from) {
    int32_t four = 0;
    __builtin_memcpy(&four, from, sizeof(four));
    return _mm256_set1_epi32(four);
}

// ---- Element formats: how 8 values in storage type become floats.

struct F16Format {
    static constexpr size_t kBytes = 2;
    static __m256 load(const std::byte* from) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
};

struct Bf16Format {
    static constexpr size_t kBytes = 2;
    static __m256 load(const std::byte* from) {
        const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    }
};

// ---- Tiles: one panel times `Tokens` tokens

struct TileJob {
    const PanelProduct* product;
    const std::byte* panel;
    uint32_t row;
    uint32_t token;
};

template <int Tokens>
using Accumulators = __m256[kHalves][Tokens];

// Zero, or where the sums stand when earlier columns are done.
template <int Tokens>
[[gnu::always_inline]] inline void start(const TileJob& job, Accumulators<Tokens>& acc) {
    const PanelProduct& product = *job.product;
    const uint32_t left = product.rows - job.row;
    const float* y = product.y + job.token * product.y_stride + job.row;
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t, y += product.y_stride) {
        acc[0][t] = _mm256_setzero_ps();
        acc[1][t] = _mm256_setzero_ps();
        if (product.col_begin == 0) continue;
        float lanes[kPanelRows] = {};
        __builtin_memcpy(lanes, y, (left < kPanelRows ? left : kPanelRows) * sizeof(float));
        acc[0][t] = _mm256_loadu_ps(lanes);
        acc[1][t] = _mm256_loadu_ps(lanes + kHalfRows);
    }
}

template <int Tokens>
[[gnu::always_inline]] inline void store(const TileJob& job, Accumulators<Tokens>& acc) {
    const PanelProduct& product = *job.product;
    const uint32_t left = product.rows - job.row;
    float* y = product.y + job.token * product.y_stride + job.row;
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t, y += product.y_stride) {
        if (left >= kPanelRows) {
            _mm256_storeu_ps(y, acc[0][t]);
            _mm256_storeu_ps(y + kHalfRows, acc[1][t]);
            continue;
        }
        float lanes[kPanelRows];
        _mm256_storeu_ps(lanes, acc[0][t]);
        _mm256_storeu_ps(lanes + kHalfRows, acc[1][t]);
        __builtin_memcpy(y, lanes, left * sizeof(float));
    }
}

// acc += float(sum) * (scale * x_scale) for half a panel; `x_scales`: of the first token's block.
template <int Tokens>
[[gnu::always_inline]] inline void add_scaled(const __m256i (&sum)[Tokens], __m256 scale,
                                              const float* x_scales, size_t blocks,
                                              __m256 (&acc)[Tokens]) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
        const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(x_scales[t * blocks]));
        acc[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[t]), both, acc[t]);
    }
}

// A product that goes from block to block: Blocks::block(job, k, h, acc) adds block k of half h of
// the panel's rows.
template <class Blocks>
struct TileProduct {
    static constexpr int kTokens = Blocks::kTokens;

    template <int Tokens>
    static void tile(const TileJob& job) {
        const PanelProduct& product = *job.product;
        Accumulators<Tokens> acc;
        start<Tokens>(job, acc);
        for (size_t k = product.col_begin / kBlockCols; k < product.col_end / kBlockCols; ++k) {
#pragma GCC unroll 2
            for (int h = 0; h < kHalves; ++h) {
                Blocks::template block<Tokens>(job, k, static_cast<size_t>(h), acc[h]);
            }
        }
        store<Tokens>(job, acc);
    }
};

// ---- From a product to its tiles

template <class Product, int Tokens>
void last_tile(const TileJob& job, uint32_t tokens) {
    if (tokens == static_cast<uint32_t>(Tokens)) {
        Product::template tile<Tokens>(job);
    } else if constexpr (Tokens > 1) {
        last_tile<Product, Tokens - 1>(job, tokens);
    }
}

template <class Product>
void matmul(const PanelProduct& product) {
    constexpr int kTokens = Product::kTokens;
    TileJob job{&product, product.panels, 0, 0};
    for (; job.row < product.rows; job.row += kPanelRows, job.panel += product.panel_bytes) {
        job.token = product.token_begin;
        for (; job.token + kTokens <= product.token_end; job.token += kTokens) {
            Product::template tile<kTokens>(job);
        }
        if (job.token < product.token_end) {
            last_tile<Product, kTokens - 1>(job, product.token_end - job.token);
        }
    }
}
