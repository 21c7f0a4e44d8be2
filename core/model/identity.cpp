#include "core/model/identity.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "core/model/forward_layers.h"

namespace core {
namespace {

constexpr size_t kSample = size_t{64} << 10U;

// Every value goes in with a fixed width and every sequence with its length, so that no two
// different models give the same bytes.
class Digest {
  public:
    template <class T>
    void add(const T& value) {
        static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
        hasher_.update(std::as_bytes(std::span(&value, 1)));
    }
    void add(std::span<const std::byte> bytes) {
        add(uint64_t{bytes.size()});
        hasher_.update(bytes);
    }
    void add(std::string_view text) { add(std::as_bytes(std::span(text))); }
    void add(const std::vector<float>& values) { add(std::as_bytes(std::span(values))); }
    Hash128 value() const { return hasher_.digest(); }

  private:
    Hasher128 hasher_;
};

void add(Digest& digest, const MetaValue& meta) {
    digest.add(static_cast<uint32_t>(meta.value.index()));
    std::visit(
        [&](const auto& value) {
            using T = std::decay_t<decltype(value)>;
            if constexpr (std::is_same_v<T, std::string>) {
                digest.add(std::string_view(value));
            } else if constexpr (std::is_arithmetic_v<T>) {
                digest.add(value);
            } else {
                digest.add(uint64_t{value->size()});
                for (const MetaValue& element : *value)
                    add(digest, element);
            }
        },
        meta.value);
}

void add_ends(Digest& digest, std::span<const std::byte> bytes) {
    digest.add(uint64_t{bytes.size()});
    const size_t sample = std::min(bytes.size(), kSample);
    digest.add(bytes.first(sample));
    digest.add(bytes.last(sample));
}

// Of a tensor that is not in the file as it is used, so that every row has its price: the first and
// the last.
void add_end_rows(Digest& digest, const WeightFile& file, const TensorInfo& tensor) {
    const uint64_t rows = tensor.rows();
    std::vector<std::byte> values(tensor.value_bytes() / rows);
    std::vector<std::byte> scales(tensor.scale_bytes() / rows);
    for (const uint64_t row : {uint64_t{0}, rows - 1}) {
        file.read_rows(tensor, row, values, scales);
        digest.add(std::span<const std::byte>(values));
        digest.add(std::span<const std::byte>(scales));
    }
}

void add(Digest& digest, const AttentionSpec& attention) {
    digest.add(attention.heads);
    digest.add(attention.kv_heads);
    digest.add(attention.head_dim);
    digest.add(attention.scale);
    digest.add(attention.softcap);
    digest.add(attention.temperature_length);
    digest.add(attention.window);
    digest.add(attention.qkv_bias);
    // Models without one keep the names that their pages have.
    if (attention.output_bias) digest.add(attention.output_bias);
    digest.add(attention.qk_norm);
    digest.add(attention.rope.theta);
    digest.add(attention.rope.style);
    digest.add(attention.rope.dims);
    digest.add(attention.rope.magnitude);
    digest.add(attention.rope.inverse_frequencies);
}

void add(Digest& digest, const FfnSpec& ffn) {
    digest.add(ffn.activation);
    digest.add(ffn.dense_width);
    digest.add(ffn.expert_width);
    digest.add(ffn.router.experts);
    digest.add(ffn.router.active);
    digest.add(ffn.router.renormalize);
    digest.add(ffn.router.softcap);
    digest.add(ffn.shared_width);
    digest.add(ffn.shared_gate);
    digest.add(ffn.mix);
}

// The context is left out: it bounds positions and changes none.
void add(Digest& digest, const ModelConfig& config) {
    digest.add(std::string_view(config.family));
    digest.add(config.dim);
    digest.add(config.vocab);
    digest.add(config.norm_epsilon);
    digest.add(config.embedding_scale);
    digest.add(config.logit_scale);
    digest.add(config.logit_softcap);
    digest.add(config.tied_output);
    digest.add(uint64_t{config.layers.size()});
    for_each_layer(config.layers.size(), [&](uint32_t l) {
        const LayerSpec& layer = config.layers[l];
        add(digest, layer.attention);
        add(digest, layer.ffn);
        digest.add(layer.post_norms);
    });
}

}  // namespace

Hash128 weights_identity(const WeightFile& file) {
    Digest digest;
    digest.add(uint64_t{file.metadata().size()});
    for (const auto& [key, value] : file.metadata()) {
        digest.add(std::string_view(key));
        add(digest, value);
    }
    digest.add(uint64_t{file.tensors().size()});
    for (const TensorInfo& tensor : file.tensors()) {
        digest.add(std::string_view(tensor.name));
        digest.add(tensor.type);
        digest.add(uint64_t{tensor.shape.size()});
        for (const uint64_t size : tensor.shape)
            digest.add(size);
        digest.add(tensor.scale_groups);
        if (tensor.data.empty()) {
            add_end_rows(digest, file, tensor);
        } else {
            add_ends(digest, tensor.data);
            add_ends(digest, tensor.scales);
        }
    }
    return digest.value();
}

Hash128 model_identity(const WeightFile& file, const ModelConfig& config) {
    const Hash128 weights = weights_identity(file);
    Digest digest;
    digest.add(weights.high);
    digest.add(weights.low);
    add(digest, config);
    return digest.value();
}

}  // namespace core
