#include "core/model/architecture.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/model/forward_layers.h"

namespace core {

// The registry: a line for each family, which defines the object in a file of its own.
#define MOXIE_FAMILIES(FAMILY) \
    FAMILY(kGrok)              \
    FAMILY(kLlama)             \
    FAMILY(kQwen2)             \
    FAMILY(kQwen2Moe)          \
    FAMILY(kQwen3)             \
    FAMILY(kQwen3Moe)

#define MOXIE_DECLARE(family) extern const Family family;
MOXIE_FAMILIES(MOXIE_DECLARE)
#undef MOXIE_DECLARE

namespace {

#define MOXIE_ADDRESS(family) &(family),
constexpr const Family* kFamilies[] = {MOXIE_FAMILIES(MOXIE_ADDRESS)};
#undef MOXIE_ADDRESS
#undef MOXIE_FAMILIES

void append_name(std::string& list, std::string_view name) {
    list += (list.empty() ? "" : ", ") + std::string(name);
}

// Far above any model there is, and low enough that products of two of them fit 64 bits.
constexpr uint32_t kMaxDim = 1U << 20;
constexpr uint32_t kMaxHeadDim = 4096;  // every layer has a table of frequencies of this length
constexpr uint32_t kMaxLayers = 4096;
constexpr uint32_t kMaxVocab = 1U << 26;
constexpr uint32_t kMaxContext = 1U << 30;
constexpr uint32_t kMaxWidth = 1U << 20;
constexpr uint32_t kMaxExperts = 1024;

// inv = interpolated * (1 - m) + original * m, m falling from 1 at the high frequencies to 0 (YaRN,
// Peng et al. 2023, as ggml and SGLang compute it).
void apply_yarn(const Hyperparameters& p, double factor, RopeSpec& rope) {
    const double dims = rope.dims;
    const double original = p.optional("rope.scaling.original_context_length", 0, kMaxContext);
    if (original <= 0) p.reject("rope.scaling.original_context_length", "missing", "yarn needs it");
    const double extrapolation = p.number("rope.scaling.yarn_ext_factor", 1.0);
    const auto correction = [&](double rotations) {
        return dims * std::log(original / (2 * std::numbers::pi * rotations)) /
               (2 * std::log(rope.theta));
    };
    const double fast = p.number("rope.scaling.yarn_beta_fast", 32.0);
    const double slow = p.number("rope.scaling.yarn_beta_slow", 1.0);
    const double low = std::clamp(std::floor(correction(fast)), 0.0, dims - 1);
    const double high = std::clamp(std::ceil(correction(slow)), 0.0, dims - 1);
    const double width = std::max(high - low, 0.001);
    for (size_t i = 0; i < rope.inverse_frequencies.size(); ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - low) / width, 0.0, 1.0);
        const double m = (1.0 - ramp) * extrapolation;
        const double plain = rope.inverse_frequencies[i];
        rope.inverse_frequencies[i] = static_cast<float>(plain / factor * (1.0 - m) + plain * m);
    }
    if (extrapolation != 0.0) {
        const double attention =
            p.number("rope.scaling.yarn_attn_factor", p.number("rope.scaling.attn_factor", 1.0));
        rope.magnitude = static_cast<float>(attention * (1.0 + 0.1 * std::log(factor)));
    }
}

// Llama 3.1 stores one divisor per frequency.
void apply_frequency_factors(const Hyperparameters& p, RopeSpec& rope) {
    const TensorInfo* factors = p.file().find_tensor("rope_freqs.weight");
    if (factors == nullptr) return;
    const size_t count = rope.inverse_frequencies.size();
    if (factors->type != DType::f32 || factors->data.size() != count * sizeof(float)) {
        throw Error(ErrorKind::model_unusable, p.file().path(),
                    "tensor rope_freqs.weight is not " + std::to_string(count) + " floats");
    }
    for (size_t i = 0; i < count; ++i) {
        float factor = 0.0F;
        std::copy_n(factors->data.data() + i * sizeof(float), sizeof(float),
                    reinterpret_cast<std::byte*>(&factor));
        rope.inverse_frequencies[i] /= factor;
    }
}

std::optional<int64_t> whole_number(const MetaValue& meta) {
    if (const auto* value = std::get_if<int64_t>(&meta.value)) return *value;
    const auto* value = std::get_if<uint64_t>(&meta.value);
    if (value == nullptr || !std::in_range<int64_t>(*value)) return std::nullopt;
    return static_cast<int64_t>(*value);
}

}  // namespace

static ModelConfig read_config(const Family& family, const WeightFile& file) {
    const Hyperparameters parameters(file, std::string(family.architecture));
    ModelConfig config = family.model(parameters);
    for_each_layer(config.layers.size(), [&](uint32_t layer) {
        config.layers[layer] = family.layer(parameters, config, layer);
    });
    return config;
}

ModelConfig config_from_file(const WeightFile& file) {
    const std::string architecture = file.meta_string("general.architecture").value_or("");
    std::string supported;
    for (const Family* family : kFamilies) {
        if (family->architecture == architecture) return read_config(*family, file);
        append_name(supported, family->architecture);
    }
    if (architecture.empty()) {
        throw Error(ErrorKind::model_unusable, file.path(),
                    "does not say its architecture (general.architecture)",
                    "supported: " + supported);
    }
    throw Error(
        ErrorKind::model_unusable, file.path(),
        "uses architecture \"" + sanitize(architecture) + "\", which this engine cannot run",
        "supported: " + supported);
}

void Hyperparameters::reject(std::string_view name, const std::string& value,
                             const std::string& advice) const {
    throw Error(ErrorKind::model_unusable, file_.path(), key(name) + " is " + value, advice);
}

uint32_t Hyperparameters::required(std::string_view name, uint32_t limit) const {
    if (!has(name)) reject(name, "missing", "the file is incomplete");
    const uint32_t value = optional(name, 0, limit);
    if (value == 0) reject(name, "0", "must be between 1 and " + std::to_string(limit));
    return value;
}

uint32_t Hyperparameters::optional(std::string_view name, uint32_t otherwise,
                                   uint32_t limit) const {
    const uint64_t value = file_.meta_uint(key(name)).value_or(otherwise);
    if (value > limit)
        reject(name, std::to_string(value), "must be at most " + std::to_string(limit));
    return static_cast<uint32_t>(value);
}

uint32_t Hyperparameters::per_layer(std::string_view name, uint32_t layer, uint32_t otherwise,
                                    uint32_t limit) const {
    const MetaValue* meta = file_.find_meta(key(name));
    const bool is_array =
        meta != nullptr && std::holds_alternative<std::shared_ptr<const MetaArray>>(meta->value);
    if (!is_array) return optional(name, otherwise, limit);
    // Only the entry that is asked for: every layer comes here, and the array may be long.
    const MetaArray& values = *std::get<std::shared_ptr<const MetaArray>>(meta->value);
    if (layer >= values.size())
        reject(name, "an array of " + std::to_string(values.size()), "needs one entry per layer");
    const std::optional<int64_t> value = whole_number(values[layer]);
    if (!value || *value < 0 || *value > int64_t{limit}) {
        reject(name, "an array with " + (value ? std::to_string(*value) : "something else"),
               "needs whole numbers of at most " + std::to_string(limit));
    }
    return static_cast<uint32_t>(*value);
}

float Hyperparameters::number(std::string_view name, double otherwise) const {
    const auto value = static_cast<float>(file_.meta_float(key(name)).value_or(otherwise));
    if (!std::isfinite(value)) reject(name, std::to_string(value), "must be a finite number");
    return value;
}

ModelConfig base_config(const Hyperparameters& p) {
    ModelConfig config;
    config.dim = p.required("embedding_length", kMaxDim);
    config.context = p.required("context_length", kMaxContext);
    constexpr const char* kEpsilon = "attention.layer_norm_rms_epsilon";
    if (!p.has(kEpsilon)) p.reject(kEpsilon, "missing", "the file is incomplete");
    config.norm_epsilon = p.number(kEpsilon, 0.0);
    if (config.norm_epsilon < 0.0F)
        p.reject(kEpsilon, std::to_string(config.norm_epsilon), "must not be negative");
    config.layers.resize(p.required("block_count", kMaxLayers));
    const TensorInfo* embedding = p.file().find_tensor("token_embd.weight");
    // The tensor decides: some files pad it beyond the tokenizer's list.
    const uint64_t rows = embedding != nullptr ? embedding->dim(1) : 0;
    if (rows > kMaxVocab) p.reject("vocab_size", std::to_string(rows), "too large");
    config.vocab = p.optional("vocab_size", static_cast<uint32_t>(rows), kMaxVocab);
    config.tied_output = p.file().find_tensor("output.weight") == nullptr;
    return config;
}

AttentionSpec base_attention(const Hyperparameters& p, const ModelConfig& config, uint32_t layer) {
    AttentionSpec attention;
    attention.heads = p.per_layer("attention.head_count", layer, 0, kMaxDim);
    if (attention.heads == 0) p.reject("attention.head_count", "0", "must be at least 1");
    attention.kv_heads =
        p.per_layer("attention.head_count_kv", layer, attention.heads, attention.heads);
    if (attention.kv_heads == 0 || attention.heads % attention.kv_heads != 0) {
        p.reject("attention.head_count_kv", std::to_string(attention.kv_heads),
                 "must divide the " + std::to_string(attention.heads) + " heads");
    }
    attention.head_dim =
        p.optional("attention.key_length", config.dim / attention.heads, kMaxHeadDim);
    const uint32_t value_dim =
        p.optional("attention.value_length", attention.head_dim, kMaxHeadDim);
    if (attention.head_dim == 0 || attention.head_dim != value_dim) {
        p.reject("attention.value_length", std::to_string(value_dim),
                 "must equal key_length, " + std::to_string(attention.head_dim));
    }
    attention.scale = 1.0F / std::sqrt(static_cast<float>(attention.head_dim));
    return attention;
}

RopeSpec rope_spec(const Hyperparameters& p, RopeStyle style, uint32_t head_dim,
                   RopeScaling scaling) {
    RopeSpec rope;
    rope.style = style;
    rope.theta = p.number("rope.freq_base", 10000.0);
    rope.dims = p.optional("rope.dimension_count", head_dim, head_dim);
    if (rope.dims % 2 != 0) p.reject("rope.dimension_count", std::to_string(rope.dims), "is odd");
    if (rope.theta <= 1.0)
        p.reject("rope.freq_base", std::to_string(rope.theta), "must be more than 1");
    for (uint32_t i = 0; i < rope.dims / 2; ++i)
        rope.inverse_frequencies.push_back(
            static_cast<float>(std::pow(rope.theta, -2.0 * i / rope.dims)));
    // Divisors of frequencies are exact, whatever the keys beside them say.
    apply_frequency_factors(p, rope);
    if (scaling == RopeScaling::none) return rope;

    const std::string type = p.file().meta_string(p.key("rope.scaling.type")).value_or("none");
    const double factor = p.number("rope.scaling.factor", p.number("rope.scale_linear", 1.0));
    if (factor <= 0.0) p.reject("rope.scaling.factor", std::to_string(factor), "must be positive");
    if (type == "linear" || (type == "none" && p.has("rope.scale_linear"))) {
        for (float& f : rope.inverse_frequencies)
            f = static_cast<float>(f / factor);
    } else if (type == "yarn") {
        apply_yarn(p, factor, rope);
    } else if (type != "none") {
        p.reject("rope.scaling.type", "\"" + type + "\"", "known are none, linear and yarn");
    }
    return rope;
}

bool has_layer_tensor(const WeightFile& file, uint32_t layer, std::string_view name) {
    return file.find_tensor("blk." + std::to_string(layer) + "." + std::string(name)) != nullptr;
}

bool has_dense_branch(const WeightFile& file, uint32_t layer) {
    return has_layer_tensor(file, layer, "ffn_gate.weight") ||
           has_layer_tensor(file, layer, "ffn_up.weight") ||
           has_layer_tensor(file, layer, "ffn_down.weight");
}

const HuggingFaceNames& hugging_face_names(std::string_view model, const std::string& object) {
    std::string supported;
    for (const Family* family : kFamilies) {
        for (const HuggingFaceNames& names : family->hugging_face) {
            if (names.model == model) return names;
            append_name(supported, names.model);
        }
    }
    throw Error(ErrorKind::model_unusable, object,
                "is a " + sanitize(model) + ", which this engine cannot run",
                "supported: " + supported);
}

namespace {

FfnSpec plain_ffn(const Hyperparameters& p, const PlainFamily& family, uint32_t layer) {
    FfnSpec ffn;
    ffn.activation = Activation::silu;
    const uint32_t width = p.per_layer("feed_forward_length", layer, 0, kMaxWidth);
    const uint32_t experts = p.optional("expert_count", 0, kMaxExperts);
    if (experts == 0 || has_dense_branch(p.file(), layer)) {
        ffn.dense_width = width;
        return ffn;
    }
    ffn.router.experts = experts;
    ffn.router.active = p.required("expert_used_count", experts);
    ffn.router.renormalize =
        p.file().meta_bool(p.key("expert_weights_norm")).value_or(family.renormalize);
    ffn.expert_width = p.optional("expert_feed_forward_length", width, kMaxWidth);
    // Older files have the shared expert and not the key.
    const TensorInfo* shared =
        p.file().find_tensor("blk." + std::to_string(layer) + ".ffn_gate_shexp.weight");
    const uint64_t shared_rows =
        shared != nullptr ? std::min<uint64_t>(shared->dim(1), kMaxWidth) : 0;
    ffn.shared_width = p.optional("expert_shared_feed_forward_length",
                                  static_cast<uint32_t>(shared_rows), kMaxWidth);
    ffn.shared_gate = has_layer_tensor(p.file(), layer, "ffn_gate_inp_shexp.weight");
    return ffn;
}

}  // namespace

ModelConfig plain_model(const Hyperparameters& p) {
    ModelConfig config = base_config(p);
    config.family = p.architecture();
    return config;
}

LayerSpec plain_layer(const Hyperparameters& p, const ModelConfig& config,
                      const PlainFamily& family, uint32_t layer) {
    LayerSpec spec;
    spec.attention = base_attention(p, config, layer);
    spec.attention.scale = p.number("attention.scale", spec.attention.scale);
    spec.attention.window = p.optional("attention.sliding_window", 0, 1U << 30);
    spec.attention.qkv_bias = family.qkv_bias || has_layer_tensor(p.file(), layer, "attn_q.bias");
    spec.attention.output_bias = has_layer_tensor(p.file(), layer, "attn_output.bias");
    spec.attention.qk_norm = family.qk_norm;
    spec.attention.rope = rope_spec(p, family.rope, spec.attention.head_dim);
    spec.ffn = plain_ffn(p, family, layer);
    return spec;
}

}  // namespace core
