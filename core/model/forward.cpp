#include "core/model/forward.h"

#include <algorithm>
#include <cstring>

namespace core {
namespace {

bool is_set(const CancelFlag* flag) {
    // Relaxed: nothing is published with the flag; a late view of it only costs a task.
    return flag != nullptr && flag->load(std::memory_order_relaxed);
}

uint32_t logit_count(LogitRows rows, uint32_t tokens) {
    return rows == LogitRows::all ? tokens : rows == LogitRows::last ? 1 : 0;
}

}  // namespace

ForwardPass::ForwardPass(const ForwardContext& context, std::span<const Slice> batch)
    : config_(context.config),
      weights_(context.weights),
      kernels_(context.kernels),
      vector_(*context.kernels.vector),
      pool_(context.pool),
      ws_(context.workspace),
      expert_use_(context.expert_use),
      layout_(batch.front().sequence->layout()) {
    for (const Slice& slice : batch) {
        Part part;
        const auto count = static_cast<uint32_t>(slice.tokens.size());
        part.attention = {.row = rows_,
                          .count = count,
                          .position = slice.sequence->length(),
                          .pages = {},
                          .cancel = slice.cancel};
        for (const PageRef& page : slice.sequence->pages())
            part.attention.pages.push_back(page->data);
        part.logits = slice.logits;
        part.logit_row = logit_rows_;
        parts_.push_back(std::move(part));
        rows_ += count;
        logit_rows_ += logit_count(slice.logits, count);
    }
    ws_.reserve(rows_);
    embed(batch);
}

void ForwardPass::run(std::vector<float>& logits) {
    logits.resize(logit_rows_ * config_.vocab);
    prepare_rotations();
    const auto layers = static_cast<uint32_t>(config_.layers.size());
    for (uint32_t layer = 0; layer < layers; ++layer) {
        if (drop_cancelled()) prepare_rotations();
        if (parts_.empty()) return;
        attention(layer);
        // What follows the last attention is only for the rows whose logits are wanted.
        if (layer + 1 == layers) keep_logit_rows();
        feed_forward(layer);
    }
    write_logits(logits);
}

void ForwardPass::embed(std::span<const Slice> batch) {
    for (size_t p = 0; p < batch.size(); ++p) {
        const AttentionSlice& slice = parts_[p].attention;
        for_rows(pool_, slice.count, config_.dim, [&](uint32_t i) {
            const uint32_t row = slice.row + i;
            float* x = row_of(ws_.x, row, config_.dim);
            unpack_row(weights_.embedding, static_cast<uint32_t>(batch[p].tokens[i]), x);
            if (config_.embedding_scale != 1.0F)
                vector_.scale(x, config_.embedding_scale, config_.dim);
            ws_.positions[row] = slice.position + i;
            ws_.slice_of[row] = static_cast<uint32_t>(p);
        });
    }
}

// Removes slices whose flag is set and closes the gaps in the rows; true when there were any.
bool ForwardPass::drop_cancelled() {
    const auto cancelled = [](const Part& part) { return is_set(part.attention.cancel); };
    if (std::none_of(parts_.begin(), parts_.end(), cancelled)) return false;
    std::erase_if(parts_, cancelled);
    rows_ = 0;
    for (uint32_t p = 0; p < parts_.size(); ++p) {
        AttentionSlice& slice = parts_[p].attention;
        std::memmove(row_of(ws_.x, rows_, config_.dim), row_of(ws_.x, slice.row, config_.dim),
                     size_t{slice.count} * config_.dim * sizeof(float));
        for (uint32_t i = 0; i < slice.count; ++i) {
            ws_.positions[rows_ + i] = slice.position + i;
            ws_.slice_of[rows_ + i] = p;
        }
        slice.row = rows_;
        rows_ += slice.count;
    }
    return true;
}

void ForwardPass::prepare_rotations() {
    for (size_t i = 0; i < ws_.rotations.size(); ++i) {
        const RopeSpec& rope = *ws_.rotation_spec[i];
        ws_.rotations[i].assign(std::span(ws_.positions).first(rows_), rope.inverse_frequencies,
                                rope.magnitude);
    }
}

// The flag that stops a whole region: only when it is everybody's.
const CancelFlag* ForwardPass::common_cancel() const {
    const CancelFlag* first = parts_.front().attention.cancel;
    for (const Part& part : parts_)
        if (part.attention.cancel != first) return nullptr;
    return first;
}

AttentionLayer ForwardPass::attention_layer(uint32_t layer) const {
    const AttentionSpec& spec = config_.layers[layer].attention;
    return {.type = layout_.type(),
            .heads = spec.heads,
            .kv_heads = spec.kv_heads,
            .head_dim = spec.head_dim,
            .scale = spec.scale,
            .softcap = spec.softcap,
            .temperature_length = spec.temperature_length,
            .window = spec.window,
            .k_offset = layout_.k_offset(layer, 0),
            .v_offset = layout_.v_offset(layer, 0),
            .head_bytes = layout_.k_offset(layer, 1) - layout_.k_offset(layer, 0)};
}

// x += postnorm(O attention(norm(x)))
void ForwardPass::attention(uint32_t layer) {
    const LayerWeights& weights = weights_.layers[layer];
    const AttentionLayer shape = attention_layer(layer);
    project_qkv(layer);
    store_kv(layer, shape);
    if (layer + 1 == config_.layers.size() && logit_rows_ == 0) return;

    std::vector<AttentionSlice> slices;
    for (const Part& part : parts_)
        slices.push_back(part.attention);
    core::attention(kernels_, pool_, shape, slices, ws_.q.data(), ws_.attended.data(),
                    ws_.attention_scratch);
    const uint32_t width = weights.o.cols();
    ws_.attended_input.begin(rows_, width);
    const MatmulJob job = {&weights.o, ws_.attended_input.want(weights.o.type()), ws_.branch.data(),
                           config_.dim};
    for_rows(pool_, rows_, width, [&](uint32_t row) {
        ws_.attended_input.fill_row(kernels_, row, row_of(ws_.attended, row, width));
    });
    matmul(kernels_, pool_, {&job, 1}, common_cancel());
    for_rows(pool_, rows_, size_t{3} * config_.dim, [&](uint32_t row) {
        float* branch = row_of(ws_.branch, row, config_.dim);
        if (!weights.o_bias.empty()) vector_.add(branch, weights.o_bias.data(), config_.dim);
        add_branch(row, weights.attention_post_norm, branch);
    });
}

void ForwardPass::project_qkv(uint32_t layer) {
    const LayerWeights& weights = weights_.layers[layer];
    ws_.qkv_input.begin(rows_, config_.dim);
    const auto job = [&](const Matrix& matrix, std::vector<float>& y) {
        return MatmulJob{&matrix, ws_.qkv_input.want(matrix.type()), y.data(), matrix.rows()};
    };
    const MatmulJob jobs[] = {job(weights.q, ws_.q), job(weights.k, ws_.k), job(weights.v, ws_.v)};
    normalize_into(ws_.qkv_input, weights.attention_norm);
    matmul(kernels_, pool_, jobs, common_cancel());
}

// norm(x) of every row as input of products.
void ForwardPass::normalize_into(MatmulInput& input, const std::vector<float>& norm) {
    for_rows(pool_, rows_, size_t{3} * config_.dim, [&](uint32_t row) {
        float* normed = row_of(ws_.normed, row, config_.dim);
        vector_.rms_norm(row_of(ws_.x, row, config_.dim), norm.data(), config_.norm_epsilon,
                         config_.dim, normed);
        input.fill_row(kernels_, row, normed);
    });
}

// Biases, head norms and rotation of q and k; then K and V go to their pages, rounded to the KV
// type, before any query of the pass reads them.
void ForwardPass::store_kv(uint32_t layer, const AttentionLayer& shape) {
    const AttentionSpec& spec = config_.layers[layer].attention;
    const LayerWeights& weights = weights_.layers[layer];
    const RotationTable& table = ws_.rotations[ws_.rotation_of[layer]];
    const bool adjacent = spec.rope.style == RopeStyle::adjacent;
    const size_t q_width = size_t{spec.heads} * spec.head_dim;
    const size_t kv_width = size_t{spec.kv_heads} * spec.head_dim;

    const auto finish = [&](std::span<float> heads, const std::vector<float>& bias,
                            const std::vector<float>& norm, uint32_t row) {
        if (!bias.empty())
            vector_.add(heads.data(), bias.data(), static_cast<uint32_t>(heads.size()));
        for (size_t at = 0; !norm.empty() && at < heads.size(); at += spec.head_dim)
            vector_.rms_norm(heads.data() + at, norm.data(), config_.norm_epsilon, spec.head_dim,
                             heads.data() + at);
        rotate_heads(vector_, table, row, adjacent, heads, spec.head_dim);
    };
    for_rows(pool_, rows_, 2 * (q_width + 2 * kv_width), [&](uint32_t row) {
        const AttentionSlice& slice = parts_[ws_.slice_of[row]].attention;
        float* k = row_of(ws_.k, row, kv_width);
        float* v = row_of(ws_.v, row, kv_width);
        finish({row_of(ws_.q, row, q_width), q_width}, weights.q_bias, weights.q_norm, row);
        finish({k, kv_width}, weights.k_bias, weights.k_norm, row);
        if (!weights.v_bias.empty())
            vector_.add(v, weights.v_bias.data(), static_cast<uint32_t>(kv_width));
        store_row(vector_, shape, slice, row - slice.row, k, v);
    });
}

// The residual stream of the rows whose logits are wanted moves to the front.
void ForwardPass::keep_logit_rows() {
    uint32_t kept = 0;
    for (Part& part : parts_) {
        AttentionSlice& slice = part.attention;
        const uint32_t count = logit_count(part.logits, slice.count);
        std::memmove(row_of(ws_.x, kept, config_.dim),
                     row_of(ws_.x, slice.row + slice.count - count, config_.dim),
                     size_t{count} * config_.dim * sizeof(float));
        slice.row = kept;
        slice.count = count;
        kept += count;
    }
    rows_ = kept;
}

// x += postnorm(mix * (dense(norm(x)) + experts(norm(x)) + gate * shared(norm(x))))
void ForwardPass::feed_forward(uint32_t layer) {
    if (rows_ == 0) return;
    const FfnSpec& spec = config_.layers[layer].ffn;
    const LayerWeights& weights = weights_.layers[layer];
    route(layer);
    run_branches(layer);
    const uint32_t active = spec.router.experts != 0 ? spec.router.active : 0;
    for_rows(pool_, rows_, (3 + size_t{active}) * config_.dim, [&](uint32_t row) {
        float* sum = row_of(ws_.branch, row, config_.dim);
        std::memset(sum, 0, config_.dim * sizeof(float));
        for (size_t i = size_t{row} * active; i < (size_t{row} + 1) * active; ++i)
            vector_.add_scaled(sum, ws_.routing.weights[i],
                               row_of(ws_.expert_rows, ws_.routing.places[i], config_.dim),
                               config_.dim);
        if (spec.dense_width != 0)
            vector_.add(sum, row_of(ws_.dense, row, config_.dim), config_.dim);
        if (spec.shared_width != 0)
            vector_.add_scaled(sum, ws_.shared_gates[row], row_of(ws_.shared, row, config_.dim),
                               config_.dim);
        if (spec.mix != 1.0F) vector_.scale(sum, spec.mix, config_.dim);
        add_branch(row, weights.ffn_post_norm, sum);
    });
}

// The branch's input, and who computes it.
void ForwardPass::route(uint32_t layer) {
    const FfnSpec& ffn = config_.layers[layer].ffn;
    const RouterSpec& spec = ffn.router;
    const LayerWeights& weights = weights_.layers[layer];
    const Router router = {.weights = weights.router.data(),
                           .experts = spec.experts,
                           .active = spec.active,
                           .softcap = spec.softcap,
                           .renormalize = spec.renormalize};
    for_rows(pool_, rows_, (2 + size_t{spec.experts}) * config_.dim, [&](uint32_t row) {
        float* normed = row_of(ws_.normed, row, config_.dim);
        vector_.rms_norm(row_of(ws_.x, row, config_.dim), weights.ffn_norm.data(),
                         config_.norm_epsilon, config_.dim, normed);
        if (spec.experts != 0)
            router_probabilities(vector_, router, normed, config_.dim,
                                 row_of(ws_.probabilities, row, spec.experts));
        if (ffn.shared_width != 0)
            ws_.shared_gates[row] =
                ffn.shared_gate
                    ? sigmoid_gate(vector_, weights.shared_gate.data(), normed, config_.dim)
                    : 1.0F;
    });
    if (spec.experts == 0) return;
    ws_.routing.assign(router, std::span(ws_.probabilities).first(size_t{rows_} * spec.experts));
    if (expert_use_ == nullptr) return;
    for (uint32_t e = 0; e < spec.experts; ++e)
        expert_use_->counts[layer][e] += ws_.routing.begin[e + 1] - ws_.routing.begin[e];
}

void ForwardPass::run_branches(uint32_t layer) {
    const FfnSpec& spec = config_.layers[layer].ffn;
    const LayerWeights& weights = weights_.layers[layer];
    ws_.branches.clear();
    const auto add = [&](const BranchWeights& branch, std::span<const uint32_t> rows, float* out) {
        ws_.branches.push_back({&branch.gate, &branch.up, &branch.down, rows, out});
    };
    if (spec.dense_width != 0) add(weights.dense, {}, ws_.dense.data());
    if (spec.shared_width != 0) add(weights.shared, {}, ws_.shared.data());
    for (uint32_t e = 0; e < spec.router.experts; ++e) {
        const uint32_t begin = ws_.routing.begin[e];
        const uint32_t count = ws_.routing.begin[e + 1] - begin;
        if (count == 0) continue;
        add(weights.experts[e], std::span(ws_.routing.rows).subspan(begin, count),
            row_of(ws_.expert_rows, begin, config_.dim));
    }
    const BranchInput input = {.x = std::span(ws_.normed).first(size_t{rows_} * config_.dim),
                               .dim = config_.dim,
                               .function = spec.activation == Activation::silu
                                               ? GateFunction::silu
                                               : GateFunction::gelu_tanh};
    gated_branches(kernels_, pool_, ws_.branches, input, ws_.branch_buffers, common_cancel());
}

// `branch` [dim] is overwritten.
void ForwardPass::add_branch(uint32_t row, const std::vector<float>& post_norm, float* branch) {
    if (!post_norm.empty())
        vector_.rms_norm(branch, post_norm.data(), config_.norm_epsilon, config_.dim, branch);
    vector_.add(row_of(ws_.x, row, config_.dim), branch, config_.dim);
}

void ForwardPass::write_logits(std::vector<float>& logits) {
    if (rows_ == 0) return;
    const uint32_t vocab = config_.vocab;
    const Matrix& output = weights_.output_matrix();
    ws_.output_input.begin(rows_, config_.dim);
    const MatmulJob job = {&output, ws_.output_input.want(output.type()), logits.data(), vocab};
    normalize_into(ws_.output_input, weights_.output_norm);
    matmul(kernels_, pool_, {&job, 1}, common_cancel());
    for_rows(pool_, rows_, size_t{4} * vocab, [&](uint32_t row) {
        float* z = row_of(logits, row, vocab);
        if (config_.logit_scale != 1.0F) vector_.scale(z, config_.logit_scale, vocab);
        if (config_.logit_softcap != 0.0F) vector_.softcap(z, config_.logit_softcap, vocab);
    });
    // Rows of cancelled slices keep their place: the others move back to theirs, last first.
    for (size_t p = parts_.size(); p-- > 0;) {
        const Part& part = parts_[p];
        std::memmove(row_of(logits, static_cast<uint32_t>(part.logit_row), vocab),
                     row_of(logits, part.attention.row, vocab),
                     size_t{part.attention.count} * vocab * sizeof(float));
    }
}

}  // namespace core
