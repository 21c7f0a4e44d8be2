// Test models in the other containers that people have: Hugging Face folders, with shards and an
// index or with tensor-parallel files, and the checkpoint of Grok-1.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/tiny_model.h"

namespace support {

enum class HuggingFaceLayout : uint8_t {
    one_file,
    sharded,          // three files and an index
    tensor_parallel,  // experts in 8 shards, as Grok-2 is released
};

// REQUIRES: F32, F16 or BF16; widths of experts are multiples of 8 for tensor_parallel.
void write_hugging_face(const TestModel& model, Family family, HuggingFaceLayout layout,
                        const std::string& folder);

// REQUIRES: of golden_model(Family::grok1) or tiny_checkpoint().
void write_grok1_checkpoint(const TestModel& model, const std::string& folder);

}  // namespace support
