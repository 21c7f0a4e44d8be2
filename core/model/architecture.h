// The registry of model families, and what they share in reading a file's metadata.
//
// A family is one file (grok.cpp, llama.cpp) with a function from metadata to ModelConfig, and one
// line in architecture.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/formats/weight_file.h"
#include "core/model/config.h"

namespace core {

// The configuration of the model in a file. Throws Error(model_unusable) for an architecture that
// is not in the registry, and for hyperparameters that are missing or make no sense.
ModelConfig config_from_file(const WeightFile& file);

// Families. Each is called for the general.architecture of its registry line only.
ModelConfig grok_config(const WeightFile& file);
ModelConfig llama_config(const WeightFile& file);
ModelConfig qwen2_config(const WeightFile& file);

// Metadata keys of one architecture: `name` is looked up as "<architecture>.name".
class Hyperparameters {
  public:
    Hyperparameters(const WeightFile& file, std::string architecture)
        : file_(file), architecture_(std::move(architecture)) {}

    const WeightFile& file() const { return file_; }

    // Absent: throws, or gives the default. Outside [1, limit] ([0, limit] with a default): throws.
    uint32_t required(std::string_view name, uint32_t limit) const;
    uint32_t optional(std::string_view name, uint32_t otherwise, uint32_t limit) const;
    // The same for a value that may be an array with one entry per layer.
    uint32_t per_layer(std::string_view name, uint32_t layer, uint32_t otherwise,
                       uint32_t limit) const;
    float number(std::string_view name, double otherwise) const;  // finite
    bool has(std::string_view name) const { return file_.find_meta(key(name)) != nullptr; }

    // Throws Error(model_unusable): `<file>: <architecture>.<name> is <value>, <advice>`.
    [[noreturn]] void reject(std::string_view name, const std::string& value,
                             const std::string& advice) const;

    std::string key(std::string_view name) const { return architecture_ + "." + std::string(name); }

  private:
    const WeightFile& file_;
    std::string architecture_;
};

// Dimensions, vocabulary, context and norm epsilon; `layers` gets as many empty entries as the
// model has blocks.
ModelConfig base_config(const Hyperparameters& parameters);

// Heads and head size of one layer, scale 1 / sqrt(head_dim), and the rotation.
AttentionSpec base_attention(const Hyperparameters& parameters, const ModelConfig& config,
                             uint32_t layer);

// Scaling of the rotation as the metadata ask for it (none, linear, yarn; rope_freqs of Llama 3.1).
enum class RopeScaling : uint8_t { as_metadata_say, none };
RopeSpec rope_spec(const Hyperparameters& parameters, RopeStyle style, uint32_t head_dim,
                   RopeScaling scaling = RopeScaling::as_metadata_say);

// True when the file has blk.<layer>.<name>.
bool has_layer_tensor(const WeightFile& file, uint32_t layer, std::string_view name);

}  // namespace core
