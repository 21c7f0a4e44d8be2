// Reads the one kind of pickle that a Grok-1 checkpoint consists of: an array, or an int8 array
// with its scales.
//
// Nothing is ever called or constructed: the opcodes of numpy arrays and of QuantizedWeight8bit are
// interpreted into a small tree of values, and every other opcode, global or combination is
// refused. Payloads are given as offset and length and not read. Format: CPython's pickletools,
// protocol 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/tensor/dtype.h"

namespace core {

namespace pickle {

// A real file has some 110 opcodes, 40 memo entries and 12 values on the stack.
inline constexpr size_t kMaxOpcodes = 1024;
inline constexpr size_t kMaxMemo = 256;
inline constexpr size_t kMaxStack = 64;
inline constexpr uint64_t kMaxText = 64;  // the longest that is known has 21 bytes

}  // namespace pickle

// A numpy array in C order.
struct PickledArray {
    DType type = DType::f32;      // f32, i8 or bf16
    std::vector<uint64_t> shape;  // 1 to 3 dimensions, all >= 1, the last one contiguous
    uint64_t offset = 0;          // of its bytes in the file; they lie within it
    uint64_t length = 0;          // agrees with shape and type
};

struct PickledTensor {
    PickledArray values;                 // i8 when there are scales
    std::optional<PickledArray> scales;  // bf16, of the same rank
};

// Throws Error(model_unusable) with `name`. Time and memory do not depend on the file's size.
PickledTensor read_pickle(std::span<const std::byte> bytes, const std::string& name);

}  // namespace core
