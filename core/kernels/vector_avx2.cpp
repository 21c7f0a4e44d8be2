// The vector kernels for AVX2 with FMA and F16C: Lanes is two registers. vector_scalar.cpp says
// what each operation means.
#include "core/kernels/tiers.h"
#include "core/kernels/vector.h"

#if MOXIE_X86_TIERS

#include <immintrin.h>

// Until the end of the file: see vector_avx512.cpp.
#pragma GCC target("avx2,fma,f16c")

namespace core {
namespace {

struct Lanes {
    static constexpr uint32_t kTileRows = 2;
    static constexpr uint32_t kTileVectors = 2;

    __m256 low;   // lanes 0 to 7
    __m256 high;  // lanes 8 to 15

    // All bits set in lanes begin <= first + i < end of eight.
    static __m256 mask(int begin, int end, int first) {
        const __m256i index =
            _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
        const __m256i below_end = _mm256_cmpgt_epi32(_mm256_set1_epi32(end), index);
        const __m256i below_begin = _mm256_cmpgt_epi32(_mm256_set1_epi32(begin), index);
        return _mm256_castsi256_ps(_mm256_andnot_si256(below_begin, below_end));
    }
    static int count(uint32_t n) { return n < 16 ? static_cast<int>(n) : 16; }

    static Lanes broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static Lanes load_first(const float* p, uint32_t n) {
        if (n >= 16) return load(p);
        const int lanes = count(n);
        return {_mm256_maskload_ps(p, _mm256_castps_si256(mask(0, lanes, 0))),
                _mm256_maskload_ps(p + 8, _mm256_castps_si256(mask(0, lanes, 8)))};
    }
    static Lanes load_half(const uint16_t* p) {
        return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
                _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
    }
    static Lanes load_bytes(const int8_t* p) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
    }
    void store(float* p) const {
        _mm256_storeu_ps(p, low);
        _mm256_storeu_ps(p + 8, high);
    }
    void store_first(float* p, uint32_t n) const {
        if (n >= 16) {
            store(p);
            return;
        }
        const int lanes = count(n);
        _mm256_maskstore_ps(p, _mm256_castps_si256(mask(0, lanes, 0)), low);
        _mm256_maskstore_ps(p + 8, _mm256_castps_si256(mask(0, lanes, 8)), high);
    }
    void store_half(uint16_t* p) const {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         _mm256_cvtps_ph(low, _MM_FROUND_TO_NEAREST_INT));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8),
                         _mm256_cvtps_ph(high, _MM_FROUND_TO_NEAREST_INT));
    }
    void store_rounded(int8_t* p) const {
        const __m256 magic = _mm256_set1_ps(12582912.0F);
        const __m256i byte = _mm256_set1_epi32(0xff);
        const __m256i a = _mm256_and_si256(_mm256_castps_si256(_mm256_add_ps(low, magic)), byte);
        const __m256i b = _mm256_and_si256(_mm256_castps_si256(_mm256_add_ps(high, magic)), byte);
        // packus interleaves the 128-bit halves: a0 b0 a1 b1 becomes a0 a1 b0 b1.
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8);
        _mm_storeu_si128(
            reinterpret_cast<__m128i*>(p),
            _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
    float first() const { return _mm256_cvtss_f32(low); }
};

Lanes operator+(Lanes a, Lanes b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
Lanes operator-(Lanes a, Lanes b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
Lanes operator*(Lanes a, Lanes b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
Lanes operator/(Lanes a, Lanes b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
Lanes min(Lanes a, Lanes b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
Lanes max(Lanes a, Lanes b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
Lanes fma(Lanes a, Lanes b, Lanes c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
Lanes abs(Lanes a) {
    const __m256 bit = _mm256_set1_ps(-0.0F);
    return {_mm256_andnot_ps(bit, a.low), _mm256_andnot_ps(bit, a.high)};
}
__m256 copy_sign(__m256 magnitude, __m256 sign) {
    const __m256 bit = _mm256_set1_ps(-0.0F);
    return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
Lanes copy_sign(Lanes magnitude, Lanes sign) {
    return {copy_sign(magnitude.low, sign.low), copy_sign(magnitude.high, sign.high)};
}
__m256 power_of_two(__m256 x) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(x), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3f800000)));
}
Lanes power_of_two(Lanes x) {
    return {power_of_two(x.low), power_of_two(x.high)};
}
Lanes select_less(Lanes a, Lanes b, Lanes yes, Lanes no) {
    return {_mm256_blendv_ps(no.low, yes.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
            _mm256_blendv_ps(no.high, yes.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ))};
}
Lanes keep(Lanes a, uint32_t begin, uint32_t end, Lanes other, uint32_t base = 0) {
    // Kept within 16 lanes before the signed comparison: begin and end may be any uint32_t.
    const int from = begin > base ? Lanes::count(begin - base) : 0;
    const int to = end > base ? Lanes::count(end - base) : 0;
    return {_mm256_blendv_ps(other.low, a.low, Lanes::mask(from, to, 0)),
            _mm256_blendv_ps(other.high, a.high, Lanes::mask(from, to, 8))};
}
float sum(Lanes a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
float maximum(Lanes a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#include "core/kernels/attention_algorithm.h"

}  // namespace

const VectorKernels& vector_kernels_avx2() {
    return kVectorKernels;
}

}  // namespace core

#endif  // MOXIE_X86_TIERS
