#include "app/train/export.h"

#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "core/formats/gguf_writer.h"

namespace train {
namespace {

using core::DType;
using core::GgufWriter;

constexpr uint32_t kMostlyQ8 = 7;  // general.file_type

// Grok-2's format (SGLang conversation.py, `grok`), as Jinja. The engine knows it by its literals.
constexpr std::string_view kChatTemplate =
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{{ 'System: ' + message['content'] | trim + '<|separator|>\\n\\n' }}"
    "{% elif message['role'] == 'user' %}"
    "{{ 'Human: ' + message['content'] | trim + '<|separator|>\\n\\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + message['content'] + '<|separator|>\\n\\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

uint32_t u32(int64_t value) {
    return static_cast<uint32_t>(value);
}

void add_hyperparameters(GgufWriter& writer, const GrokConfig& config,
                         const ExportOptions& options) {
    writer.add_string("general.architecture", "grok");
    writer.add_string("general.type", "model");
    writer.add_string("general.name", options.name);
    writer.add<uint32_t>("general.file_type", kMostlyQ8);
    writer.add<uint32_t>("general.quantization_version", 2);
    writer.add<uint32_t>("general.alignment", 32);
    writer.add<uint32_t>("grok.vocab_size", u32(config.vocab));
    writer.add<uint32_t>("grok.context_length", options.context_length);
    writer.add<uint32_t>("grok.embedding_length", u32(config.dim));
    writer.add<uint32_t>("grok.block_count", u32(config.layers));
    writer.add<uint32_t>("grok.feed_forward_length", u32(config.expert_width));
    writer.add<uint32_t>("grok.expert_feed_forward_length", u32(config.expert_width));
    writer.add<uint32_t>("grok.expert_count", u32(config.experts));
    writer.add<uint32_t>("grok.expert_used_count", u32(config.active));
    writer.add<uint32_t>("grok.attention.head_count", u32(config.heads));
    writer.add<uint32_t>("grok.attention.head_count_kv", u32(config.kv_heads));
    writer.add<uint32_t>("grok.attention.key_length", u32(config.head_dim));
    writer.add<uint32_t>("grok.attention.value_length", u32(config.head_dim));
    writer.add<float>("grok.attention.layer_norm_rms_epsilon", static_cast<float>(kRmsEpsilon));
    writer.add<uint32_t>("grok.rope.dimension_count", u32(config.head_dim));
    writer.add<float>("grok.rope.freq_base", static_cast<float>(kRopeBase));
    writer.add<float>("grok.embedding_scale", static_cast<float>(config.embedding_scale()));
    writer.add<float>("grok.logit_scale", static_cast<float>(kLogitScale));
    writer.add<float>("grok.attention.output_scale", static_cast<float>(config.attention_scale()));
    writer.add<float>("grok.attn_logit_softcapping", static_cast<float>(kAttentionCap));
}

void add_vocabulary(GgufWriter& writer, const core::Vocabulary& vocabulary) {
    writer.add_string("tokenizer.ggml.model", "llama");
    writer.add_strings("tokenizer.ggml.tokens", vocabulary.pieces);
    writer.add_array<float>("tokenizer.ggml.scores", vocabulary.scores);
    std::vector<int32_t> types;
    uint32_t unknown = 0;
    for (size_t i = 0; i < vocabulary.kinds.size(); ++i) {
        // The kinds are in GGUF's order, which counts from 1.
        types.push_back(static_cast<int32_t>(vocabulary.kinds[i]) + 1);
        if (vocabulary.kinds[i] == core::PieceKind::unknown) unknown = static_cast<uint32_t>(i);
    }
    writer.add_array<int32_t>("tokenizer.ggml.token_type", types);
    writer.add<uint32_t>("tokenizer.ggml.bos_token_id",
                         static_cast<uint32_t>(vocabulary.bos.value()));
    writer.add<uint32_t>("tokenizer.ggml.eos_token_id",
                         static_cast<uint32_t>(vocabulary.eos.value()));
    writer.add<uint32_t>("tokenizer.ggml.unknown_token_id", unknown);
    writer.add<uint32_t>("tokenizer.ggml.padding_token_id",
                         static_cast<uint32_t>(vocabulary.pad.value()));
    writer.add<bool>("tokenizer.ggml.add_bos_token", false);
    writer.add<bool>("tokenizer.ggml.add_eos_token", false);
    writer.add<bool>("tokenizer.ggml.add_space_prefix", true);
    writer.add<bool>("tokenizer.ggml.remove_extra_whitespaces", false);
    writer.add_string("tokenizer.chat_template", kChatTemplate);
}

struct NamedTensor {
    std::string name;
    DType type;
    torch::Tensor values;  // GGUF's shape is this one reversed
};

// In the order of the file, the parameters `blk/0/attn_q` being `blk.0.attn_q.weight` there.
std::vector<NamedTensor> tensors_of(const GrokModel& model) {
    std::vector<NamedTensor> tensors;
    for (const auto& item : model.named_parameters()) {
        std::string name = item.key();
        for (char& c : name)
            c = c == '/' ? '.' : c;
        const torch::Tensor values = item.value().detach();
        const bool quantized = values.dim() > 1 && name.find("ffn_gate_inp") == std::string::npos;
        const DType type = quantized ? DType::q8_0 : DType::f32;
        if (const size_t at = name.find("ffn_gate_up_exps"); at != std::string::npos) {
            const auto halves = values.chunk(2, 1);
            const std::string prefix = name.substr(0, at);
            tensors.push_back({prefix + "ffn_gate_exps.weight", type, halves[0].contiguous()});
            tensors.push_back({prefix + "ffn_up_exps.weight", type, halves[1].contiguous()});
        } else {
            tensors.push_back({name + ".weight", type, values.contiguous()});
        }
    }
    return tensors;
}

}  // namespace

void export_gguf(const GrokModel& model, const core::Vocabulary& vocabulary,
                 const ExportOptions& options) {
    if (static_cast<int64_t>(vocabulary.pieces.size()) != model.config().vocab) {
        throw std::runtime_error("vocabulary has " + std::to_string(vocabulary.pieces.size()) +
                                 " pieces, the model " + std::to_string(model.config().vocab));
    }
    GgufWriter writer(options.path);
    add_hyperparameters(writer, model.config(), options);
    add_vocabulary(writer, vocabulary);
    const auto tensors = tensors_of(model);
    for (const NamedTensor& tensor : tensors) {
        const auto sizes = tensor.values.sizes();
        writer.declare(tensor.name, tensor.type, {sizes.rbegin(), sizes.rend()});
    }
    for (const NamedTensor& tensor : tensors) {
        writer.append_floats(
            {tensor.values.data_ptr<float>(), static_cast<size_t>(tensor.values.numel())});
    }
    writer.finish();
}

}  // namespace train
