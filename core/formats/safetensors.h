// safetensors: the container of Hugging Face checkpoints, as a file or as a folder of shards.
//
// Tensors keep the names of the checkpoint and metadata those of config.json (nested names joined
// by dots); core/model gives them the names that the engine knows. Format:
// https://github.com/huggingface/safetensors; what is refused is described in docs/formats.md.
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

namespace safetensors {

inline constexpr std::string_view kFormat = "safetensors";
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
inline constexpr uint64_t kMaxTensors = 1u << 20;         // the largest known have about 100,000
inline constexpr uint64_t kMaxMetadata = 1u << 16;        // files have a handful
inline constexpr uint64_t kMaxDimensions = 4;             // of a TensorInfo
inline constexpr uint64_t kMaxFiles = 512;  // mappings are limited; the largest known have 200

// Between a tensor's name and its rank, when tensor-parallel files (`-TP-003.safetensors`) hold
// the same name once each: `model.layers.0.block_sparse_moe.experts.0.w1.weight@TP3`.
inline constexpr std::string_view kRankMark = "@TP";

}  // namespace safetensors

// The format has no magic: a header length that fits, then an opening brace.
bool looks_like_safetensors(std::span<const std::byte> bytes);

// One file. Metadata come from config.json beside it, where there is one. Throws
// Error(model_unusable).
std::unique_ptr<WeightFile> open_safetensors(std::unique_ptr<MappedFile> file);

// A folder: the files of model.safetensors.index.json, or model.safetensors, or every
// *.safetensors; tensor-parallel files always by scanning, because an index cannot express them.
// Metadata come from config.json or, without it, config_grok2_like.json.
std::unique_ptr<WeightFile> open_safetensors_folder(const std::string& folder);

// A file from memory, for tests and fuzzing. `name` stands for the path in messages, `config` for
// the config.json beside it. REQUIRES: bytes outlive the result.
std::unique_ptr<WeightFile> parse_safetensors(std::span<const std::byte> bytes,
                                              const std::string& name, Metadata config = {});

}  // namespace core
