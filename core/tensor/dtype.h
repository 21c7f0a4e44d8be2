// Storage types of tensors: names, block shapes and what moxie can compute with.
// Numbering follows GGUF (ggml.h, enum ggml_type) so that files need no translation table;
// I8C is ours and has no GGUF number (in a file it is an I8 tensor beside `NAME.scales`); neither
// has F8_E4M3, which occurs in safetensors and becomes another type when it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace core {

enum class DType : uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q5_0 = 6,
    q5_1 = 7,
    q8_0 = 8,
    q8_1 = 9,
    q2_k = 10,
    q3_k = 11,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    q8_k = 15,
    iq2_xxs = 16,
    iq2_xs = 17,
    iq3_xxs = 18,
    iq1_s = 19,
    iq4_nl = 20,
    iq3_s = 21,
    iq2_s = 22,
    iq4_xs = 23,
    i8 = 24,
    i16 = 25,
    i32 = 26,
    i64 = 27,
    f64 = 28,
    iq1_m = 29,
    bf16 = 30,
    tq1_0 = 34,
    tq2_0 = 35,
    mxfp4 = 39,
    i8c = 0x10000,  // int8 values, one scale per (row, column group); Grok-1's QuantizedWeight8bit
    f8_e4m3 = 0x10001,
};

struct DTypeTraits {
    DType type;
    std::string_view name;  // as printed and as accepted on the command line: "q8_0"
    uint32_t block;         // elements per block, along the input dimension
    uint32_t bytes;         // bytes per block
    bool computable;        // moxie has a kernel for it
};

// Traits of a type; REQUIRES: a value of the enumeration.
const DTypeTraits& traits(DType type);

// Sorted by number.
std::span<const DTypeTraits> all_types();

// The type with this GGUF number or name, or nothing when it is unknown.
std::optional<DType> dtype_from_gguf(uint32_t number);
std::optional<DType> dtype_from_name(std::string_view name);

}  // namespace core
