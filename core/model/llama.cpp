// Llama and its relatives: no post-norms, SiLU, one scale. Mixtral is `llama` with experts; Qwen2
// adds biases to q, k and v and rotates halves instead of neighbours.
#include "core/model/architecture.h"

namespace core {
namespace {

constexpr uint32_t kMaxWidth = 1U << 20;
constexpr uint32_t kMaxExperts = 1024;

struct Relative {
    const char* architecture;
    RopeStyle rope;
    bool qkv_bias;
};

LayerSpec layer_spec(const Hyperparameters& p, const ModelConfig& config, const Relative& relative,
                     uint32_t layer) {
    LayerSpec spec;
    spec.attention = base_attention(p, config, layer);
    spec.attention.scale = p.number("attention.scale", spec.attention.scale);
    spec.attention.window = p.optional("attention.sliding_window", 0, 1U << 30);
    spec.attention.qkv_bias = relative.qkv_bias;
    spec.attention.rope = rope_spec(p, relative.rope, spec.attention.head_dim);

    FfnSpec& ffn = spec.ffn;
    ffn.activation = Activation::silu;
    const uint32_t width = p.per_layer("feed_forward_length", layer, 0, kMaxWidth);
    ffn.router.experts = p.optional("expert_count", 0, kMaxExperts);
    if (ffn.router.experts != 0) {
        ffn.expert_width = p.optional("expert_feed_forward_length", width, kMaxWidth);
        ffn.router.active = p.required("expert_used_count", ffn.router.experts);
        ffn.router.renormalize = true;
    } else {
        ffn.dense_width = width;
    }
    return spec;
}

ModelConfig config_of(const WeightFile& file, const Relative& relative) {
    const Hyperparameters p(file, relative.architecture);
    ModelConfig config = base_config(p);
    config.family = relative.architecture;
    for (uint32_t layer = 0; layer < config.layers.size(); ++layer)
        config.layers[layer] = layer_spec(p, config, relative, layer);
    return config;
}

}  // namespace

ModelConfig llama_config(const WeightFile& file) {
    return config_of(file, {"llama", RopeStyle::adjacent, false});
}

ModelConfig qwen2_config(const WeightFile& file) {
    return config_of(file, {"qwen2", RopeStyle::half_split, true});
}

}  // namespace core
