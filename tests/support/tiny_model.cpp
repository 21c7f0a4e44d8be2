#include "tests/support/tiny_model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "tests/support/splitmix.h"

namespace support {
namespace {

core::DType file_type(Storage storage) {
    switch (storage) {
        case Storage::f32: return core::DType::f32;
        case Storage::f16: return core::DType::f16;
        case Storage::bf16: return core::DType::bf16;
        case Storage::q8_0: return core::DType::q8_0;
        case Storage::q4_0: return core::DType::q4_0;
        case Storage::i8c: return core::DType::i8c;
    }
    return core::DType::f32;
}

// What distinguishes the models of this file; everything else follows from the family.
struct Recipe {
    Family family = Family::grok1;
    Storage storage = Storage::f32;
    std::string prefix;  // of the generator's names: "grok1/"
    uint32_t dim = 0, vocab = 0;
    uint32_t heads = 0, kv_heads = 0, head_dim = 0;
    uint32_t dense_width = 0, expert_width = 0, experts = 0, shared_width = 0;
    double gain = 1.0;          // of the golden amplitudes, which were chosen for 32 inputs
    bool explicit_keys = true;  // Grok-1: write the scales into the file, or leave the defaults
    bool checkpoint = false;    // Grok-1: types and groups of scales as in its checkpoint
};

bool is_grok(Family family) {
    return family == Family::grok1 || family == Family::grok2;
}

// Architecture `llama` of GGUF.
bool is_llama(Family family) {
    return family == Family::llama || family == Family::mixtral;
}

bool has_experts(Family family) {
    return is_grok(family) || family == Family::mixtral || family == Family::qwen2moe ||
           family == Family::qwen3moe;
}

bool has_dense(Family family) {
    return !has_experts(family) || family == Family::grok2;
}

bool has_bias(Family family) {
    return family == Family::qwen2 || family == Family::qwen2moe;
}

bool has_head_norms(Family family) {
    return family == Family::qwen3 || family == Family::qwen3moe;
}

bool is_tied(Family family) {
    return family == Family::grok1 || family == Family::qwen2 || family == Family::qwen3;
}

// File row 2i + half of a head is row (half, i): what converters do for architecture `llama`.
std::vector<float> interleave_halves(const std::vector<float>& values, uint32_t head_dim,
                                     uint32_t cols) {
    std::vector<float> out(values.size());
    const size_t rows = values.size() / cols;
    for (size_t row = 0; row < rows; ++row) {
        const size_t within = row % head_dim;
        const size_t target =
            row - within + 2 * (within % (head_dim / 2)) + within / (head_dim / 2);
        std::copy_n(&values[row * cols], cols, &out[target * cols]);
    }
    return out;
}

// Generates tensors, keeps their bytes for the file and returns the values that the bytes stand
// for.
class Builder {
  public:
    Builder(const Recipe& recipe, std::vector<StoredTensor>& tensors)
        : recipe_(recipe), tensors_(tensors) {}

    std::vector<float> norm(const std::string& source, const std::string& target, uint32_t size) {
        std::vector<float> values = generate(source, size, 0.25, 1.0);
        store(target, Storage::f32, {size}, encode(Storage::f32, values, 1, size));
        return values;
    }

    std::vector<float> bias(const std::string& source, const std::string& target, uint32_t size) {
        std::vector<float> values = generate(source, size, 0.5);
        store(target, Storage::f32, {size}, encode(Storage::f32, values, 1, size));
        return values;
    }

    NaiveMatrix matrix(const std::string& source, const std::string& target, uint32_t rows,
                       uint32_t cols, double amplitude) {
        return stored(target, recipe_.storage, rows, cols,
                      generate(source, size_t{rows} * cols, amplitude));
    }

    NaiveMatrix embedding() {
        const uint32_t rows = recipe_.vocab;
        return stored("token_embd.weight", recipe_.checkpoint ? Storage::f32 : recipe_.storage,
                      rows, recipe_.dim, generate("embed", size_t{rows} * recipe_.dim, 1.0));
    }

    // A vector that is multiplied by the input.
    NaiveMatrix shared_gate(const std::string& source, const std::string& target) {
        std::vector<float> values = generate(source, recipe_.dim, recipe_.gain);
        store(target, Storage::f32, {recipe_.dim}, encode(Storage::f32, values, 1, recipe_.dim));
        return {1, recipe_.dim, std::move(values), false};
    }

    NaiveMatrix router(const std::string& source, const std::string& target) {
        const uint32_t rows = recipe_.experts;
        return stored(target, Storage::f32, rows, recipe_.dim,
                      generate(source, size_t{rows} * recipe_.dim, recipe_.gain));
    }

    // Queries and keys of llama lie in the file with the halves of each head interleaved.
    NaiveMatrix rotated(const std::string& source, const std::string& target, uint32_t heads) {
        const uint32_t rows = heads * recipe_.head_dim;
        std::vector<float> values =
            generate(source, size_t{rows} * recipe_.dim, 0.7 * recipe_.gain);
        if (is_llama(recipe_.family))
            values = interleave_halves(values, recipe_.head_dim, recipe_.dim);
        return stored(target, recipe_.storage, rows, recipe_.dim, values);
    }

    // One tensor {in, out, experts}; one matrix per expert.
    std::vector<NaiveMatrix> stacked(const std::string& layer, const std::string& part,
                                     const std::string& target, uint32_t rows, uint32_t cols) {
        Encoded all;
        std::vector<NaiveMatrix> matrices;
        for (uint32_t e = 0; e < recipe_.experts; ++e) {
            std::string source = layer + "e";
            source += std::to_string(e) + "." + part;
            Encoded one =
                encode(recipe_.storage, generate(source, size_t{rows} * cols, 0.35 * recipe_.gain),
                       rows, cols, groups(target));
            all.data.insert(all.data.end(), one.data.begin(), one.data.end());
            all.scales.insert(all.scales.end(), one.scales.begin(), one.scales.end());
            all.scale_groups = one.scale_groups;
            matrices.push_back(
                {rows, cols, std::move(one.values), support::rounds_inputs(recipe_.storage)});
        }
        store(target, recipe_.storage, {cols, rows, recipe_.experts}, std::move(all));
        return matrices;
    }

  private:
    // The release was sharded over 8 devices along the rows of these.
    uint32_t groups(const std::string& target) const {
        if (!recipe_.checkpoint) return 0;
        const bool sharded = target.find("attn_output.weight") != std::string::npos ||
                             target.find("ffn_down_exps.weight") != std::string::npos;
        return sharded ? 8 : 1;
    }

    std::vector<float> generate(const std::string& source, size_t count, double amplitude,
                                double centre = 0.0) const {
        const std::vector<double> uniforms = golden_uniforms(recipe_.prefix + source, count);
        std::vector<float> values(count);
        for (size_t i = 0; i < count; ++i)
            values[i] = static_cast<float>(centre + (2.0 * uniforms[i] - 1.0) * amplitude);
        return values;
    }

    NaiveMatrix stored(const std::string& target, Storage storage, uint32_t rows, uint32_t cols,
                       const std::vector<float>& values) {
        Encoded encoded = encode(storage, values, rows, cols, groups(target));
        NaiveMatrix matrix{rows, cols, std::move(encoded.values), support::rounds_inputs(storage)};
        store(target, storage, {cols, rows}, std::move(encoded));
        return matrix;
    }

    void store(const std::string& target, Storage storage, std::vector<uint64_t> shape,
               Encoded encoded) {
        tensors_.push_back({target, file_type(storage), std::move(shape), std::move(encoded.data),
                            std::move(encoded.scales), encoded.scale_groups});
    }

    const Recipe& recipe_;
    std::vector<StoredTensor>& tensors_;
};

NaiveLayer build_layer(const Recipe& recipe, Builder& builder, uint32_t index) {
    const std::string from = std::to_string(index) + ".";
    const std::string to = "blk." + std::to_string(index) + ".";
    const double amplitude = 0.35 * recipe.gain;
    const uint32_t q_size = recipe.heads * recipe.head_dim;
    const uint32_t kv_size = recipe.kv_heads * recipe.head_dim;
    NaiveLayer layer;
    layer.attention_norm = builder.norm(from + "norm1", to + "attn_norm.weight", recipe.dim);
    layer.ffn_norm = builder.norm(from + "norm3", to + "ffn_norm.weight", recipe.dim);
    if (is_grok(recipe.family)) {
        // Older Grok-1 files and newer ones differ in the name of the last norm.
        const std::string last =
            recipe.family == Family::grok1 ? "layer_output_norm.weight" : "post_ffw_norm.weight";
        layer.attention_post_norm =
            builder.norm(from + "norm2", to + "attn_output_norm.weight", recipe.dim);
        layer.ffn_post_norm = builder.norm(from + "norm4", to + last, recipe.dim);
    }
    layer.q = builder.rotated(from + "q", to + "attn_q.weight", recipe.heads);
    layer.k = builder.rotated(from + "k", to + "attn_k.weight", recipe.kv_heads);
    layer.v = builder.matrix(from + "v", to + "attn_v.weight", kv_size, recipe.dim, amplitude);
    layer.o = builder.matrix(from + "o", to + "attn_output.weight", recipe.dim, q_size, amplitude);
    if (has_head_norms(recipe.family)) {
        layer.q_norm = builder.norm(from + "q_norm", to + "attn_q_norm.weight", recipe.head_dim);
        layer.k_norm = builder.norm(from + "k_norm", to + "attn_k_norm.weight", recipe.head_dim);
    }
    if (has_bias(recipe.family)) {
        layer.q_bias = builder.bias(from + "q_bias", to + "attn_q.bias", q_size);
        layer.k_bias = builder.bias(from + "k_bias", to + "attn_k.bias", kv_size);
        layer.v_bias = builder.bias(from + "v_bias", to + "attn_v.bias", kv_size);
    }
    if (const uint32_t width = recipe.dense_width; width != 0) {
        layer.dense.gate =
            builder.matrix(from + "gate", to + "ffn_gate.weight", width, recipe.dim, amplitude);
        layer.dense.up =
            builder.matrix(from + "up", to + "ffn_up.weight", width, recipe.dim, amplitude);
        layer.dense.down =
            builder.matrix(from + "down", to + "ffn_down.weight", recipe.dim, width, amplitude);
    }
    if (const uint32_t width = recipe.shared_width; width != 0) {
        layer.shared.gate = builder.matrix(from + "sh.gate", to + "ffn_gate_shexp.weight", width,
                                           recipe.dim, amplitude);
        layer.shared.up = builder.matrix(from + "sh.up", to + "ffn_up_shexp.weight", width,
                                         recipe.dim, amplitude);
        layer.shared.down = builder.matrix(from + "sh.down", to + "ffn_down_shexp.weight",
                                           recipe.dim, width, amplitude);
        layer.shared_gate =
            builder.shared_gate(from + "sh_router", to + "ffn_gate_inp_shexp.weight");
    }
    if (const uint32_t width = recipe.expert_width; width != 0) {
        layer.router = builder.router(from + "router", to + "ffn_gate_inp.weight");
        auto gate = builder.stacked(from, "gate", to + "ffn_gate_exps.weight", width, recipe.dim);
        auto up = builder.stacked(from, "up", to + "ffn_up_exps.weight", width, recipe.dim);
        auto down = builder.stacked(from, "down", to + "ffn_down_exps.weight", recipe.dim, width);
        for (uint32_t e = 0; e < recipe.experts; ++e)
            layer.experts.push_back({std::move(gate[e]), std::move(up[e]), std::move(down[e])});
    }
    return layer;
}

constexpr uint32_t kLayers = 2;
constexpr uint32_t kActiveExperts = 2;

void describe(const Recipe& recipe, TestModel& model) {
    const NaiveModel& reference = model.reference;
    const std::string arch = is_grok(recipe.family)    ? "grok"
                             : is_llama(recipe.family) ? "llama"
                                                       : name(recipe.family);
    auto& metadata = model.metadata;
    const auto number = [&](const char* key, uint32_t value) {
        metadata.emplace_back(arch + "." + key, value);
    };
    const auto real = [&](const char* key, double value) {
        metadata.emplace_back(arch + "." + key, static_cast<float>(value));
    };
    metadata.emplace_back("general.architecture", arch);
    metadata.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
    number("vocab_size", recipe.vocab);
    number("context_length", 1024);
    number("embedding_length", recipe.dim);
    number("block_count", kLayers);
    number("feed_forward_length",
           recipe.dense_width != 0 ? recipe.dense_width : recipe.expert_width);
    number("attention.head_count", recipe.heads);
    number("attention.head_count_kv", recipe.kv_heads);
    number("attention.key_length", recipe.head_dim);
    number("attention.value_length", recipe.head_dim);
    number("rope.dimension_count", recipe.head_dim);
    real("attention.layer_norm_rms_epsilon", reference.norm_epsilon);
    real("rope.freq_base", reference.rope_theta);
    if (recipe.experts != 0) {
        number("expert_count", recipe.experts);
        number("expert_used_count", kActiveExperts);
    }
    if (recipe.family == Family::qwen2moe || recipe.family == Family::qwen3moe)
        number("expert_feed_forward_length", recipe.expert_width);
    if (recipe.shared_width != 0) number("expert_shared_feed_forward_length", recipe.shared_width);
    if (recipe.family == Family::grok2) {
        number("expert_feed_forward_length", recipe.expert_width);
        number("attention.temperature_length", reference.temperature_length);
        real("router_logit_softcapping", reference.router_cap);
        real("final_logit_softcapping", reference.logit_cap);
    }
    if (is_grok(recipe.family) && recipe.explicit_keys) {
        real("embedding_scale", reference.embedding_scale);
        real("logit_scale", reference.logit_scale);
        real("attention.output_scale", reference.attention_scale);
        real("attn_logit_softcapping", reference.attention_cap);
    }
}

// Golden constants of each family; tiny_model changes what it wants otherwise.
NaiveModel constants(const Recipe& recipe) {
    NaiveModel model;
    model.dim = recipe.dim;
    model.vocab = recipe.vocab;
    model.heads = recipe.heads;
    model.kv_heads = recipe.kv_heads;
    model.head_dim = recipe.head_dim;
    model.active_experts = recipe.experts == 0 ? 0 : kActiveExperts;
    model.gelu = is_grok(recipe.family);
    model.adjacent_rope = is_llama(recipe.family);
    model.renormalizes = recipe.family == Family::mixtral || recipe.family == Family::qwen3moe;
    model.attention_scale = 1.0 / std::sqrt(recipe.head_dim);
    switch (recipe.family) {
        case Family::grok1:
            model.embedding_scale = 78.38367176906169;
            model.attention_scale = 0.08838834764831845;
            model.attention_cap = 30.0;
            model.logit_scale = 0.5773502691896257;
            break;
        case Family::grok2:
            model.rope_theta = 208533496.0;
            model.embedding_scale = 5.656854249492381;
            model.attention_cap = 3.0;
            model.router_cap = 2.0;
            model.temperature_length = 4;
            model.ffn_mix = 1.0 / std::sqrt(2.0);
            model.logit_scale = 0.5;
            model.logit_cap = 5.0;
            break;
        case Family::llama: break;
        case Family::mixtral: model.rope_theta = 1e6; break;
        case Family::qwen2:
        case Family::qwen2moe:
        case Family::qwen3:
        case Family::qwen3moe:
            model.norm_epsilon = 1e-6;
            model.rope_theta = 1e6;
            break;
    }
    return model;
}

// The same with scales that suit the size, as the real models' scales suit theirs.
NaiveModel tiny_constants(const Recipe& recipe) {
    NaiveModel model = constants(recipe);
    if (is_grok(recipe.family)) {
        model.embedding_scale = std::sqrt(recipe.dim);
        model.attention_scale = 1.0 / std::sqrt(recipe.head_dim);
    }
    if (recipe.family == Family::grok2) model.temperature_length = 16;
    return model;
}

TestModel build(const Recipe& recipe, NaiveModel reference) {
    TestModel model;
    model.reference = std::move(reference);
    Builder builder(recipe, model.tensors);
    model.reference.embedding = builder.embedding();
    model.reference.final_norm = builder.norm("final_norm", "output_norm.weight", recipe.dim);
    if (!is_tied(recipe.family))
        model.reference.output = builder.matrix("lm_head", "output.weight", recipe.vocab,
                                                recipe.dim, 0.35 * recipe.gain);
    for (uint32_t l = 0; l < kLayers; ++l)
        model.reference.layers.push_back(build_layer(recipe, builder, l));
    describe(recipe, model);
    return model;
}

}  // namespace

std::string name(Family family) {
    switch (family) {
        case Family::grok1: return "grok1";
        case Family::grok2: return "grok2";
        case Family::llama: return "llama";
        case Family::mixtral: return "mixtral";
        case Family::qwen2: return "qwen2";
        case Family::qwen2moe: return "qwen2moe";
        case Family::qwen3: return "qwen3";
        case Family::qwen3moe: return "qwen3moe";
    }
    return {};
}

std::vector<double> golden_uniforms(std::string_view name, size_t count) {
    Splitmix random(fnv1a(name));
    std::vector<double> uniforms(count);
    for (double& uniform : uniforms)
        uniform = std::ldexp(static_cast<double>(random.next() >> 40), -24);
    return uniforms;
}

TestModel golden_model(Family family) {
    Recipe recipe{.family = family,
                  .prefix = name(family) + "/",
                  .dim = 32,
                  .vocab = 48,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = has_head_norms(family) ? 16U : 8U,
                  .explicit_keys = family != Family::grok1};
    if (has_dense(family)) recipe.dense_width = 64;
    if (has_experts(family)) {
        recipe.experts = is_grok(family) ? 8 : family == Family::mixtral ? 4 : 6;
        recipe.expert_width = family == Family::grok1 ? 176 : family == Family::mixtral ? 64 : 24;
    }
    if (family == Family::qwen2moe) recipe.shared_width = 40;
    return build(recipe, constants(recipe));
}

// Sizes are such that rows do not fill the last panel of 16 (vocabulary, grouped heads), widths
// differ from one another, and every column count is a multiple of 32.
TestModel tiny_model(Family family, Storage storage) {
    Recipe recipe{.family = family,
                  .storage = storage,
                  .prefix = "tiny-" + name(family) + "/",
                  .dim = 64,
                  .vocab = 50,
                  .heads = family == Family::grok2 ? 6U : 4U,
                  .kv_heads = 2,
                  .head_dim = 32,
                  .gain = std::sqrt(0.5)};
    if (has_dense(family)) recipe.dense_width = 160;
    if (has_experts(family)) {
        recipe.experts = 4;
        recipe.expert_width = 96;
    }
    if (family == Family::qwen2moe) recipe.shared_width = 128;
    return build(recipe, tiny_constants(recipe));
}

TestModel tiny_checkpoint() {
    const Recipe recipe{.family = Family::grok1,
                        .storage = Storage::i8c,
                        .prefix = "checkpoint/",
                        .dim = 64,
                        .vocab = 50,
                        .heads = 2,
                        .kv_heads = 1,
                        .head_dim = 128,
                        .expert_width = 256,
                        .experts = 4,
                        .gain = std::sqrt(0.5),
                        .explicit_keys = false,
                        .checkpoint = true};
    return build(recipe, constants(recipe));
}

TestModel wide_model(Family family, Storage storage) {
    Recipe recipe{.family = family,
                  .storage = storage,
                  .prefix = "wide-" + name(family) + "/",
                  .dim = 256,
                  .vocab = 1000,
                  .heads = 8,
                  .kv_heads = 2,
                  .head_dim = 32,
                  .gain = std::sqrt(1.0 / 8.0)};
    if (has_dense(family)) recipe.dense_width = 512;
    if (has_experts(family)) {
        recipe.experts = 4;
        recipe.expert_width = 384;
    }
    if (family == Family::qwen2moe) recipe.shared_width = 256;
    return build(recipe, tiny_constants(recipe));
}

std::vector<int32_t> safe_tokens(NaiveForward& forward, uint32_t vocab, uint32_t count,
                                 uint64_t seed, std::vector<std::vector<double>>& logits) {
    constexpr double kRouterMargin = 1e-3;
    constexpr double kRoundingMargin = 5e-4;
    constexpr double kHalfMargin = 3e-3;  // a float's error is a thousandth of a half's step
    constexpr int kMaxTries = 30'000;
    std::vector<int32_t> tokens;
    Splitmix random(seed * 1'000'003 * Splitmix::kStep);
    uint32_t refused = 0;  // in a row
    for (int tries = 0; tokens.size() < count; ++tries) {
        if (tries == kMaxTries) throw std::runtime_error("no safe token found");
        const auto token = static_cast<int32_t>(random.next() % vocab);
        const uint32_t length = forward.length();
        std::vector<double> row = forward.step(token);
        const bool safe = forward.margins().router >= kRouterMargin &&
                          forward.margins().rounding >= kRoundingMargin &&
                          forward.margins().half >= kHalfMargin;
        if (safe) {
            tokens.push_back(token);
            logits.push_back(std::move(row));
            refused = 0;
            continue;
        }
        forward.truncate(length);
        // Perhaps none is safe here: another one before it.
        if (++refused < 2 * vocab || tokens.empty()) continue;
        tokens.pop_back();
        logits.pop_back();
        forward.truncate(length - 1);
        refused = 0;
    }
    return tokens;
}

double relative_error(std::span<const float> actual, std::span<const double> expected) {
    double difference = 0.0;
    double norm = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double delta = static_cast<double>(actual[i]) - expected[i];
        difference += delta * delta;
        norm += expected[i] * expected[i];
    }
    return std::sqrt(difference / norm);
}

}  // namespace support
