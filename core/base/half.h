// Storage of floats in 8 and 16 bits: IEEE half, bfloat16, and FP8 E4M3 (OCP "FN": no infinity).
//
// These are conversions between bit patterns and float, exact in one direction and rounded to
// nearest, ties to even, in the other. Plain integer arithmetic: the same bits on every machine.
#pragma once

#include <bit>
#include <cstdint>

namespace core {

namespace half_detail {

// Shifts right by 1 to 31 places, rounding to nearest, ties to even.
constexpr uint32_t shift_round_even(uint32_t value, uint32_t places) {
    const uint32_t half = (1u << (places - 1)) - 1 + ((value >> places) & 1u);
    return (value + half) >> places;
}

}  // namespace half_detail

// Exact, subnormals included; a NaN keeps its payload.
constexpr float f16_to_f32(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
    if (exponent != 0)
        return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
}

// Overflow gives infinity; a NaN stays one (made quiet, upper payload bits kept).
constexpr uint16_t f32_to_f16(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t half = 0;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) {  // 65520, halfway between 65504 and 65536
        half = 0x7c00u;
    } else if (magnitude >= 0x38800000u) {  // 2^-14, the smallest normal half
        half = half_detail::shift_round_even(magnitude - (112u << 23), 13);
    } else if (magnitude > 0x33000000u) {  // 2^-25, half of the smallest subnormal
        const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
        half = half_detail::shift_round_even(significand, 126 - (magnitude >> 23));
    }
    return static_cast<uint16_t>(sign | half);
}

constexpr float bf16_to_f32(uint16_t value) {
    return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

// Overflow gives infinity; a NaN stays one (made quiet, upper payload bits kept).
constexpr uint16_t f32_to_bf16(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    // Rounding the magnitude and the sign bit together is safe: finite values end at 0x7f80.
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// FP8 E4M3: bias 7, largest 448, 0x7f and 0xff are NaN, smallest 2^-9.
constexpr float e4m3_to_f32(uint8_t byte) {
    const uint32_t sign = static_cast<uint32_t>(byte & 0x80u) << 24;
    const uint32_t exponent = (byte >> 3) & 0xfu;
    const uint32_t mantissa = byte & 7u;
    if ((byte & 0x7fu) == 0x7fu) return std::bit_cast<float>(sign | 0x7fc00000u);
    if (exponent != 0)
        return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
    const float magnitude = static_cast<float>(mantissa) * 0x1p-9f;
    return sign != 0 ? -magnitude : magnitude;
}

// There is no infinity: what rounds beyond 448 becomes NaN, as in the frameworks that write it.
constexpr uint8_t f32_to_e4m3(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t byte = 0;
    if (magnitude > 0x43e80000u) {  // 464, halfway between 448 and what would be 480
        byte = 0x7fu;
    } else if (magnitude >= 0x3c800000u) {  // 2^-6, the smallest normal
        byte = half_detail::shift_round_even(magnitude - (120u << 23), 20);
    } else if (magnitude > 0x3a800000u) {  // 2^-10, half of the smallest subnormal
        const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
        byte = half_detail::shift_round_even(significand, 141 - (magnitude >> 23));
    }
    return static_cast<uint8_t>(sign | byte);
}

}  // namespace core
