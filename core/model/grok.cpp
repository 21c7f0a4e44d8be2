// Grok-1 and Grok-2. Both are `grok` in GGUF and differ only in which keys and tensors are present
// (xai-org/grok-1 model.py; SGLang models/grok.py for Grok-2; llama.cpp models/grok.cpp for keys).
#include <numbers>

#include "core/model/architecture.h"

namespace core {
namespace {

constexpr uint32_t kMaxWidth = 1U << 20;
constexpr uint32_t kMaxExperts = 1024;

// Grok-1's constants, in force where a file does not say otherwise.
constexpr double kEmbeddingScale = 78.38367176906169;    // sqrt(6144)
constexpr double kLogitScale = 0.5773502691896257;       // 1 / sqrt(3)
constexpr double kAttentionScale = 0.08838834764831845;  // 1 / sqrt(128)
constexpr double kAttentionCap = 30.0;

// Any part counts, so that a file that lacks another part is refused and not run without the
// branch.
bool has_dense_branch(const WeightFile& file, uint32_t layer) {
    return has_layer_tensor(file, layer, "ffn_gate.weight") ||
           has_layer_tensor(file, layer, "ffn_up.weight") ||
           has_layer_tensor(file, layer, "ffn_down.weight");
}

struct GrokKeys {
    bool has_temperature = false;
    bool has_dense = false;
    // Files of Grok-1 carry a router cap that the original does not have: only what else marks a
    // file as Grok-2 makes it count.
    bool is_grok2() const { return has_temperature || has_dense; }
};

LayerSpec layer_spec(const Hyperparameters& p, const ModelConfig& config, const GrokKeys& keys,
                     uint32_t layer) {
    LayerSpec spec;
    spec.post_norms = true;
    spec.attention = base_attention(p, config, layer);
    spec.attention.scale = p.number("attention.output_scale", kAttentionScale);
    spec.attention.softcap = p.number("attn_logit_softcapping", kAttentionCap);
    spec.attention.temperature_length = p.optional("attention.temperature_length", 0, 1U << 30);
    // The release's rope_type "original" is plain rotation; converters that took it for a mistake
    // write yarn. With the other keys of Grok-2 present the original's meaning is known.
    const bool original = keys.has_temperature && p.has("router_logit_softcapping");
    spec.attention.rope = rope_spec(p, RopeStyle::half_split, spec.attention.head_dim,
                                    original ? RopeScaling::none : RopeScaling::as_metadata_say);

    FfnSpec& ffn = spec.ffn;
    ffn.activation = Activation::gelu_tanh;
    const uint32_t width = p.per_layer("feed_forward_length", layer, 0, kMaxWidth);
    if (has_dense_branch(p.file(), layer)) ffn.dense_width = width;
    ffn.router.experts = p.optional("expert_count", 0, kMaxExperts);
    if (ffn.router.experts != 0) {
        ffn.expert_width = p.optional("expert_feed_forward_length", width, kMaxWidth);
        ffn.router.active = p.required("expert_used_count", ffn.router.experts);
        ffn.router.softcap = keys.is_grok2() ? p.number("router_logit_softcapping", 0.0) : 0.0F;
    }
    if (ffn.dense_width != 0 && ffn.router.experts != 0)
        ffn.mix = static_cast<float>(1.0 / std::numbers::sqrt2);
    return spec;
}

}  // namespace

ModelConfig grok_config(const WeightFile& file) {
    const Hyperparameters p(file, "grok");
    ModelConfig config = base_config(p);
    config.embedding_scale = p.number("embedding_scale", kEmbeddingScale);
    config.logit_scale = p.number("logit_scale", kLogitScale);
    config.logit_softcap = p.number("final_logit_softcapping", 0.0);
    const GrokKeys keys = {
        .has_temperature = p.optional("attention.temperature_length", 0, 1U << 30) != 0,
        .has_dense = has_dense_branch(file, 0)};
    config.family = keys.is_grok2() ? "grok-2" : "grok-1";
    for (uint32_t layer = 0; layer < config.layers.size(); ++layer)
        config.layers[layer] = layer_spec(p, config, keys, layer);
    return config;
}

}  // namespace core
