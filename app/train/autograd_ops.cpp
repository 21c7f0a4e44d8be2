#include "app/train/autograd_ops.h"

#include <algorithm>
#include <cmath>

#include "app/train/vector_kernels.h"

namespace train {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Rows per logits block: 256 rows of 4,096 logits are 4 MB.
constexpr int64_t kLossRows = 256;

// Positions per attention block: the keys after its end are skipped, and its scores stay in the L2
// cache.
constexpr int64_t kAttentionPositions = 64;

const float* data(const Tensor& tensor) {
    return tensor.data_ptr<float>();
}
float* data(Tensor& tensor) {
    return tensor.data_ptr<float>();
}

class RmsNorm : public Function<RmsNorm> {
  public:
    static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& gain,
                          double epsilon) {
        Tensor out = torch::empty_like(x), inverse = torch::empty({x.size(0)});
        kernels::rms_norm(data(x), data(gain), x.size(0), x.size(1), static_cast<float>(epsilon),
                          data(out), data(inverse));
        context->save_for_backward({x, gain, inverse});
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list grads) {
        const auto saved = context->get_saved_variables();
        const Tensor grad = grads[0].contiguous();
        Tensor dx = torch::empty_like(grad), dgain = torch::zeros({grad.size(1)});
        kernels::rms_norm_gradient(data(saved[0]), data(saved[1]), data(saved[2]), data(grad),
                                   grad.size(0), grad.size(1), data(dx), data(dgain));
        return {dx, dgain, Tensor()};
    }
};

// Rotates by `sign` times the angle; the backward pass is the rotation back.
Tensor rotate(const Tensor& x, double base, double sign) {
    const int64_t time = x.size(1), half = x.size(3) / 2;
    std::vector<float> cosines(static_cast<size_t>(time * half)), sines(cosines.size());
    for (int64_t i = 0; i < half; ++i) {
        const double frequency =
            std::pow(base, -static_cast<double>(i) / static_cast<double>(half));
        for (int64_t position = 0; position < time; ++position) {
            const double angle = static_cast<double>(position) * frequency;
            const auto at = static_cast<size_t>(position * half + i);
            cosines[at] = static_cast<float>(std::cos(angle));
            sines[at] = static_cast<float>(sign * std::sin(angle));
        }
    }
    Tensor out = torch::empty_like(x);
    kernels::rotate(data(x), cosines.data(), sines.data(), x.size(0) * time, time, x.size(2), half,
                    data(out));
    return out;
}

class Rope : public Function<Rope> {
  public:
    static Tensor forward(AutogradContext* context, const Tensor& x, double base) {
        context->saved_data["base"] = base;
        return rotate(x, base, 1.0);
    }
    static variable_list backward(AutogradContext* context, variable_list grads) {
        return {rotate(grads[0].contiguous(), context->saved_data["base"].toDouble(), -1.0),
                Tensor()};
    }
};

// Works on one (sequence, KV head) and one block of positions at a time. Rows of q are ordered by
// position, then by head of the group: q [slices, time * group, head_dim]; k, v [slices, time,
// head_dim].
class CappedAttention : public Function<CappedAttention> {
  public:
    static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k,
                          const Tensor& v, double scale, double cap) {
        Tensor out = torch::empty_like(q), scores_buffer = scratch(q, k),
               weights_buffer = scratch(q, k);
        for_blocks(q, k, [&](int64_t slice, const kernels::ScoreBlock& block, int64_t first_row) {
            Tensor scores = part(scores_buffer, block), weights = part(weights_buffer, block);
            Tensor result = out[slice].narrow(0, first_row, block.rows);
            at::mm_out(scores, q[slice].narrow(0, first_row, block.rows),
                       k[slice].narrow(0, 0, block.columns).t());
            kernels::capped_softmax(block, static_cast<float>(scale), static_cast<float>(cap),
                                    data(scores), data(weights));
            at::mm_out(result, weights, v[slice].narrow(0, 0, block.columns));
        });
        context->save_for_backward({q, k, v, out});
        context->saved_data["scale"] = scale;
        context->saved_data["cap"] = cap;
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list grads) {
        const auto saved = context->get_saved_variables();
        const Tensor &q = saved[0], &k = saved[1], &v = saved[2];
        const auto scale = static_cast<float>(context->saved_data["scale"].toDouble());
        const auto cap = static_cast<float>(context->saved_data["cap"].toDouble());
        const Tensor grad = grads[0].contiguous();
        const Tensor inner = (grad * saved[3]).sum(2);  // [slices, time * group]
        Tensor dq = torch::empty_like(q), dk = torch::zeros_like(k), dv = torch::zeros_like(v);
        Tensor scores_buffer = scratch(q, k), weights_buffer = scratch(q, k),
               grads_buffer = scratch(q, k);
        for_blocks(q, k, [&](int64_t slice, const kernels::ScoreBlock& block, int64_t first_row) {
            Tensor scores = part(scores_buffer, block), weights = part(weights_buffer, block);
            Tensor dweights = part(grads_buffer, block);
            const Tensor rows = q[slice].narrow(0, first_row, block.rows);
            const Tensor dout = grad[slice].narrow(0, first_row, block.rows);
            const Tensor keys = k[slice].narrow(0, 0, block.columns);
            at::mm_out(scores, rows, keys.t());
            kernels::capped_softmax(block, scale, cap, data(scores), data(weights));
            dv[slice].narrow(0, 0, block.columns).addmm_(weights.t(), dout);
            at::mm_out(dweights, dout, v[slice].narrow(0, 0, block.columns).t());
            kernels::capped_softmax_gradient(block, scale, data(scores), data(weights),
                                             data(inner) + slice * q.size(1) + first_row,
                                             data(dweights));
            Tensor result = dq[slice].narrow(0, first_row, block.rows);
            at::mm_out(result, dweights, keys);
            dk[slice].narrow(0, 0, block.columns).addmm_(dweights.t(), rows);
        });
        return {dq, dk, dv, Tensor(), Tensor()};
    }

  private:
    static Tensor scratch(const Tensor& q, const Tensor& k) {
        return torch::empty({q.size(1) / k.size(1) * kAttentionPositions * k.size(1)});
    }

    static Tensor part(const Tensor& buffer, const kernels::ScoreBlock& block) {
        return buffer.narrow(0, 0, block.rows * block.columns).view({block.rows, block.columns});
    }

    template <typename Body>
    static void for_blocks(const Tensor& q, const Tensor& k, const Body& body) {
        const int64_t time = k.size(1), group = q.size(1) / time;
        for (int64_t slice = 0; slice < q.size(0); ++slice) {
            for (int64_t first = 0; first < time; first += kAttentionPositions) {
                const int64_t end = std::min(first + kAttentionPositions, time);
                body(slice,
                     kernels::ScoreBlock{.rows = (end - first) * group,
                                         .columns = end,
                                         .first_position = first,
                                         .group = group},
                     first * group);
            }
        }
    }
};

class GroupedProduct : public Function<GroupedProduct> {
  public:
    static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight,
                          const std::vector<int64_t>& ends) {
        Tensor out = torch::empty({x.size(0), weight.size(1)}, x.options());
        int64_t begin = 0;
        for (size_t expert = 0; expert < ends.size(); begin = ends[expert++]) {
            Tensor rows = out.slice(0, begin, ends[expert]);
            if (rows.size(0) == 0) continue;
            at::mm_out(rows, x.slice(0, begin, ends[expert]),
                       weight[static_cast<int64_t>(expert)].t());
        }
        context->save_for_backward({x, weight});
        context->saved_data["ends"] = ends;
        return out;
    }

    static variable_list backward(AutogradContext* context, variable_list grads) {
        const auto saved = context->get_saved_variables();
        const auto ends = context->saved_data["ends"].toIntVector();
        const Tensor grad = grads[0].contiguous();
        Tensor dx = torch::empty_like(saved[0]), dweight = torch::empty_like(saved[1]);
        int64_t begin = 0;
        for (size_t expert = 0; expert < ends.size(); begin = ends[expert++]) {
            Tensor matrix = dweight[static_cast<int64_t>(expert)];
            Tensor rows = dx.slice(0, begin, ends[expert]);
            if (rows.size(0) == 0) {
                matrix.zero_();
                continue;
            }
            const Tensor dy = grad.slice(0, begin, ends[expert]);
            at::mm_out(rows, dy, saved[1][static_cast<int64_t>(expert)]);
            at::mm_out(matrix, dy.t(), saved[0].slice(0, begin, ends[expert]));
        }
        return {dx, dweight, Tensor()};
    }
};

class GatedGelu : public Function<GatedGelu> {
  public:
    static Tensor forward(AutogradContext* context, const Tensor& gate_up) {
        Tensor out = torch::empty({gate_up.size(0), gate_up.size(1) / 2});
        kernels::gated_gelu(data(gate_up), out.size(0), out.size(1), data(out));
        context->save_for_backward({gate_up});
        return out;
    }
    static variable_list backward(AutogradContext* context, variable_list grads) {
        const Tensor gate_up = context->get_saved_variables()[0];
        const Tensor grad = grads[0].contiguous();
        Tensor dgate_up = torch::empty_like(gate_up);
        kernels::gated_gelu_gradient(data(gate_up), data(grad), grad.size(0), grad.size(1),
                                     data(dgate_up));
        return {dgate_up};
    }
};

// The gradient is formed together with the loss, block by block; the backward pass only scales it.
class TiedCrossEntropy : public Function<TiedCrossEntropy> {
  public:
    static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& embedding,
                          const Tensor& targets, const Tensor& shares, double scale, bool bf16,
                          bool training) {
        const auto type = bf16 ? torch::kBFloat16 : torch::kFloat32;
        const Tensor matrix = embedding.to(type), counted = shares.nonzero().view(-1);
        double loss = 0;
        Tensor dhidden = training ? torch::zeros_like(hidden) : Tensor();
        Tensor dembedding = training ? torch::zeros_like(embedding) : Tensor();
        for (int64_t begin = 0; begin < counted.size(0); begin += kLossRows) {
            const Tensor block = counted.slice(0, begin, begin + kLossRows);
            const Tensor rows = hidden.index_select(0, block).to(type);
            const Tensor target = targets.index_select(0, block),
                         share = shares.index_select(0, block);
            Tensor logits = torch::mm(rows, matrix.t()).to(torch::kFloat32);
            loss += kernels::cross_entropy(data(logits), target.data_ptr<int64_t>(), data(share),
                                           rows.size(0), matrix.size(0), static_cast<float>(scale));
            if (!training) continue;
            const Tensor dlogits = logits.to(type);
            dhidden.index_copy_(0, block, torch::mm(dlogits, matrix).to(torch::kFloat32));
            if (bf16) {
                dembedding += torch::mm(dlogits.t(), rows).to(torch::kFloat32);
            } else {
                dembedding.addmm_(dlogits.t(), rows);
            }
        }
        context->save_for_backward({dhidden, dembedding});
        return torch::scalar_tensor(loss);
    }

    static variable_list backward(AutogradContext* context, variable_list grads) {
        const auto saved = context->get_saved_variables();
        return {saved[0] * grads[0],
                saved[1] * grads[0],
                Tensor(),
                Tensor(),
                Tensor(),
                Tensor(),
                Tensor()};
    }
};

}  // namespace

Tensor rms_norm(const Tensor& x, const Tensor& gain, double epsilon) {
    return RmsNorm::apply(x, gain, epsilon);
}

Tensor rope(const Tensor& x, double base) {
    return Rope::apply(x, base);
}

Tensor capped_attention(const Tensor& q, const Tensor& k, const Tensor& v, double scale,
                        double cap) {
    const int64_t batch = q.size(0), time = q.size(1), dim = q.size(3);
    const int64_t kv_heads = k.size(2), group = q.size(2) / kv_heads;
    // Query head n uses KV head n / group.
    const auto by_kv_head = [&](const Tensor& x, int64_t heads) {
        return x.view({batch, time, kv_heads, heads, dim})
            .permute({0, 2, 1, 3, 4})
            .contiguous()
            .view({batch * kv_heads, time * heads, dim});
    };
    const Tensor out = CappedAttention::apply(by_kv_head(q, group), by_kv_head(k, 1),
                                              by_kv_head(v, 1), scale, cap);
    return out.view({batch, kv_heads, time, group, dim})
        .permute({0, 2, 1, 3, 4})
        .contiguous()
        .view({batch, time, kv_heads * group, dim});
}

Tensor product(const Tensor& x, const Tensor& weight, bool bf16) {
    if (!bf16) return torch::mm(x, weight.t());
    return torch::mm(x.to(torch::kBFloat16), weight.to(torch::kBFloat16).t()).to(torch::kFloat32);
}

Tensor grouped_product(const Tensor& x, const Tensor& weight, const std::vector<int64_t>& ends,
                       bool bf16) {
    if (!bf16) return GroupedProduct::apply(x, weight, ends);
    return GroupedProduct::apply(x.to(torch::kBFloat16), weight.to(torch::kBFloat16), ends)
        .to(torch::kFloat32);
}

Tensor gated_gelu(const Tensor& gate_up) {
    return GatedGelu::apply(gate_up);
}

Tensor tied_cross_entropy(const Tensor& hidden, const Tensor& embedding, const Tensor& targets,
                          const Tensor& shares, double scale, bool bf16) {
    return TiedCrossEntropy::apply(hidden, embedding, targets, shares, scale, bf16,
                                   torch::GradMode::is_enabled());
}

}  // namespace train
