#include "tests/support/containers.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "tests/support/pickles.h"
#include "tests/support/safetensors_file.h"

namespace support {
namespace {

// Names of transformers' model classes, written from their modeling_*.py. Patterns without layer.
const std::map<std::string, std::string> kNames = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
    {"attn_norm.weight", "input_layernorm.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"ffn_gate_exps.weight", "mlp.experts.#.gate_proj.weight"},
    {"ffn_up_exps.weight", "mlp.experts.#.up_proj.weight"},
    {"ffn_down_exps.weight", "mlp.experts.#.down_proj.weight"},
    {"ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight"},
    {"ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"},
};

// Mixtral and Grok-2.
const std::map<std::string, std::string> kSparseMoeNames = {
    {"ffn_gate_inp.weight", "block_sparse_moe.gate.weight"},
    {"ffn_gate_exps.weight", "block_sparse_moe.experts.#.w1.weight"},
    {"ffn_up_exps.weight", "block_sparse_moe.experts.#.w3.weight"},
    {"ffn_down_exps.weight", "block_sparse_moe.experts.#.w2.weight"},
};

const std::map<std::string, std::string> kGrok2Names = {
    {"attn_norm.weight", "pre_attn_norm.weight"},
    {"attn_output_norm.weight", "post_attn_norm.weight"},
    {"ffn_norm.weight", "pre_moe_norm.weight"},
    {"post_ffw_norm.weight", "post_moe_norm.weight"},
};

std::string hugging_face_name(const std::string& gguf, Family family) {
    std::string prefix;
    std::string rest = gguf;
    if (gguf.rfind("blk.", 0) == 0) {
        const size_t dot = gguf.find('.', 4);
        prefix = "model.layers." + gguf.substr(4, dot - 4) + ".";
        rest = gguf.substr(dot + 1);
    }
    if (family == Family::grok2 && kGrok2Names.contains(rest)) return prefix + kGrok2Names.at(rest);
    if ((family == Family::grok2 || family == Family::mixtral) && kSparseMoeNames.contains(rest))
        return prefix + kSparseMoeNames.at(rest);
    return prefix + kNames.at(rest);
}

std::string model_class(Family family) {
    switch (family) {
        case Family::grok1: break;
        case Family::grok2: return "Grok1ForCausalLM";
        case Family::llama: return "LlamaForCausalLM";
        case Family::mixtral: return "MixtralForCausalLM";
        case Family::qwen2: return "Qwen2ForCausalLM";
        case Family::qwen2moe: return "Qwen2MoeForCausalLM";
        case Family::qwen3: return "Qwen3ForCausalLM";
        case Family::qwen3moe: return "Qwen3MoeForCausalLM";
    }
    throw std::invalid_argument("no class of Hugging Face");
}

std::string type_name(core::DType type) {
    switch (type) {
        case core::DType::f32: return "F32";
        case core::DType::f16: return "F16";
        case core::DType::bf16: return "BF16";
        default: throw std::invalid_argument("no type of safetensors");
    }
}

std::string config_json(const TestModel& model, Family family) {
    const NaiveModel& m = model.reference;
    const NaiveLayer& layer = m.layers.front();
    std::ostringstream out;
    out.precision(17);
    const auto put = [&](const char* key, auto value) { out << ", \"" << key << "\": " << value; };
    out << "{\"architectures\": [\"" << model_class(family) << "\"]";
    put("hidden_size", m.dim);
    put("vocab_size", m.vocab);
    put("num_hidden_layers", m.layers.size());
    put("num_attention_heads", m.heads);
    put("num_key_value_heads", m.kv_heads);
    put("head_dim", m.head_dim);
    put("max_position_embeddings", 1024);
    put("rms_norm_eps", m.norm_epsilon);
    put("rope_theta", m.rope_theta);
    put("tie_word_embeddings", m.output.rows == 0 ? "true" : "false");
    const bool dense = layer.dense.gate.rows != 0;
    const uint32_t expert_width = layer.experts.empty() ? 0 : layer.experts.front().gate.rows;
    put("intermediate_size", dense ? layer.dense.gate.rows : expert_width);
    if (expert_width != 0) {
        const bool qwen = family == Family::qwen2moe || family == Family::qwen3moe;
        put(qwen ? "num_experts" : "num_local_experts", layer.experts.size());
        put("num_experts_per_tok", m.active_experts);
        if (family != Family::mixtral) put("moe_intermediate_size", expert_width);
    }
    if (layer.shared.gate.rows != 0) put("shared_expert_intermediate_size", layer.shared.gate.rows);
    // Otherwise absent, as in some releases: the default is false.
    if (family == Family::qwen3moe) put("norm_topk_prob", "true");
    if (family == Family::grok2) {
        put("model_type", "\"git\"");
        put("residual_moe", "true");
        put("embedding_multiplier_scale", m.embedding_scale);
        put("output_multiplier_scale", m.logit_scale);
        put("attn_logit_softcapping", m.attention_cap);
        put("router_logit_softcapping", m.router_cap);
        put("final_logit_softcapping", m.logit_cap);
        put("attn_temperature_len", m.temperature_length);
        put("rope_type", "\"original\"");
        put("scaling_factor", 16.0);
    }
    out << "}";
    return out.str();
}

// The order of GGUF's rows undone: rows 2i and 2i + 1 of a head become (0, i) and (1, i).
std::vector<std::byte> separate_halves(const std::vector<std::byte>& data, uint32_t head_dim,
                                       size_t row_bytes) {
    std::vector<std::byte> out(data.size());
    for (size_t row = 0; row < data.size() / row_bytes; ++row) {
        const size_t within = row % head_dim;
        const size_t target = row - within + within % 2 * (head_dim / 2) + within / 2;
        std::copy_n(&data[row * row_bytes], row_bytes, &out[target * row_bytes]);
    }
    return out;
}

// One tensor for each expert, rows of heads in transformers' order.
std::vector<TensorToSave> to_hugging_face(const StoredTensor& tensor, const TestModel& model,
                                          Family family) {
    const std::string name = hugging_face_name(tensor.name, family);
    const std::string type = type_name(tensor.type);
    std::vector<uint64_t> shape(tensor.shape.rbegin(), tensor.shape.rend());
    if (name.find("shared_expert_gate") != std::string::npos) shape.insert(shape.begin(), 1);
    const size_t mark = name.find('#');
    if (mark == std::string::npos) {
        const bool rotated =
            (family == Family::llama || family == Family::mixtral) &&
            (name.find("q_proj") != std::string::npos || name.find("k_proj") != std::string::npos);
        auto data = rotated ? separate_halves(tensor.data, model.reference.head_dim,
                                              tensor.data.size() / shape[0])
                            : tensor.data;
        return {{name, type, shape, std::move(data)}};
    }
    std::vector<TensorToSave> all;
    const size_t bytes = tensor.data.size() / shape[0];
    for (uint64_t e = 0; e < shape[0]; ++e) {
        const auto begin = tensor.data.begin() + static_cast<ptrdiff_t>(e * bytes);
        all.push_back({std::string(name).replace(mark, 1, std::to_string(e)),
                       type,
                       {shape[1], shape[2]},
                       {begin, begin + static_cast<ptrdiff_t>(bytes)}});
    }
    return all;
}

constexpr uint32_t kRanks = 8;

bool is_sharded(const std::string& name) {
    return name.find(".experts.") != std::string::npos;
}

// Shard `rank` of an expert's matrix: w1 and w3 by rows, w2 by columns.
TensorToSave shard(const TensorToSave& whole, uint32_t rank) {
    const uint64_t rows = whole.shape[0];
    const uint64_t cols = whole.shape[1];
    const bool by_columns = whole.name.find(".w2.") != std::string::npos;
    TensorToSave part = whole;
    part.data.clear();
    part.shape[by_columns ? 1 : 0] /= kRanks;
    const size_t row_bytes = whole.data.size() / rows;
    const size_t piece = row_bytes / cols * part.shape[1];
    for (uint64_t r = 0; r < part.shape[0]; ++r) {
        const uint64_t row = by_columns ? r : rank * part.shape[0] + r;
        const auto begin =
            whole.data.begin() +
            static_cast<ptrdiff_t>(row * row_bytes + (by_columns ? rank : 0) * piece);
        part.data.insert(part.data.end(), begin, begin + static_cast<ptrdiff_t>(piece));
    }
    return part;
}

void save(const std::string& path, const std::vector<TensorToSave>& tensors) {
    write_text(path, safetensors_bytes(tensors));
}

void save_sharded(const std::vector<TensorToSave>& tensors, const std::string& folder) {
    constexpr size_t kFiles = 3;
    std::vector<std::vector<TensorToSave>> files(kFiles);
    std::string map;
    for (size_t i = 0; i < tensors.size(); ++i) {
        const std::string file =
            "model-0000" + std::to_string(i % kFiles + 1) + "-of-00003.safetensors";
        map += (map.empty() ? "\"" : ", \"") + tensors[i].name + "\": \"" + file + "\"";
        files[i % kFiles].push_back(tensors[i]);
    }
    for (size_t f = 0; f < kFiles; ++f)
        save(folder + "/model-0000" + std::to_string(f + 1) + "-of-00003.safetensors", files[f]);
    write_text(folder + "/model.safetensors.index.json",
               "{\"metadata\": {\"total_size\": 0}, \"weight_map\": {" + map + "}}");
}

void save_tensor_parallel(const std::vector<TensorToSave>& tensors, const std::string& folder) {
    std::vector<TensorToSave> common;
    std::vector<std::vector<TensorToSave>> ranks(kRanks);
    for (const TensorToSave& tensor : tensors) {
        if (!is_sharded(tensor.name)) {
            common.push_back(tensor);
            continue;
        }
        for (uint32_t rank = 0; rank < kRanks; ++rank)
            ranks[rank].push_back(shard(tensor, rank));
    }
    save(folder + "/pytorch_model-00000-TP-common.safetensors", common);
    for (uint32_t rank = 0; rank < kRanks; ++rank)
        save(folder + "/pytorch_model-00006-TP-00" + std::to_string(rank) + ".safetensors",
             ranks[rank]);
}

// [.., out, in] as [.., in, out], elements of `size` bytes.
std::vector<std::byte> transposed(const std::vector<std::byte>& data, uint64_t rows, uint64_t cols,
                                  size_t size) {
    std::vector<std::byte> out(data.size());
    const size_t matrix = rows * cols * size;
    for (size_t begin = 0; begin < data.size(); begin += matrix)
        for (uint64_t r = 0; r < rows; ++r)
            for (uint64_t c = 0; c < cols; ++c)
                std::copy_n(&data[begin + (r * cols + c) * size], size,
                            &out[begin + (c * rows + r) * size]);
    return out;
}

// In the order of the checkpoint's numbers.
constexpr const char* kLayerTensors[] = {
    "ffn_gate_exps.weight", "ffn_down_exps.weight",     "ffn_up_exps.weight",
    "attn_k.weight",        "attn_output.weight",       "attn_q.weight",
    "attn_v.weight",        "attn_norm.weight",         "attn_output_norm.weight",
    "ffn_norm.weight",      "layer_output_norm.weight", "ffn_gate_inp.weight"};

PickleFile to_pickle(const StoredTensor& tensor) {
    using Type = ArrayToPickle::Type;
    const bool embedding = tensor.name == "token_embd.weight";
    std::vector<uint64_t> shape(tensor.shape.rbegin(), tensor.shape.rend());
    if (shape.size() == 1 || embedding)
        return PickleFile(ArrayToPickle{Type::f32, shape, tensor.data});
    const uint64_t in = tensor.shape[0];
    const uint64_t out = tensor.shape[1];
    const size_t element = tensor.type == core::DType::i8c ? 1 : sizeof(float);
    std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
    ArrayToPickle values{element == 1 ? Type::i8 : Type::f32, shape,
                         transposed(tensor.data, out, in, element)};
    if (element != 1) return PickleFile(values);
    shape[shape.size() - 2] = tensor.scale_groups;
    return {values, {Type::bf16, shape, transposed(tensor.scales, out, tensor.scale_groups, 2)}};
}

}  // namespace

void write_hugging_face(const TestModel& model, Family family, HuggingFaceLayout layout,
                        const std::string& folder) {
    std::vector<TensorToSave> tensors;
    for (const StoredTensor& tensor : model.tensors)
        for (TensorToSave& part : to_hugging_face(tensor, model, family))
            tensors.push_back(std::move(part));
    write_text(folder + "/config.json", config_json(model, family));
    switch (layout) {
        case HuggingFaceLayout::one_file: return save(folder + "/model.safetensors", tensors);
        case HuggingFaceLayout::sharded: return save_sharded(tensors, folder);
        case HuggingFaceLayout::tensor_parallel: return save_tensor_parallel(tensors, folder);
    }
}

void write_grok1_checkpoint(const TestModel& model, const std::string& folder) {
    const auto write = [&](const std::string& name, size_t index) {
        const auto found = std::ranges::find(model.tensors, name, &StoredTensor::name);
        if (found == model.tensors.end()) throw std::out_of_range("no tensor " + name);
        char file[32];
        std::snprintf(file, sizeof file, "/tensor%05zu_000", index);
        to_pickle(*found).write(folder + file);
    };
    write("token_embd.weight", 0);
    write("output_norm.weight", 1);
    std::vector<std::string> layers;
    for (size_t l = 0; l < model.reference.layers.size(); ++l)
        layers.push_back(std::to_string(l));
    std::ranges::sort(layers);
    size_t index = 2;
    for (const std::string& layer : layers)
        for (const char* name : kLayerTensors)
            write("blk." + layer + "." + name, index++);
}

}  // namespace support
