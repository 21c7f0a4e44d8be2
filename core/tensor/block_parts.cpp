#include "core/tensor/block_parts.h"

#include <algorithm>
#include <cstring>

#include "core/base/half.h"

namespace core {

namespace {

constexpr uint16_t kSign = 0x8000;

template <class Block>
Block load(const std::byte* from) {
    Block block{};
    std::memcpy(&block, from, sizeof(block));
    return block;
}

template <class Block>
void store(const Block& block, std::byte* to) {
    std::memcpy(to, &block, sizeof(block));
}

// Blocks of 32 have one scale and one minimum.
void set_plain(BlockParts& parts, uint16_t scale, uint16_t minimum) {
    parts.scale = scale;
    parts.minimum = minimum;
    parts.factors[0] = 1;
    parts.minimums[0] = 1;
}

// 32 codes of four bits: elements i and i + 16 share a byte.
void split_nibbles(const uint8_t* bytes, uint8_t* codes) {
    for (size_t i = 0; i < kBlock / 2; ++i) {
        codes[i] = bytes[i] & 15;
        codes[i + kBlock / 2] = bytes[i] >> 4;
    }
}

void join_nibbles(const uint8_t* codes, uint8_t* bytes) {
    for (size_t i = 0; i < kBlock / 2; ++i)
        bytes[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + kBlock / 2] & 15) << 4);
}

// Bit i is the fifth of code i.
void split_fifth_bits(const uint8_t* high, uint8_t* codes) {
    for (size_t i = 0; i < kBlock; ++i)
        codes[i] = static_cast<uint8_t>(codes[i] | ((high[i / 8] >> (i % 8)) & 1) << 4);
}

void join_fifth_bits(const uint8_t* codes, uint8_t* high) {
    std::memset(high, 0, kBlock / 8);
    for (size_t i = 0; i < kBlock; ++i)
        high[i / 8] = static_cast<uint8_t>(high[i / 8] | ((codes[i] >> 4) & 1) << (i % 8));
}

// ---- Blocks of 32

void take_q8_0(const std::byte* from, BlockParts& parts) {
    const auto block = load<BlockQ8>(from);
    set_plain(parts, block.scale, 0);
    for (size_t i = 0; i < kBlock; ++i)
        parts.codes[i] = static_cast<uint8_t>(block.quants[i] + 128);
}

void put_q8_0(const BlockParts& parts, std::byte* to) {
    BlockQ8 block = {.scale = parts.scale, .quants = {}};
    for (size_t i = 0; i < kBlock; ++i)
        block.quants[i] = static_cast<int8_t>(parts.codes[i] - 128);
    store(block, to);
}

// Nibbles, where the block has them with a fifth bit and a minimum. The file adds its minimum; here
// it is subtracted as in the K-quants.
template <class Block>
void take_nibbles(const std::byte* from, BlockParts& parts) {
    const auto block = load<Block>(from);
    uint16_t minimum = 0;
    if constexpr (requires { block.minimum; }) minimum = block.minimum ^ kSign;
    set_plain(parts, block.scale, minimum);
    split_nibbles(block.quants, parts.codes.data());
    if constexpr (requires { block.high; }) split_fifth_bits(block.high, parts.codes.data());
}

template <class Block>
void put_nibbles(const BlockParts& parts, std::byte* to) {
    Block block{};
    block.scale = parts.scale;
    if constexpr (requires { block.minimum; })
        block.minimum = static_cast<uint16_t>(parts.minimum ^ kSign);
    join_nibbles(parts.codes.data(), block.quants);
    if constexpr (requires { block.high; }) join_fifth_bits(parts.codes.data(), block.high);
    store(block, to);
}

// bf16 has the exponents of E8M0, the two smallest as subnormal numbers.
void take_mxfp4(const std::byte* from, BlockParts& parts) {
    const auto block = load<BlockMxfp4>(from);
    const auto scale = block.exponent >= 2 ? static_cast<uint16_t>((block.exponent - 1) << 7)
                                           : static_cast<uint16_t>(0x20 << block.exponent);
    set_plain(parts, scale, 0);
    split_nibbles(block.quants, parts.codes.data());
}

// ---- Blocks of 256

void take_q2_k(const std::byte* from, BlockParts& parts) {
    const auto block = load<BlockQ2K>(from);
    parts.scale = block.scale;
    parts.minimum = block.minimum;
    for (size_t s = 0; s < parts.factors.size(); ++s) {
        parts.factors[s] = static_cast<int8_t>(block.scales[s] & 15);
        parts.minimums[s] = block.scales[s] >> 4;
    }
    for (size_t i = 0; i < kSuperBlock; ++i)
        parts.codes[i] = (block.quants[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
}

void take_q3_k(const std::byte* from, BlockParts& parts) {
    const auto block = load<BlockQ3K>(from);
    parts.scale = block.scale;
    for (size_t s = 0; s < parts.factors.size(); ++s) {
        const int low = s < 8 ? block.scales[s] & 15 : block.scales[s - 8] >> 4;
        const int high = (block.scales[8 + s % 4] >> (2 * (s / 4))) & 3;
        parts.factors[s] = static_cast<int8_t>((low | high << 4) - 32);
    }
    for (size_t i = 0; i < kSuperBlock; ++i) {
        const int low = (block.quants[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
        const int high = (block.high[i % 32] >> (i / 32)) & 1;
        parts.codes[i] = static_cast<uint8_t>(low | high << 2);
    }
}

// Eight scales and eight minimums of six bits in twelve bytes.
void split_six_bits(const uint8_t* bytes, BlockParts& parts) {
    for (size_t j = 0; j < 4; ++j) {
        parts.factors[j] = static_cast<int8_t>(bytes[j] & 63);
        parts.minimums[j] = bytes[j + 4] & 63;
        parts.factors[j + 4] = static_cast<int8_t>((bytes[j + 8] & 15) | (bytes[j] >> 6) << 4);
        parts.minimums[j + 4] =
            static_cast<uint8_t>((bytes[j + 8] >> 4) | (bytes[j + 4] >> 6) << 4);
    }
}

void join_six_bits(const BlockParts& parts, uint8_t* bytes) {
    // Factors are 0 to 63 here, whatever their type could hold.
    const auto factor = [&](size_t j) { return static_cast<uint8_t>(parts.factors[j]); };
    for (size_t j = 0; j < 4; ++j) {
        const int high = factor(j + 4);
        const int minimum = parts.minimums[j + 4];
        bytes[j] = static_cast<uint8_t>(factor(j) | (high >> 4) << 6);
        bytes[j + 4] = static_cast<uint8_t>(parts.minimums[j] | (minimum >> 4) << 6);
        bytes[j + 8] = static_cast<uint8_t>((high & 15) | (minimum & 15) << 4);
    }
}

// Sub-blocks 2j and 2j + 1 share 32 bytes.
void split_wide_nibbles(const uint8_t* bytes, uint8_t* codes) {
    for (size_t i = 0; i < kSuperBlock; ++i) {
        const uint8_t both = bytes[i / 64 * 32 + i % 32];
        codes[i] = i / 32 % 2 == 0 ? both & 15 : both >> 4;
    }
}

void join_wide_nibbles(const uint8_t* codes, uint8_t* bytes) {
    for (size_t i = 0; i < kSuperBlock / 2; ++i) {
        const uint8_t* pair = codes + i / 32 * 64 + i % 32;
        bytes[i] = static_cast<uint8_t>((pair[0] & 15) | (pair[32] & 15) << 4);
    }
}

// Q4_K, and Q5_K with a fifth bit: bit j of byte i % 32 is that of element 32 j + i.
template <class Block>
void take_wide_nibbles(const std::byte* from, BlockParts& parts) {
    const auto block = load<Block>(from);
    parts.scale = block.scale;
    parts.minimum = block.minimum;
    split_six_bits(block.scales, parts);
    split_wide_nibbles(block.quants, parts.codes.data());
    if constexpr (requires { block.high; }) {
        for (size_t i = 0; i < kSuperBlock; ++i) {
            const int bit = (block.high[i % 32] >> (i / 32)) & 1;
            parts.codes[i] = static_cast<uint8_t>(parts.codes[i] | bit << 4);
        }
    }
}

template <class Block>
void put_wide_nibbles(const BlockParts& parts, std::byte* to) {
    Block block{};
    block.scale = parts.scale;
    block.minimum = parts.minimum;
    join_six_bits(parts, block.scales);
    join_wide_nibbles(parts.codes.data(), block.quants);
    if constexpr (requires { block.high; }) {
        for (size_t i = 0; i < kSuperBlock; ++i) {
            const int bit = (parts.codes[i] >> 4) & 1;
            block.high[i % 32] = static_cast<uint8_t>(block.high[i % 32] | bit << (i / 32));
        }
    }
    store(block, to);
}

// Where the bits of element i of a Q6_K block lie.
struct Q6Place {
    size_t low;
    int low_shift;
    size_t high;
    int high_shift;

    explicit Q6Place(size_t i) {
        const size_t half = i / 128;
        const size_t quarter = i % 128 / 32;
        low = 64 * half + 32 * (quarter % 2) + i % 32;
        low_shift = quarter < 2 ? 0 : 4;
        high = 32 * half + i % 32;
        high_shift = static_cast<int>(2 * quarter);
    }
};

void take_q6_k(const std::byte* from, BlockParts& parts) {
    const auto block = load<BlockQ6K>(from);
    parts.scale = block.scale;
    std::copy_n(block.scales, parts.factors.size(), parts.factors.begin());
    for (size_t i = 0; i < kSuperBlock; ++i) {
        const Q6Place at(i);
        const int low = (block.low[at.low] >> at.low_shift) & 15;
        const int high = (block.high[at.high] >> at.high_shift) & 3;
        parts.codes[i] = static_cast<uint8_t>(low | high << 4);
    }
}

void put_q6_k(const BlockParts& parts, std::byte* to) {
    BlockQ6K block = {.low = {}, .high = {}, .scales = {}, .scale = parts.scale};
    std::ranges::copy(parts.factors, block.scales);
    for (size_t i = 0; i < kSuperBlock; ++i) {
        const Q6Place at(i);
        uint8_t& low = block.low[at.low];
        uint8_t& high = block.high[at.high];
        low = static_cast<uint8_t>(low | (parts.codes[i] & 15) << at.low_shift);
        high = static_cast<uint8_t>(high | (parts.codes[i] >> 4) << at.high_shift);
    }
    store(block, to);
}

void take_iq4_xs(const std::byte* from, BlockParts& parts) {
    const auto block = load<BlockIq4Xs>(from);
    parts.scale = block.scale;
    const int all_high = block.scales_high[0] | block.scales_high[1] << 8;
    for (size_t s = 0; s < kSuperBlock / kBlock; ++s) {
        const int low = (block.scales_low[s / 2] >> (4 * (s % 2))) & 15;
        const int high = (all_high >> (2 * s)) & 3;
        parts.factors[s] = static_cast<int8_t>((low | high << 4) - 32);
        split_nibbles(block.quants + s * kBlock / 2, parts.codes.data() + s * kBlock);
    }
}

// A line for each type.
constexpr uint32_t kFine = 16;
const QuantLayout kLayouts[] = {
    {DType::q8_0, kBlock, kBlock, false, 128, nullptr, take_q8_0, put_q8_0},
    {DType::q4_0, kBlock, kBlock, false, 8, nullptr, take_nibbles<BlockQ4>, put_nibbles<BlockQ4>},
    {DType::q4_1, kBlock, kBlock, true, 0, nullptr, take_nibbles<BlockQ4WithMinimum>,
     put_nibbles<BlockQ4WithMinimum>},
    {DType::q5_0, kBlock, kBlock, false, 16, nullptr, take_nibbles<BlockQ5>, put_nibbles<BlockQ5>},
    {DType::q5_1, kBlock, kBlock, true, 0, nullptr, take_nibbles<BlockQ5WithMinimum>,
     put_nibbles<BlockQ5WithMinimum>},
    {DType::q2_k, kSuperBlock, kFine, true, 0, nullptr, take_q2_k},
    {DType::q3_k, kSuperBlock, kFine, false, 4, nullptr, take_q3_k},
    {DType::q4_k, kSuperBlock, kBlock, true, 0, nullptr, take_wide_nibbles<BlockQ4K>,
     put_wide_nibbles<BlockQ4K>},
    {DType::q5_k, kSuperBlock, kBlock, true, 0, nullptr, take_wide_nibbles<BlockQ5K>,
     put_wide_nibbles<BlockQ5K>},
    {DType::q6_k, kSuperBlock, kFine, false, 32, nullptr, take_q6_k, put_q6_k},
    {DType::iq4_nl, kBlock, kBlock, false, 0, kIq4Levels, take_nibbles<BlockQ4>,
     put_nibbles<BlockQ4>},
    {DType::iq4_xs, kSuperBlock, kBlock, false, 0, kIq4Levels, take_iq4_xs},
    {DType::mxfp4, kBlock, kBlock, false, 0, kMxfp4Levels, take_mxfp4},
};

}  // namespace

const QuantLayout* quant_layout(DType type) {
    const auto* found = std::ranges::find(kLayouts, type, &QuantLayout::type);
    return found == std::end(kLayouts) ? nullptr : found;
}

float scale_of(const QuantLayout& layout, const BlockParts& parts) {
    return layout.type == DType::mxfp4 ? bf16_to_f32(parts.scale) : f16_to_f32(parts.scale);
}

// A factor has 8 bits and a level has 8, a half has 11: no product is rounded.
void values_of_parts(const QuantLayout& layout, const BlockParts& parts, std::span<float> values) {
    const float scale = scale_of(layout, parts);
    const float minimum = f16_to_f32(parts.minimum);
    for (size_t s = 0; s < layout.block / layout.sub; ++s) {
        const float factor = scale * static_cast<float>(parts.factors[s]);
        const float less = minimum * static_cast<float>(parts.minimums[s]);
        for (size_t i = s * layout.sub; i < (s + 1) * layout.sub; ++i) {
            const float value = factor * static_cast<float>(layout.level(parts.codes[i]));
            values[i] = layout.has_minimum ? value - less : value;
        }
    }
}

}  // namespace core
