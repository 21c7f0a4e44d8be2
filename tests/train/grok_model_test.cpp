// The network against a forward pass written out in double precision with plain loops (specs:
// xai-org/grok-1, model.py).
#include "app/train/grok_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>
#include <torch/utils.h>

namespace train {
namespace {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

GrokConfig tiny_config() {
    return {.dim = 32,
            .layers = 2,
            .heads = 4,
            .kv_heads = 2,
            .head_dim = 16,
            .experts = 4,
            .active = 2,
            .expert_width = 32,
            .vocab = 40,
            .context = 8};
}

// Parameters by name, as doubles; a matrix is read row by row.
class Weights {
  public:
    explicit Weights(const GrokModel& model) {
        for (const auto& item : model.named_parameters()) {
            const auto flat = item.value().detach().contiguous().view(-1);
            values_[item.key()] =
                Vector(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
        }
    }

    const Vector& operator[](const std::string& name) const { return values_.at(name); }

    // Rows first .. first + count of the matrix `name`, whose rows are as long as x, times x.
    Vector times(const std::string& name, const Vector& x, size_t first, size_t count) const {
        const Vector& matrix = values_.at(name);
        Vector result(count);
        for (size_t row = 0; row < count; ++row) {
            const auto begin =
                matrix.begin() + static_cast<std::ptrdiff_t>((first + row) * x.size());
            result[row] = std::inner_product(x.begin(), x.end(), begin, 0.0);
        }
        return result;
    }

  private:
    std::map<std::string, Vector> values_;
};

Vector normed(const Vector& x, const Vector& gain) {
    const double mean =
        std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size());
    Vector result(x.size());
    for (size_t i = 0; i < x.size(); ++i)
        result[i] = x[i] / std::sqrt(mean + 1e-5) * gain[i];
    return result;
}

void add(Vector& sum, const Vector& x, double factor = 1.0) {
    for (size_t i = 0; i < sum.size(); ++i)
        sum[i] += factor * x[i];
}

void rotate(Vector& x, size_t head_dim, size_t position) {
    const size_t half = head_dim / 2;
    for (size_t head = 0; head < x.size(); head += head_dim) {
        for (size_t i = 0; i < half; ++i) {
            const double angle =
                static_cast<double>(position) *
                std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
            const double a = x[head + i], b = x[head + half + i];
            x[head + i] = a * std::cos(angle) - b * std::sin(angle);
            x[head + half + i] = b * std::cos(angle) + a * std::sin(angle);
        }
    }
}

// q of one position [heads * 16] over the keys and values so far [kv_heads * 16] each.
Vector attend(const Vector& q, const Rows& keys, const Rows& values) {
    Vector out(q.size(), 0.0);
    for (size_t head = 0; head < 4; ++head) {
        const size_t kv = head / 2 * 16;
        Vector weights;
        for (const Vector& key : keys) {
            double score = 0;
            for (size_t i = 0; i < 16; ++i)
                score += q[head * 16 + i] * key[kv + i];
            weights.push_back(std::exp(30.0 * std::tanh(score / 4.0 / 30.0)));
        }
        const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
        for (size_t key = 0; key < keys.size(); ++key) {
            for (size_t i = 0; i < 16; ++i)
                out[head * 16 + i] += weights[key] / sum * values[key][kv + i];
        }
    }
    return out;
}

Vector expert_mixture(const Weights& weights, const std::string& layer, const Vector& x) {
    Vector router = weights.times(layer + "ffn_gate_inp", x, 0, 4);
    double sum = 0;
    for (double& r : router)
        sum += r = std::exp(r);
    std::vector<size_t> order(4);
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return router[a] > router[b]; });
    Vector out(32, 0.0);
    for (const size_t expert : {order[0], order[1]}) {
        Vector gate = weights.times(layer + "ffn_gate_up_exps", x, expert * 64, 32);
        const Vector up = weights.times(layer + "ffn_gate_up_exps", x, expert * 64 + 32, 32);
        for (size_t i = 0; i < 32; ++i) {
            const double g = gate[i];
            const double inner = std::sqrt(2.0 / M_PI) * (g + 0.044715 * g * g * g);
            gate[i] = 0.5 * g * (1.0 + std::tanh(inner)) * up[i];
        }
        add(out, weights.times(layer + "ffn_down_exps", gate, expert * 32, 32),
            router[expert] / sum);
    }
    return out;
}

Rows reference_logits(const GrokModel& model, const std::vector<int64_t>& tokens) {
    const Weights weights(model);
    Rows states;
    for (const int64_t token : tokens) {
        const auto begin = weights["token_embd"].begin() + token * 32;
        Vector x(begin, begin + 32);
        for (double& value : x)
            value *= std::sqrt(32.0);
        states.push_back(x);
    }
    for (const std::string layer : {"blk/0/", "blk/1/"}) {
        Rows keys, values;
        for (size_t position = 0; position < states.size(); ++position) {
            Vector& x = states[position];
            const Vector a = normed(x, weights[layer + "attn_norm"]);
            Vector q = weights.times(layer + "attn_q", a, 0, 64);
            keys.push_back(weights.times(layer + "attn_k", a, 0, 32));
            values.push_back(weights.times(layer + "attn_v", a, 0, 32));
            rotate(q, 16, position);
            rotate(keys.back(), 16, position);
            const Vector out = weights.times(layer + "attn_output", attend(q, keys, values), 0, 32);
            add(x, normed(out, weights[layer + "attn_output_norm"]));
            const Vector m = expert_mixture(weights, layer, normed(x, weights[layer + "ffn_norm"]));
            add(x, normed(m, weights[layer + "layer_output_norm"]));
        }
    }
    for (Vector& x : states) {
        x = weights.times("token_embd", normed(x, weights["output_norm"]), 0, 40);
        for (double& logit : x)
            logit *= 0.5773502691896257;
    }
    return states;
}

TEST(GrokModel, logits_agree_with_the_reference) {
    torch::manual_seed(5);
    const GrokModel model(tiny_config());
    const torch::NoGradGuard no_gradient;
    for (auto& parameter : model.parameters()) {
        if (parameter.dim() == 1) parameter.add_(torch::randn_like(parameter) * 0.2);
    }
    const std::vector<int64_t> tokens{1, 7, 3, 39, 22, 9, 9, 30};
    const auto logits = model.logits(model.forward(torch::tensor(tokens).unsqueeze(0)).states);
    const Rows expected = reference_logits(model, tokens);
    for (size_t position = 0; position < tokens.size(); ++position) {
        for (size_t id = 0; id < 40; ++id) {
            EXPECT_NEAR(
                logits[static_cast<int64_t>(position)][static_cast<int64_t>(id)].item<double>(),
                expected[position][id], 1e-4)
                << position << ' ' << id;
        }
    }
}

TEST(GrokModel, rows_of_a_batch_do_not_see_each_other) {
    torch::manual_seed(5);
    const GrokModel model(tiny_config());
    const torch::NoGradGuard no_gradient;
    const auto tokens = torch::randint(0, 40, {3, 8});
    const auto together = model.forward(tokens).states.view({3, 8, -1});
    const auto alone = model.forward(tokens.slice(0, 1, 2)).states.view({1, 8, -1});
    EXPECT_LT((together.slice(0, 1, 2) - alone).abs().max().item<float>(), 1e-5F);
}

TEST(GrokModel, sizes_that_do_not_fit_are_refused) {
    GrokConfig config = tiny_config();
    config.expert_width = 40;
    EXPECT_THROW(GrokModel{config}, std::runtime_error);
    config = tiny_config();
    config.active = 5;
    EXPECT_THROW(GrokModel{config}, std::runtime_error);
}

}  // namespace
}  // namespace train
