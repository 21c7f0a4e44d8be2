// Presents a checkpoint of Hugging Face as what a GGUF file of the same model would hold.
//
// A family says which of its settings and tensors have which names in GGUF; this file does the
// rest, alike for all: experts are stacked, tensor-parallel shards stitched together, FP8 weights
// multiplied by their scales, rows of rotated heads put into GGUF's order, rope scaling expressed
// in GGUF's keys. Nothing is read before read_rows() asks for it. Names: gguf-py tensor_mapping.py.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/weight_file.h"

namespace core {

// Metadata of one architecture in the making: `name` stands for "<architecture>.name".
class GgufMetadata {
  public:
    explicit GgufMetadata(std::string architecture);

    bool has(std::string_view name) const;
    void set(std::string_view name, MetaValue value);
    // Only when it is absent.
    void set_default(std::string_view name, MetaValue value);
    void remove(std::string_view name);
    // 0 when absent or no whole number.
    uint64_t number(std::string_view name) const;

    std::string key(std::string_view name) const { return architecture_ + "." + std::string(name); }
    Metadata metadata;

  private:
    std::string architecture_;
};

// A setting of config.json that keeps its value.
struct HuggingFaceKey {
    std::string_view name;
    std::string_view gguf;  // without the architecture
};

// How shards of a matrix [out, in] lie: the axis along which they are put together.
enum class ShardAxis : uint8_t { out, in };

// {l} stands for the layer, {e} for the expert.
struct HuggingFaceTensor {
    std::string_view name;
    std::string_view gguf;
    ShardAxis shards = ShardAxis::out;
};

struct HuggingFaceNames {
    std::string_view model;         // the first of `architectures` in config.json
    std::string_view architecture;  // GGUF's name of it
    // Beside those that every family has.
    std::span<const HuggingFaceKey> keys = {};
    std::span<const HuggingFaceTensor> tensors = {};
    // GGUF keeps rows (i, i + half) of each query and key head next to one another.
    bool interleaved_heads = false;
    // What the keys alone do not say: defaults of the family's code. May be null.
    void (*complete)(const WeightFile& source, GgufMetadata& metadata) = nullptr;
    // Divisors of the frequencies of a head, for a scaling that GGUF's keys cannot say; none when
    // they are plain. Null: the scalings that are common to Hugging Face's models.
    std::vector<float> (*rope_divisors)(const WeightFile& source, uint64_t head_dim) = nullptr;
};

// Opens a model file or folder of any format, with GGUF's names and metadata.
// Errors as open_weight_file.
std::unique_ptr<WeightFile> open_model(const std::string& path);

// The same for a file that is open already; other formats than safetensors go through.
std::unique_ptr<WeightFile> with_gguf_names(std::unique_ptr<WeightFile> file);

}  // namespace core
