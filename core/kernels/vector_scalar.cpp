// The vector kernels for any CPU: Lanes is an array of 16 floats. This file also says what every
// tier's Lanes offers.
#include <bit>
#include <cmath>

#include "core/base/half.h"
#include "core/kernels/vector.h"

namespace core {
namespace {

struct Lanes {
    // Rows and vectors of the attention's register tile.
    static constexpr uint32_t kTileRows = 2;
    static constexpr uint32_t kTileVectors = 2;

    float v[16];

    static Lanes broadcast(float x) {
        Lanes r;
        for (float& lane : r.v)
            lane = x;
        return r;
    }
    static Lanes load(const float* p) {
        Lanes r;
        for (int i = 0; i < 16; ++i)
            r.v[i] = p[i];
        return r;
    }
    // Lanes from `n` on are 0; n may exceed 16.
    static Lanes load_first(const float* p, uint32_t n) {
        Lanes r;
        for (uint32_t i = 0; i < 16; ++i)
            r.v[i] = i < n ? p[i] : 0.0F;
        return r;
    }
    static Lanes load_half(const uint16_t* p) {
        Lanes r;
        for (int i = 0; i < 16; ++i)
            r.v[i] = f16_to_f32(p[i]);
        return r;
    }
    static Lanes load_bytes(const int8_t* p) {
        Lanes r;
        for (int i = 0; i < 16; ++i)
            r.v[i] = p[i];
        return r;
    }
    void store(float* p) const {
        for (int i = 0; i < 16; ++i)
            p[i] = v[i];
    }
    void store_first(float* p, uint32_t n) const {
        for (uint32_t i = 0; i < 16 && i < n; ++i)
            p[i] = v[i];
    }
    void store_half(uint16_t* p) const {
        for (int i = 0; i < 16; ++i)
            p[i] = f32_to_f16(v[i]);
    }
    // Nearest even integers of |x| < 2^22, as bytes. The addition rounds, its low byte is the
    // result: every tier does it this way, NaN included.
    void store_rounded(int8_t* p) const {
        for (int i = 0; i < 16; ++i)
            p[i] = static_cast<int8_t>(std::bit_cast<uint32_t>(v[i] + 12582912.0F));
    }
    float first() const { return v[0]; }
};

template <class Operation>
Lanes each(const Lanes& a, const Lanes& b, Operation operation) {
    Lanes r;
    for (int i = 0; i < 16; ++i)
        r.v[i] = operation(a.v[i], b.v[i]);
    return r;
}

Lanes operator+(const Lanes& a, const Lanes& b) {
    return each(a, b, [](float x, float y) { return x + y; });
}
Lanes operator-(const Lanes& a, const Lanes& b) {
    return each(a, b, [](float x, float y) { return x - y; });
}
Lanes operator*(const Lanes& a, const Lanes& b) {
    return each(a, b, [](float x, float y) { return x * y; });
}
Lanes operator/(const Lanes& a, const Lanes& b) {
    return each(a, b, [](float x, float y) { return x / y; });
}
// (a < b ? a : b) and (a > b ? a : b): with a NaN the result is b, as minps and maxps have it.
Lanes min(const Lanes& a, const Lanes& b) {
    return each(a, b, [](float x, float y) { return x < y ? x : y; });
}
Lanes max(const Lanes& a, const Lanes& b) {
    return each(a, b, [](float x, float y) { return x > y ? x : y; });
}
// a * b + c with one rounding.
Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
    Lanes r;
    for (int i = 0; i < 16; ++i)
        r.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
    return r;
}
Lanes abs(const Lanes& a) {
    return each(a, a, [](float x, float) { return std::fabs(x); });
}
Lanes copy_sign(const Lanes& magnitude, const Lanes& sign) {
    return each(magnitude, sign, [](float x, float y) { return std::copysign(x, y); });
}
// 2^n of x = n + 1.5 * 2^23, for n that give a normal float.
Lanes power_of_two(const Lanes& x) {
    return each(x, x, [](float n, float) {
        return std::bit_cast<float>((std::bit_cast<uint32_t>(n) << 23) + 0x3f800000U);
    });
}
// Per lane: a < b ? yes : no.
Lanes select_less(const Lanes& a, const Lanes& b, const Lanes& yes, const Lanes& no) {
    Lanes r;
    for (int i = 0; i < 16; ++i)
        r.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
    return r;
}
// Lane i keeps its value when begin <= base + i < end, else takes the other's.
Lanes keep(const Lanes& a, uint32_t begin, uint32_t end, const Lanes& other, uint32_t base = 0) {
    Lanes r;
    for (uint32_t i = 0; i < 16; ++i)
        r.v[i] = begin <= base + i && base + i < end ? a.v[i] : other.v[i];
    return r;
}
// The fixed tree: lanes i and i + 8, then + 4, + 2, + 1.
float sum(Lanes a) {
    for (int width = 8; width >= 1; width /= 2)
        for (int i = 0; i < width; ++i)
            a.v[i] = a.v[i] + a.v[i + width];
    return a.v[0];
}
float maximum(Lanes a) {
    for (int width = 8; width >= 1; width /= 2)
        for (int i = 0; i < width; ++i)
            a.v[i] = a.v[i] > a.v[i + width] ? a.v[i] : a.v[i + width];
    return a.v[0];
}

#include "core/kernels/attention_algorithm.h"

}  // namespace

const VectorKernels& vector_kernels_scalar() {
    return kVectorKernels;
}

}  // namespace core
