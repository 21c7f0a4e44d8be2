// The registry of model families, and what they share in reading a file's metadata.
//
// A family is one file (grok.cpp, llama.cpp, qwen.cpp) that defines a Family, and one line in
// architecture.cpp. docs/hacking.md shows how one is added.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "core/formats/weight_file.h"
#include "core/model/config.h"
#include "core/model/hugging_face.h"

namespace core {

// The configuration of the model in a file. Throws Error(model_unusable) for an architecture that
// is not in the registry, and for hyperparameters that are missing or make no sense.
ModelConfig config_from_file(const WeightFile& file);

class Hyperparameters;

// A family: how its metadata become a ModelConfig, and the names of its tensors in other formats
// than GGUF. Lives as long as the program.
struct Family {
    std::string_view architecture;  // general.architecture
    // What the layers share; they are there, and empty.
    ModelConfig (*model)(const Hyperparameters& p);
    LayerSpec (*layer)(const Hyperparameters& p, const ModelConfig& config, uint32_t layer);
    std::span<const HuggingFaceNames> hugging_face = {};  // model classes that are this family
};

// The names of a model class of Hugging Face ("Qwen3ForCausalLM"). Throws Error(model_unusable)
// with `object` for one that is not in the registry.
const HuggingFaceNames& hugging_face_names(std::string_view model, const std::string& object);

// Metadata keys of one architecture: `name` is looked up as "<architecture>.name".
class Hyperparameters {
  public:
    Hyperparameters(const WeightFile& file, std::string architecture)
        : file_(file), architecture_(std::move(architecture)) {}

    const WeightFile& file() const { return file_; }
    const std::string& architecture() const { return architecture_; }

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

// True when the layer has any part of a dense FFN: a file that lacks another part is refused and
// not run without the branch.
bool has_dense_branch(const WeightFile& file, uint32_t layer);

// What llama and its relatives differ in.
struct PlainFamily {
    RopeStyle rope = RopeStyle::half_split;
    bool qkv_bias = false;  // without it: where the file has them
    bool qk_norm = false;
    bool renormalize = true;  // of experts, where the file does not say
};

// A family without post-norms: SiLU, one attention scale, a dense FFN or experts in each layer.
ModelConfig plain_model(const Hyperparameters& p);
LayerSpec plain_layer(const Hyperparameters& p, const ModelConfig& config,
                      const PlainFamily& family, uint32_t layer);

}  // namespace core
