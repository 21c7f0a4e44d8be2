// GGUF, versions 2 and 3, little-endian: the container of quantized models.
//
// What is read and refused, and the I8C convention, is described in docs/formats.md. Format:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and ggml's gguf.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/base/mapped_file.h"
#include "core/formats/weight_file.h"

namespace core {

namespace gguf {

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr uint32_t kVersion = 3;
inline constexpr uint32_t kDefaultAlignment = 32;
inline constexpr std::string_view kAlignmentKey = "general.alignment";
inline constexpr std::string_view kScalesSuffix = ".scales";  // of an I8C tensor's companion

// Type numbers of metadata values.
enum class ValueType : uint32_t {
    u8 = 0,
    i8 = 1,
    u16 = 2,
    i16 = 3,
    u32 = 4,
    i32 = 5,
    f32 = 6,
    boolean = 7,
    string = 8,
    array = 9,
    u64 = 10,
    i64 = 11,
    f64 = 12,
};

// Limits of what is believed of a header. Allocation is bounded by the file's size before any of
// them: a count or a length that does not fit into the rest of the file is refused first.
inline constexpr uint64_t kMaxTensors = 1u << 20;      // the largest known have about 50,000
inline constexpr uint64_t kMaxKeys = 1u << 16;         // models have about 50
inline constexpr uint64_t kMaxKeyBytes = 0xffff;       // the format's own limit
inline constexpr uint64_t kMaxNameBytes = 63;          // ggml's buffer holds 64 with the NUL
inline constexpr uint64_t kMaxStringBytes = 16 << 20;  // chat templates have up to 100 KB
// Elements of all arrays together: each becomes a MetaValue of 40 bytes, whatever its size in the
// file. Four arrays of the largest vocabularies (262,144) need a quarter of it.
inline constexpr uint64_t kMaxArrayElements = 1u << 22;
inline constexpr uint32_t kMaxDimensions = 4;
// So that elements of every type are aligned in the mapping.
inline constexpr uint32_t kMinAlignment = 8;
// The kernels walk a row in blocks of 32 columns, each within one group of I8C scales.
inline constexpr uint64_t kGroupColumns = 32;

}  // namespace gguf

// Takes the file. Throws Error(model_unusable).
std::unique_ptr<WeightFile> open_gguf(std::unique_ptr<MappedFile> file);

// The same from memory, for tests and fuzzing. `name` stands for the path in messages.
// REQUIRES: bytes outlive the result and are aligned to 64.
std::unique_ptr<WeightFile> parse_gguf(std::span<const std::byte> bytes, std::string name);

}  // namespace core
