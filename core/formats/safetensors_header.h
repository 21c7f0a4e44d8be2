// The JSON header of a safetensors file: names, types, shapes and places of its tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/formats/weight_file.h"

namespace core {

struct SafetensorsHeader {
    // In file order, shapes contiguous dimension first, data bound. Without tensors of no elements.
    std::vector<TensorInfo> tensors;
    // __metadata__.
    std::vector<std::pair<std::string, std::string>> metadata;
};

// Validates everything: throws Error(model_unusable) with `name` where the reference implementation
// refuses too (holes, overlaps and trailing bytes among it), and for what exceeds our limits.
SafetensorsHeader read_safetensors_header(std::span<const std::byte> bytes,
                                          const std::string& name);

}  // namespace core
