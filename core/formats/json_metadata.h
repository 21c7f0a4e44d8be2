// Reads a JSON file of settings (config.json) as flat metadata: nested names are joined by dots.
//
//   {"hidden_size": 64, "rope_scaling": {"factor": 4.0}}
//   becomes hidden_size = 64 (uint64), rope_scaling.factor = 4.0 (double)
//
// Parsed in one pass without a tree, so that a hostile file costs no more memory than its values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/formats/weight_file.h"

namespace core {

// Limits of what is believed of such a file. Real ones have four levels and 50 values; the index
// of the largest checkpoint has 40,000 names.
inline constexpr uint32_t kMaxJsonDepth = 16;
inline constexpr uint64_t kMaxJsonValues = 1u << 20;
inline constexpr uint64_t kMaxJsonBytes = uint64_t{64} << 20;

// Nulls are left out; arrays keep their scalars (an array or object inside an array is left out).
// Throws Error(model_unusable) with `name` for what is no JSON object, names a key twice or exceeds
// a limit.
Metadata read_json_metadata(std::span<const std::byte> bytes, const std::string& name);

}  // namespace core
