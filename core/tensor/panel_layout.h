// Where the parts of quantized blocks lie in a packed panel of 16 rows: what packing writes and the
// kernels read. F32, F16, BF16, Q8_0 and I8C are described in matrix.h.
//
// A unit is the columns that share one scale: 32, or 256 of the K-quants and IQ4_XS.
//
//   32, no minimum   a line with the scales of two blocks, 2 x 16, then the codes of both
//   32, minimum      a line of 16 scales and 16 minimums, then the codes
//   256              a line of 16 scales and 16 minimums (or nothing); for each sub-block the
//                    factors of 16 rows (int8), then for each the minimums of 16 rows (uint8);
//                    then the codes, 32 columns at a time
//
// Codes of 32 columns x 16 rows come as planes of 64-byte vectors, in which byte 4 * row + j
// belongs to a column 4 * g + j:
//
//   nibbles  4 vectors; vector v has g = v in the low and g = v + 4 in the high nibble
//   pairs    2 vectors; bits 2 i of vector v have g = 4 * v + i
//   bits     1 vector; bit g has g
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor/blocks.h"
#include "core/tensor/dtype.h"

namespace core {

inline constexpr size_t kPanelLine = 64;    // a cache line, a vector
inline constexpr size_t kPanelHalves = 32;  // 16 values of two bytes

struct PanelLayout {
    uint32_t block = kBlock;  // columns of a unit
    uint32_t sub = kBlock;    // columns that share a factor
    bool has_minimum = false;
    // Planes in their order: low bits first.
    bool nibbles = true;
    bool pairs = false;  // above the nibbles, or alone
    bool bits = false;   // above what there is

    constexpr size_t code_bytes() const {
        return (nibbles ? 4 : 0) * kPanelLine + (pairs ? 2 : 0) * kPanelLine +
               (bits ? kPanelLine : 0);
    }
    constexpr size_t pairs_at() const { return nibbles ? 4 * kPanelLine : 0; }
    constexpr size_t bits_at() const { return pairs_at() + (pairs ? 2 * kPanelLine : 0); }
    constexpr bool paired() const { return block == kBlock && !has_minimum; }
    constexpr size_t subs() const { return block / sub; }
    constexpr size_t head_bytes() const {
        const size_t factors = block == kBlock ? 0 : 16 * subs();
        return kPanelLine + factors * (has_minimum ? 2 : 1);
    }
    constexpr size_t unit_bytes() const { return head_bytes() + block / kBlock * code_bytes(); }

    // Offsets within a panel, for block `k` of 32 columns.
    constexpr size_t scales(size_t k) const {
        if (paired()) return k / 2 * (kPanelLine + 2 * code_bytes()) + k % 2 * kPanelHalves;
        return k / (block / kBlock) * unit_bytes();
    }
    constexpr size_t minimums(size_t k) const { return scales(k) + kPanelHalves; }
    // Of its sub-block `h`: 0, or 0 and 1 where sub-blocks have 16 columns.
    constexpr size_t factors(size_t k, size_t h) const {
        return scales(k) + kPanelLine + 16 * (k % (block / kBlock) * (kBlock / sub) + h);
    }
    constexpr size_t sub_minimums(size_t k, size_t h) const { return factors(k, h) + 16 * subs(); }
    constexpr size_t codes(size_t k) const {
        if (paired()) return (k / 2 + 1) * kPanelLine + k * code_bytes();
        return scales(k) + head_bytes() + k % (block / kBlock) * code_bytes();
    }
    constexpr size_t panel_bytes(size_t cols) const {
        const size_t blocks = cols / kBlock;
        if (paired()) return (blocks + 1) / 2 * kPanelLine + blocks * code_bytes();
        return cols / block * unit_bytes();
    }
};

// REQUIRES: a type that is packed in this way: quantized in blocks and not Q8_0.
constexpr PanelLayout panel_layout(DType type) {
    constexpr uint32_t kFine = 16;
    switch (type) {
        case DType::q5_0: return {.bits = true};
        case DType::q4_1: return {.has_minimum = true};
        case DType::q5_1: return {.has_minimum = true, .bits = true};
        case DType::q2_k:
            return {.block = kSuperBlock,
                    .sub = kFine,
                    .has_minimum = true,
                    .nibbles = false,
                    .pairs = true};
        case DType::q3_k:
            return {
                .block = kSuperBlock, .sub = kFine, .nibbles = false, .pairs = true, .bits = true};
        case DType::q4_k: return {.block = kSuperBlock, .has_minimum = true};
        case DType::q5_k: return {.block = kSuperBlock, .has_minimum = true, .bits = true};
        case DType::q6_k: return {.block = kSuperBlock, .sub = kFine, .pairs = true};
        case DType::iq4_xs: return {.block = kSuperBlock};
        default: return {};  // Q4_0, IQ4_NL, MXFP4
    }
}

// The kernels of these types are alike and lie in one table, by this index.
inline constexpr DType kQuantTypes[] = {DType::q4_1,   DType::q5_0,   DType::q5_1, DType::q2_k,
                                        DType::q3_k,   DType::q4_k,   DType::q5_k, DType::q6_k,
                                        DType::iq4_nl, DType::iq4_xs, DType::mxfp4};
inline constexpr size_t kQuantTypeCount = sizeof(kQuantTypes) / sizeof(kQuantTypes[0]);

// kQuantTypeCount for a type that is none of them.
constexpr size_t quant_index(DType type) {
    size_t index = 0;
    while (index < kQuantTypeCount && kQuantTypes[index] != type)
        ++index;
    return index;
}

}  // namespace core
