// The vector kernels for AVX-512 (F, BW, DQ, VL): Lanes is one register. vector_scalar.cpp says
// what each operation means.
// GCC 12 takes the undefined operands inside its own AVX-512 intrinsics for bugs (GCC PR105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "core/kernels/tiers.h"
#include "core/kernels/vector.h"

#if MOXIE_X86_TIERS

#include <immintrin.h>

// Until the end of the file: GCC compiles a template where it is instantiated. Nothing of the
// standard library is used below, so no function of it is compiled for this CPU.
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")

namespace core {
namespace {

struct Lanes {
    static constexpr uint32_t kTileRows = 4;
    static constexpr uint32_t kTileVectors = 4;

    __m512 v;

    // Lanes [0, n).
    static __mmask16 first_lanes(uint32_t n) {
        return n >= 16 ? 0xffff : static_cast<__mmask16>((1U << n) - 1);
    }
    static Lanes broadcast(float x) { return {_mm512_set1_ps(x)}; }
    static Lanes load(const float* p) { return {_mm512_loadu_ps(p)}; }
    static Lanes load_first(const float* p, uint32_t n) {
        return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
    }
    static Lanes load_half(const uint16_t* p) {
        return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
    }
    static Lanes load_bytes(const int8_t* p) {
        return {_mm512_cvtepi32_ps(
            _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
    }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    void store_first(float* p, uint32_t n) const { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
    void store_half(uint16_t* p) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
    void store_rounded(int8_t* p) const {
        const __m512 rounded = _mm512_add_ps(v, _mm512_set1_ps(12582912.0F));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                         _mm512_cvtepi32_epi8(_mm512_castps_si512(rounded)));
    }
    float first() const { return _mm512_cvtss_f32(v); }
};

Lanes operator+(Lanes a, Lanes b) {
    return {_mm512_add_ps(a.v, b.v)};
}
Lanes operator-(Lanes a, Lanes b) {
    return {_mm512_sub_ps(a.v, b.v)};
}
Lanes operator*(Lanes a, Lanes b) {
    return {_mm512_mul_ps(a.v, b.v)};
}
Lanes operator/(Lanes a, Lanes b) {
    return {_mm512_div_ps(a.v, b.v)};
}
Lanes min(Lanes a, Lanes b) {
    return {_mm512_min_ps(a.v, b.v)};
}
Lanes max(Lanes a, Lanes b) {
    return {_mm512_max_ps(a.v, b.v)};
}
Lanes fma(Lanes a, Lanes b, Lanes c) {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
Lanes abs(Lanes a) {
    return {_mm512_abs_ps(a.v)};
}
Lanes copy_sign(Lanes magnitude, Lanes sign) {
    const __m512 bit = _mm512_set1_ps(-0.0F);
    return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
}
Lanes power_of_two(Lanes x) {
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(x.v), 23);
    return {_mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3f800000)))};
}
Lanes select_less(Lanes a, Lanes b, Lanes yes, Lanes no) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
Lanes keep(Lanes a, uint32_t begin, uint32_t end, Lanes other, uint32_t base = 0) {
    const __mmask16 below_end = end > base ? Lanes::first_lanes(end - base) : 0;
    const __mmask16 below_begin = begin > base ? Lanes::first_lanes(begin - base) : 0;
    return {_mm512_mask_blend_ps(below_end & ~below_begin, other.v, a.v)};
}
float sum(Lanes a) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
float maximum(Lanes a) {
    const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#include "core/kernels/attention_algorithm.h"

}  // namespace

const VectorKernels& vector_kernels_avx512() {
    return kVectorKernels;
}

}  // namespace core

#endif  // MOXIE_X86_TIERS
