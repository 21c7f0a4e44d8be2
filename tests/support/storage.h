// Storage types of weights as the tests understand them, written from the format's text alone.
//
// Shares no code with core/: what core/tensor packs and core/kernels multiply is judged by these
// conversions. Layouts and reference rounding: GGUF, docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace support {

enum class Storage : uint8_t { f32, f16, bf16, q8_0, q4_0, i8c };

inline constexpr Storage kAllStorages[] = {Storage::f32,  Storage::f16,  Storage::bf16,
                                           Storage::q8_0, Storage::q4_0, Storage::i8c};

std::string name(Storage storage);

// True when the engine rounds the inputs of such a matrix to int8.
bool rounds_inputs(Storage storage);

// IEEE half precision, round to nearest even; overflow becomes infinity.
uint16_t half_from_float(float value);
float float_from_half(uint16_t bits);
// bfloat16, round to nearest even. REQUIRES: not NaN.
uint16_t bf16_from_float(float value);
float float_from_bf16(uint16_t bits);

// A matrix [rows, cols] as bytes of a file, and the values that these bytes stand for.
struct Encoded {
    std::vector<std::byte> data;
    std::vector<std::byte> scales;  // I8C: bf16 [rows, groups]
    uint32_t scale_groups = 0;      // I8C: column groups of a row
    std::vector<float> values;      // [rows, cols], decoded from `data`
};

// `groups`: of scales in a row of I8C; 0 chooses. REQUIRES: cols is a multiple of 32 for Q8_0, Q4_0
// and each group of I8C.
Encoded encode(Storage storage, const std::vector<float>& values, uint32_t rows, uint32_t cols,
               uint32_t groups = 0);

}  // namespace support
