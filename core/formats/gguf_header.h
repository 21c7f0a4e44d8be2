// Decodes and checks the header of one GGUF file: metadata and the table of tensors. A part of a
// split model is a file like any other here; core/formats/gguf.cpp puts the parts together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/formats/weight_file.h"

namespace core {

struct GgufHeader {
    uint32_t version = 0;
    Metadata metadata;
    // Data are views into the bytes; an I8C tensor is still two.
    std::vector<TensorInfo> tensors;
};

// `name` stands for the file in messages. Throws Error(model_unusable).
GgufHeader read_gguf_header(std::span<const std::byte> bytes, const std::string& name);

}  // namespace core
