// A small network of the Grok-1 architecture as a torch::nn module: mixture of experts in every
// layer, four RMS norms per layer, capped attention scores, tied embedding. Reference:
// xai-org/grok-1, model.py.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn/module.h>
#include <torch/types.h>

namespace train {

struct GrokConfig {
    int64_t dim = 192;
    int64_t layers = 5;
    int64_t heads = 6;
    int64_t kv_heads = 2;
    int64_t head_dim = 32;
    int64_t experts = 8;
    int64_t active = 2;  // experts per token
    int64_t expert_width = 320;
    int64_t vocab = 4096;
    int64_t context = 256;  // of the training windows
    bool bf16 = false;      // products in bfloat16

    double embedding_scale() const;  // sqrt(dim)
    double attention_scale() const;  // 1 / sqrt(head_dim), multiplies q.k before the cap

    // Throws std::runtime_error when a size does not fit the others or the 32-blocks of Q8_0.
    void check() const;
};

inline constexpr double kRmsEpsilon = 1e-5;
inline constexpr double kRopeBase = 10000.0;
inline constexpr double kAttentionCap = 30.0;
inline constexpr double kLogitScale = 0.5773502691896257;  // 1 / sqrt(3), as Grok-1

// Matrices are [out, in] as in GGUF.
struct GrokLayer {
    torch::Tensor attn_norm, attn_output_norm, ffn_norm, layer_output_norm;  // [dim]
    torch::Tensor attn_q;          // [heads * head_dim, dim]
    torch::Tensor attn_k, attn_v;  // [kv_heads * head_dim, dim]
    torch::Tensor attn_output;     // [dim, heads * head_dim]
    torch::Tensor router;          // [experts, dim]
    torch::Tensor gate_up;         // [experts, 2 * expert_width, dim]: gate rows, then up rows
    torch::Tensor down;            // [experts, dim, expert_width]
};

struct Hidden {
    torch::Tensor states;   // [batch * time, dim], after the final norm
    torch::Tensor balance;  // load-balancing loss, mean over the layers; 1 when the load is even
};

// Parameters carry the names of the GGUF tensors without `.weight`, dots written as `/`; gate and
// up are one parameter `ffn_gate_up_exps`. Threads may run forward() and loss() at the same time.
class GrokModel : public torch::nn::Module {
  public:
    explicit GrokModel(const GrokConfig& config);

    // tokens [batch, time].
    Hidden forward(const torch::Tensor& tokens) const;

    // states [rows, dim] to [rows, vocab].
    torch::Tensor logits(const torch::Tensor& states) const;

    // Sum of shares [rows] times the cross entropy in nats of targets [rows].
    torch::Tensor loss(const torch::Tensor& states, const torch::Tensor& targets,
                       const torch::Tensor& shares) const;

    const GrokConfig& config() const { return config_; }

  private:
    torch::Tensor matrix(const std::string& name, torch::IntArrayRef shape, double deviation);
    torch::Tensor gain(const std::string& name, double value);
    torch::Tensor attention(const GrokLayer& layer, const torch::Tensor& x, int64_t batch) const;
    torch::Tensor mixture(const GrokLayer& layer, const torch::Tensor& x,
                          torch::Tensor& balance) const;

    GrokConfig config_;
    torch::Tensor embedding_;    // [vocab, dim]
    torch::Tensor output_norm_;  // [dim]
    std::vector<GrokLayer> layers_;
};

}  // namespace train
