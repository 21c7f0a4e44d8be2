// Qwen 2, 2.5 and 3, dense and with experts. Qwen2 has biases on q, k and v, Qwen3 a norm of each
// head of q and k instead; Qwen2-MoE has a shared expert behind a gate.
#include "core/base/error.h"
#include "core/model/architecture.h"

namespace core {
namespace {

constexpr HuggingFaceKey kMoeKeys[] = {
    {"num_experts", "expert_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"},
    {"norm_topk_prob", "expert_weights_norm"},
};

constexpr HuggingFaceTensor kMoeTensors[] = {
    {"model.layers.{l}.mlp.gate.weight", "blk.{l}.ffn_gate_inp.weight"},
    {"model.layers.{l}.mlp.experts.{e}.gate_proj.weight", "blk.{l}.ffn_gate_exps.weight"},
    {"model.layers.{l}.mlp.experts.{e}.up_proj.weight", "blk.{l}.ffn_up_exps.weight"},
    {"model.layers.{l}.mlp.experts.{e}.down_proj.weight", "blk.{l}.ffn_down_exps.weight",
     ShardAxis::in},
    {"model.layers.{l}.mlp.shared_expert_gate.weight", "blk.{l}.ffn_gate_inp_shexp.weight"},
    {"model.layers.{l}.mlp.shared_expert.gate_proj.weight", "blk.{l}.ffn_gate_shexp.weight"},
    {"model.layers.{l}.mlp.shared_expert.up_proj.weight", "blk.{l}.ffn_up_shexp.weight"},
    {"model.layers.{l}.mlp.shared_expert.down_proj.weight", "blk.{l}.ffn_down_shexp.weight",
     ShardAxis::in},
};

// `sliding_window` counts only when `use_sliding_window` is set, which no release does; which
// layers it would be for is not known then.
void refuse_window(const WeightFile& source, GgufMetadata&) {
    if (!source.meta_bool("use_sliding_window").value_or(false)) return;
    throw Error(ErrorKind::model_unusable, source.path(), "use_sliding_window is true",
                "this engine runs Qwen with full attention only");
}

// The class of the model does not renormalize unless its configuration says so; GGUF's default
// differs between the two architectures.
void complete_moe(const WeightFile& source, GgufMetadata& gguf) {
    refuse_window(source, gguf);
    gguf.set_default("expert_weights_norm", {false});
}

constexpr HuggingFaceNames kQwen2Names[] = {
    {.model = "Qwen2ForCausalLM", .architecture = "qwen2", .complete = refuse_window}};

constexpr HuggingFaceNames kQwen3Names[] = {
    {.model = "Qwen3ForCausalLM", .architecture = "qwen3", .complete = refuse_window}};

constexpr HuggingFaceNames kQwen2MoeNames[] = {{.model = "Qwen2MoeForCausalLM",
                                                .architecture = "qwen2moe",
                                                .keys = kMoeKeys,
                                                .tensors = kMoeTensors,
                                                .complete = complete_moe}};

constexpr HuggingFaceNames kQwen3MoeNames[] = {{.model = "Qwen3MoeForCausalLM",
                                                .architecture = "qwen3moe",
                                                .keys = kMoeKeys,
                                                .tensors = kMoeTensors,
                                                .complete = complete_moe}};

LayerSpec qwen2_layer(const Hyperparameters& p, const ModelConfig& config, uint32_t layer) {
    return plain_layer(p, config, {.qkv_bias = true, .renormalize = false}, layer);
}

LayerSpec qwen3_layer(const Hyperparameters& p, const ModelConfig& config, uint32_t layer) {
    return plain_layer(p, config, {.qk_norm = true}, layer);
}

}  // namespace

extern const Family kQwen2, kQwen2Moe, kQwen3, kQwen3Moe;
const Family kQwen2 = {"qwen2", plain_model, qwen2_layer, kQwen2Names};
const Family kQwen2Moe = {"qwen2moe", plain_model, qwen2_layer, kQwen2MoeNames};
const Family kQwen3 = {"qwen3", plain_model, qwen3_layer, kQwen3Names};
const Family kQwen3Moe = {"qwen3moe", plain_model, qwen3_layer, kQwen3MoeNames};

}  // namespace core
