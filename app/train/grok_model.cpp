#include "app/train/grok_model.h"

#include <cmath>
#include <stdexcept>
#include <tuple>

#include "app/train/autograd_ops.h"

namespace train {
namespace {

// Branches start quiet, so that the residual stream carries the embedding in the first steps.
constexpr double kBranchGain = 0.3;

void require(bool condition, const std::string& problem) {
    if (!condition) throw std::runtime_error("model config: " + problem);
}

}  // namespace

double GrokConfig::embedding_scale() const {
    return std::sqrt(static_cast<double>(dim));
}
double GrokConfig::attention_scale() const {
    return 1.0 / std::sqrt(static_cast<double>(head_dim));
}

void GrokConfig::check() const {
    for (const int64_t size : {dim, heads * head_dim, kv_heads * head_dim, expert_width}) {
        require(size > 0 && size % 32 == 0,
                "a matrix side is " + std::to_string(size) + ", must be a multiple of 32");
    }
    require(head_dim % 2 == 0, "head_dim is odd");
    require(layers > 0 && heads % kv_heads == 0, "heads must be a multiple of kv_heads");
    require(active > 0 && active <= experts, "active must be between 1 and experts");
    require(vocab > 3 && vocab <= 0x8000, "vocab must be between 4 and 32768");
    require(context > 0, "context must be positive");
}

GrokModel::GrokModel(const GrokConfig& config) : config_(config) {
    config_.check();
    const int64_t dim = config.dim, experts = config.experts, width = config.expert_width;
    const int64_t q_size = config.heads * config.head_dim,
                  kv_size = config.kv_heads * config.head_dim;
    const double from_dim = 1.0 / std::sqrt(static_cast<double>(dim));
    const double from_width = 1.0 / std::sqrt(static_cast<double>(width));
    const double from_heads = 1.0 / std::sqrt(static_cast<double>(q_size));
    embedding_ = matrix("token_embd", {config.vocab, dim}, from_dim);
    for (int64_t index = 0; index < config.layers; ++index) {
        const std::string prefix = "blk/" + std::to_string(index) + "/";
        layers_.push_back({
            .attn_norm = gain(prefix + "attn_norm", 1.0),
            .attn_output_norm = gain(prefix + "attn_output_norm", kBranchGain),
            .ffn_norm = gain(prefix + "ffn_norm", 1.0),
            .layer_output_norm = gain(prefix + "layer_output_norm", kBranchGain),
            .attn_q = matrix(prefix + "attn_q", {q_size, dim}, from_dim),
            .attn_k = matrix(prefix + "attn_k", {kv_size, dim}, from_dim),
            .attn_v = matrix(prefix + "attn_v", {kv_size, dim}, from_dim),
            .attn_output = matrix(prefix + "attn_output", {dim, q_size}, from_heads),
            .router = matrix(prefix + "ffn_gate_inp", {experts, dim}, 0.5 * from_dim),
            .gate_up = matrix(prefix + "ffn_gate_up_exps", {experts, 2 * width, dim}, from_dim),
            .down = matrix(prefix + "ffn_down_exps", {experts, dim, width}, from_width),
        });
    }
    output_norm_ = gain("output_norm", 1.0);
}

torch::Tensor GrokModel::matrix(const std::string& name, torch::IntArrayRef shape,
                                double deviation) {
    return register_parameter(name, torch::randn(shape) * deviation);
}

torch::Tensor GrokModel::gain(const std::string& name, double value) {
    return register_parameter(name, torch::full({config_.dim}, value));
}

Hidden GrokModel::forward(const torch::Tensor& tokens) const {
    torch::Tensor x = torch::embedding(embedding_, tokens.reshape(-1)) * config_.embedding_scale();
    torch::Tensor balance = torch::zeros({});
    for (const GrokLayer& layer : layers_) {
        const auto attended =
            attention(layer, rms_norm(x, layer.attn_norm, kRmsEpsilon), tokens.size(0));
        x = x + rms_norm(attended, layer.attn_output_norm, kRmsEpsilon);
        const auto mixed = mixture(layer, rms_norm(x, layer.ffn_norm, kRmsEpsilon), balance);
        x = x + rms_norm(mixed, layer.layer_output_norm, kRmsEpsilon);
    }
    return {rms_norm(x, output_norm_, kRmsEpsilon), balance / static_cast<double>(config_.layers)};
}

torch::Tensor GrokModel::attention(const GrokLayer& layer, const torch::Tensor& x,
                                   int64_t batch) const {
    const auto heads = [&](const torch::Tensor& weight) {
        return product(x, weight, config_.bf16)
            .view({batch, -1, weight.size(0) / config_.head_dim, config_.head_dim});
    };
    const auto out =
        capped_attention(rope(heads(layer.attn_q), kRopeBase), rope(heads(layer.attn_k), kRopeBase),
                         heads(layer.attn_v), config_.attention_scale(), kAttentionCap);
    return product(out.view({x.size(0), -1}), layer.attn_output, config_.bf16);
}

torch::Tensor GrokModel::mixture(const GrokLayer& layer, const torch::Tensor& x,
                                 torch::Tensor& balance) const {
    const int64_t rows = x.size(0), active = config_.active;
    const auto probabilities = torch::mm(x, layer.router.t()).softmax(1);  // [rows, experts]
    const auto [chosen_probability, chosen] = probabilities.topk(active, 1);

    // Rows sorted by expert: slot s of the sorted order is row order[s] / active.
    const auto flat = chosen.reshape(-1);
    const auto order = flat.argsort(/*stable=*/true, 0, false);
    const auto counts = torch::bincount(flat, {}, config_.experts);
    const auto last = counts.cumsum(0);
    const std::vector<int64_t> ends(last.data_ptr<int64_t>(),
                                    last.data_ptr<int64_t>() + config_.experts);
    const auto row_of_slot = order.div(active, "floor");

    const auto gathered = x.index_select(0, row_of_slot);  // [rows * active, dim]
    const auto gate_up = grouped_product(gathered, layer.gate_up, ends, config_.bf16);
    const auto down = grouped_product(gated_gelu(gate_up), layer.down, ends, config_.bf16);
    const auto weighted = down * chosen_probability.reshape({-1, 1}).index_select(0, order);

    // The mean router probability times the share of the load, as in Switch Transformer (eq. 4).
    const auto load = counts.to(torch::kFloat32) / static_cast<double>(rows * active);
    balance = balance + (load * probabilities.mean(0)).sum() * static_cast<double>(config_.experts);
    return torch::zeros_like(x).index_add(0, row_of_slot, weighted);
}

torch::Tensor GrokModel::logits(const torch::Tensor& states) const {
    return torch::mm(states, embedding_.t()) * kLogitScale;
}

torch::Tensor GrokModel::loss(const torch::Tensor& states, const torch::Tensor& targets,
                              const torch::Tensor& shares) const {
    return tied_cross_entropy(states, embedding_, targets, shares, kLogitScale, config_.bf16);
}

}  // namespace train
