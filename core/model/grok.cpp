// Grok-1 and Grok-2. Both are `grok` in GGUF and differ only in which keys and tensors are present
// (xai-org/grok-1 model.py; SGLang models/grok.py for Grok-2; llama.cpp models/grok.cpp for keys).
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/base/utf8.h"
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

constexpr HuggingFaceKey kKeys[] = {
    {"embedding_multiplier_scale", "embedding_scale"},
    {"output_multiplier_scale", "logit_scale"},
    {"attn_logit_softcapping", "attn_logit_softcapping"},
    {"router_logit_softcapping", "router_logit_softcapping"},
    {"final_logit_softcapping", "final_logit_softcapping"},
    {"num_local_experts", "expert_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
};

constexpr HuggingFaceTensor kTensors[] = {
    {"model.layers.{l}.pre_attn_norm.weight", "blk.{l}.attn_norm.weight"},
    {"model.layers.{l}.post_attn_norm.weight", "blk.{l}.attn_output_norm.weight"},
    {"model.layers.{l}.pre_moe_norm.weight", "blk.{l}.ffn_norm.weight"},
    {"model.layers.{l}.post_moe_norm.weight", "blk.{l}.post_ffw_norm.weight"},
    {"model.layers.{l}.block_sparse_moe.gate.weight", "blk.{l}.ffn_gate_inp.weight"},
    {"model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight", "blk.{l}.ffn_gate_exps.weight"},
    {"model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight", "blk.{l}.ffn_down_exps.weight",
     ShardAxis::in},
    {"model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight", "blk.{l}.ffn_up_exps.weight"},
};

// `rope_type` is "original" in the release: plain rotation, whatever the scaling factors beside it
// say. The other kinds are those of SGLang's ScalingRotaryEmbedding, which computes a magnitude and
// does not apply it; what they make of the frequencies is what divides them here.
std::vector<float> rope_divisors(const WeightFile& source, uint64_t head_dim) {
    const std::string kind = source.meta_string("rope_type").value_or("original");
    if (kind == "original" || kind == "default") return {};
    const auto positive = [&](const char* key, double otherwise) {
        const double value = source.meta_float(key).value_or(otherwise);
        if (value > 0.0) return value;
        throw Error(ErrorKind::model_unusable, source.path(),
                    std::string(key) + " is " + std::to_string(value), "must be positive");
    };
    const auto dims = static_cast<double>(head_dim);
    const double theta = positive("rope_theta", 10000.0);
    const double factor = positive("scaling_factor", 1.0);
    const double original = positive("original_max_position_embeddings", 8192.0);
    const double extrapolation = source.meta_float("extrapolation_factor").value_or(1.0);
    const auto correction = [&](double rotations) {
        return dims * std::log(original / (2 * std::numbers::pi * rotations)) /
               (2 * std::log(theta));
    };
    const double low =
        std::clamp(std::floor(correction(positive("beta_fast", 8.0))), 0.0, dims - 1);
    const double high =
        std::clamp(std::ceil(correction(positive("beta_slow", 1.0))), 0.0, dims - 1);
    const double width = high > low ? high - low : 0.001;
    // theta_scale: another base, chosen so that the slowest turn fits the longer context.
    const double exponent = std::log(original * factor / (2 * std::numbers::pi)) /
                            std::log(original / (2 * std::numbers::pi));
    std::vector<float> divisors;
    for (uint64_t i = 0; i < head_dim / 2; ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
        const double kept = (1.0 - ramp) * extrapolation;
        double divisor = 0.0;
        if (kind == "yarn" || kind == "yarn_linear") {
            divisor = 1.0 / ((1.0 - kept) / factor + kept);
        } else if (kind == "yarn_log") {
            divisor = std::pow(factor, 1.0 - kept);
        } else if (kind == "theta_scale") {
            const double turn = 2.0 * static_cast<double>(i) / dims;
            divisor = std::pow(theta, (exponent - 1.0) * turn);
        } else {
            throw Error(ErrorKind::model_unusable, source.path(),
                        "rope_type is \"" + sanitize(kind) + '"',
                        "known for Grok are original, yarn, yarn_linear, yarn_log, theta_scale");
        }
        divisors.push_back(static_cast<float>(divisor));
    }
    return divisors;
}

// Defaults of SGLang's models/grok.py.
void complete(const WeightFile& source, GgufMetadata& gguf) {
    gguf.set_default("embedding_scale", {1.0});
    gguf.set_default("logit_scale", {1.0});
    gguf.set_default("attn_logit_softcapping", {30.0});
    gguf.set_default("router_logit_softcapping", {30.0});
    // -1 is off.
    const double length = source.meta_float("attn_temperature_len").value_or(-1.0);
    if (length >= 1.0) gguf.set("attention.temperature_length", {static_cast<uint64_t>(length)});
    uint64_t head_dim = gguf.number("attention.key_length");
    if (const uint64_t heads = gguf.number("attention.head_count"); head_dim == 0 && heads != 0)
        head_dim = gguf.number("embedding_length") / heads;
    if (head_dim != 0)
        gguf.set("attention.output_scale", {1.0 / std::sqrt(static_cast<double>(head_dim))});
}

struct GrokKeys {
    bool has_temperature;
    bool has_dense;

    explicit GrokKeys(const Hyperparameters& p)
        : has_temperature(p.optional("attention.temperature_length", 0, 1U << 30) != 0),
          has_dense(has_dense_branch(p.file(), 0)) {}

    // Files of Grok-1 carry a router cap that the original does not have: only what else marks a
    // file as Grok-2 makes it count.
    bool is_grok2() const { return has_temperature || has_dense; }
};

LayerSpec layer_spec(const Hyperparameters& p, const ModelConfig& config, uint32_t layer) {
    const GrokKeys keys(p);
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

constexpr HuggingFaceNames kNames[] = {{.model = "Grok1ForCausalLM",
                                        .architecture = "grok",
                                        .keys = kKeys,
                                        .tensors = kTensors,
                                        .complete = complete,
                                        .rope_divisors = rope_divisors}};

ModelConfig model(const Hyperparameters& p) {
    ModelConfig config = base_config(p);
    config.embedding_scale = p.number("embedding_scale", kEmbeddingScale);
    config.logit_scale = p.number("logit_scale", kLogitScale);
    config.logit_softcap = p.number("final_logit_softcapping", 0.0);
    config.family = GrokKeys(p).is_grok2() ? "grok-2" : "grok-1";
    return config;
}

}  // namespace

extern const Family kGrok;
const Family kGrok = {
    .architecture = "grok", .model = model, .layer = layer_spec, .hugging_face = kNames};

}  // namespace core
