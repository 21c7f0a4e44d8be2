#include "tests/support/storage.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace support {
namespace {

constexpr uint32_t kBlock = 32;

void put_u16(std::vector<std::byte>& out, uint16_t bits) {
    out.push_back(static_cast<std::byte>(bits & 0xFF));
    out.push_back(static_cast<std::byte>(bits >> 8));
}

void encode_f32(const std::vector<float>& values, Encoded& out) {
    out.data.resize(values.size() * sizeof(float));
    std::memcpy(out.data.data(), values.data(), out.data.size());
    out.values = values;
}

void encode_16bit(const std::vector<float>& values, bool half, Encoded& out) {
    for (const float value : values) {
        const uint16_t bits = half ? half_from_float(value) : bf16_from_float(value);
        put_u16(out.data, bits);
        out.values.push_back(half ? float_from_half(bits) : float_from_bf16(bits));
    }
}

// d = max |x| / 127 stored as half; the integers are rounded half away from zero with 1 / d in f32.
void encode_q8_0_block(const float* x, Encoded& out) {
    float largest = 0.0F;
    for (uint32_t i = 0; i < kBlock; ++i)
        largest = std::max(largest, std::fabs(x[i]));
    const float d = largest / 127.0F;
    const float inverse = d == 0.0F ? 0.0F : 1.0F / d;
    const uint16_t stored = half_from_float(d);
    put_u16(out.data, stored);
    for (uint32_t i = 0; i < kBlock; ++i) {
        const auto q = static_cast<int>(std::round(x[i] * inverse));
        out.data.push_back(static_cast<std::byte>(static_cast<uint8_t>(q)));
        out.values.push_back(float_from_half(stored) * static_cast<float>(q));
    }
}

// m = the value of largest magnitude with its sign, d = m / -8, n = min(15, trunc(x / d + 8.5)).
// Elements i and i + 16 share a byte.
void encode_q4_0_block(const float* x, Encoded& out) {
    float extreme = 0.0F;
    for (uint32_t i = 0; i < kBlock; ++i)
        if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
    const float d = extreme / -8.0F;
    const float inverse = d == 0.0F ? 0.0F : 1.0F / d;
    const uint16_t stored = half_from_float(d);
    put_u16(out.data, stored);
    int nibbles[kBlock];
    for (uint32_t i = 0; i < kBlock; ++i)
        nibbles[i] = std::min(15, static_cast<int>(x[i] * inverse + 8.5F));
    for (uint32_t i = 0; i < kBlock / 2; ++i)
        out.data.push_back(static_cast<std::byte>(nibbles[i] | nibbles[i + 16] << 4));
    for (const int nibble : nibbles)
        out.values.push_back(float_from_half(stored) * static_cast<float>(nibble - 8));
}

// One int8 per element and one bf16 scale per (row, column group).
void encode_i8c_row(const float* x, uint32_t cols, Encoded& out) {
    const uint32_t width = cols / out.scale_groups;
    for (uint32_t begin = 0; begin < cols; begin += width) {
        float largest = 0.0F;
        for (uint32_t i = 0; i < width; ++i)
            largest = std::max(largest, std::fabs(x[begin + i]));
        const uint16_t stored = bf16_from_float(largest / 127.0F);
        const float scale = float_from_bf16(stored);
        put_u16(out.scales, stored);
        for (uint32_t i = 0; i < width; ++i) {
            const float quotient = scale == 0.0F ? 0.0F : x[begin + i] / scale;
            const int q = std::clamp(static_cast<int>(std::round(quotient)), -127, 127);
            out.data.push_back(static_cast<std::byte>(static_cast<uint8_t>(q)));
            out.values.push_back(scale * static_cast<float>(q));
        }
    }
}

}  // namespace

std::string name(Storage storage) {
    switch (storage) {
        case Storage::f32: return "f32";
        case Storage::f16: return "f16";
        case Storage::bf16: return "bf16";
        case Storage::q8_0: return "q8_0";
        case Storage::q4_0: return "q4_0";
        case Storage::i8c: return "i8c";
    }
    return {};
}

bool rounds_inputs(Storage storage) {
    return storage == Storage::q8_0 || storage == Storage::q4_0 || storage == Storage::i8c;
}

uint16_t half_from_float(float value) {
    const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
    const double magnitude = std::fabs(static_cast<double>(value));
    if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7E00);
    if (magnitude >= 65520.0) return static_cast<uint16_t>(sign | 0x7C00);
    if (magnitude == 0.0) return sign;
    // The spacing of halves around the value: 2^(exponent - 10), at least the subnormal 2^-24.
    const int exponent = std::max(std::ilogb(magnitude), -14);
    const double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
    // `steps` is below 1024 for subnormals and may be 2048 after rounding up: both carry correctly.
    return static_cast<uint16_t>(sign + (exponent + 14) * 1024 + static_cast<int>(steps));
}

float float_from_half(uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int mantissa = bits & 1023;
    const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
    if (exponent == 31) return mantissa == 0 ? sign * INFINITY : NAN;
    if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
    return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

uint16_t bf16_from_float(float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float float_from_bf16(uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

Encoded encode(Storage storage, const std::vector<float>& values, uint32_t rows, uint32_t cols,
               uint32_t groups) {
    Encoded out;
    out.values.reserve(values.size());
    // Two groups where the row is long enough, so that the group arithmetic is exercised.
    if (storage == Storage::i8c) out.scale_groups = groups != 0 ? groups : cols % 64 == 0 ? 2 : 1;
    switch (storage) {
        case Storage::f32: encode_f32(values, out); break;
        case Storage::f16: encode_16bit(values, true, out); break;
        case Storage::bf16: encode_16bit(values, false, out); break;
        case Storage::q8_0:
            for (size_t i = 0; i < values.size(); i += kBlock)
                encode_q8_0_block(&values[i], out);
            break;
        case Storage::q4_0:
            for (size_t i = 0; i < values.size(); i += kBlock)
                encode_q4_0_block(&values[i], out);
            break;
        case Storage::i8c:
            for (uint32_t row = 0; row < rows; ++row)
                encode_i8c_row(&values[size_t{row} * cols], cols, out);
            break;
    }
    return out;
}

}  // namespace support
