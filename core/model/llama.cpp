// Llama 2 and 3 and Mixtral, which is `llama` with experts. GGUF rotates neighbouring elements and
// stores q and k accordingly.
#include "core/model/architecture.h"

namespace core {
namespace {

constexpr HuggingFaceKey kMixtralKeys[] = {
    {"num_local_experts", "expert_count"},
};

constexpr HuggingFaceTensor kMixtralTensors[] = {
    {"model.layers.{l}.block_sparse_moe.gate.weight", "blk.{l}.ffn_gate_inp.weight"},
    {"model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight", "blk.{l}.ffn_gate_exps.weight"},
    {"model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight", "blk.{l}.ffn_down_exps.weight",
     ShardAxis::in},
    {"model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight", "blk.{l}.ffn_up_exps.weight"},
};

constexpr HuggingFaceNames kNames[] = {
    {.model = "LlamaForCausalLM", .architecture = "llama", .interleaved_heads = true},
    {.model = "MixtralForCausalLM",
     .architecture = "llama",
     .keys = kMixtralKeys,
     .tensors = kMixtralTensors,
     .interleaved_heads = true},
};

LayerSpec layer(const Hyperparameters& p, const ModelConfig& config, uint32_t index) {
    return plain_layer(p, config, {.rope = RopeStyle::adjacent}, index);
}

}  // namespace

extern const Family kLlama;
const Family kLlama = {
    .architecture = "llama", .model = plain_model, .layer = layer, .hugging_face = kNames};

}  // namespace core
