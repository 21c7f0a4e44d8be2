// A model family as data: everything that forward() needs to know, and nothing about files.
//
// forward() in full: embed and scale; for each layer: norm, attention, optional post-norm, add;
// norm, FFN (dense, experts and/or shared expert, mixed), optional post-norm, add; final norm;
// output matrix; scale; cap.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace core {

enum class Activation : uint8_t { gelu_tanh, silu };

// Which elements of a head are rotated together: (i, i + half) or (2i, 2i + 1).
enum class RopeStyle : uint8_t { half_split, adjacent };

struct RopeSpec {
    double theta = 10000.0;
    RopeStyle style = RopeStyle::half_split;
    uint32_t dims = 0;                       // rotated dimensions of a head; 0 = all
    float magnitude = 1.0F;                  // cos and sin are multiplied by this (YaRN)
    std::vector<float> inverse_frequencies;  // [dims / 2], already scaled (linear, yarn, llama3)
};

struct AttentionSpec {
    uint32_t heads = 0;
    uint32_t kv_heads = 0;
    uint32_t head_dim = 0;
    float scale = 0.0F;    // multiplies q.k before the cap
    float softcap = 0.0F;  // cap * tanh(s / cap); 0 = off
    // Position p > length multiplies the capped logits by log2(p) / log2(length); 0 = off (Grok-2).
    uint32_t temperature_length = 0;
    uint32_t window = 0;  // sliding window in positions; 0 = all
    bool qkv_bias = false;
    bool output_bias = false;
    bool qk_norm = false;  // RMS norm of each head of q and k before the rotation
    RopeSpec rope;
};

struct RouterSpec {
    uint32_t experts = 0;  // 0 = no experts in this layer
    uint32_t active = 0;
    bool renormalize = false;  // divide the chosen probabilities by their sum
    float softcap = 0.0F;      // on router logits, before the softmax over all experts; 0 = off
};

struct FfnSpec {
    Activation activation = Activation::silu;
    uint32_t dense_width = 0;   // 0 = no dense branch
    uint32_t expert_width = 0;  // 0 = no experts
    RouterSpec router;
    uint32_t shared_width = 0;  // shared expert (Qwen2-MoE); 0 = none
    bool shared_gate = false;   // its output times sigmoid(w . x)
    float mix = 1.0F;  // multiplies (dense + experts): Grok-2's residual MoE has 1 / sqrt(2)
};

struct LayerSpec {
    AttentionSpec attention;
    FfnSpec ffn;
    bool post_norms = false;  // RMS norm of each branch's output before it is added
};

struct ModelConfig {
    std::string family;  // "grok-1", "grok-2", "llama" ...: for people, never branched on
    uint32_t dim = 0;
    uint32_t vocab = 0;
    uint32_t context = 0;  // positions the model was made for
    float norm_epsilon = 1e-5F;
    float embedding_scale = 1.0F;
    float logit_scale = 1.0F;    // multiplies the logits before the cap
    float logit_softcap = 0.0F;  // 0 = off
    bool tied_output = false;    // the output matrix is the embedding
    std::vector<LayerSpec> layers;
};

}  // namespace core
