#include "core/model/workspace.h"

#include <algorithm>

#include "core/model/forward_layers.h"

namespace core {
namespace {

bool same_table(const RopeSpec& a, const RopeSpec& b) {
    return a.magnitude == b.magnitude && a.inverse_frequencies == b.inverse_frequencies;
}

}  // namespace

Workspace::Workspace(const ModelConfig& config) {
    widths_.dim = config.dim;
    for_each_layer(config.layers.size(), [&](uint32_t l) {
        const LayerSpec& layer = config.layers[l];
        const AttentionSpec& attention = layer.attention;
        const size_t head_dim = attention.head_dim;
        widths_.q = std::max(widths_.q, attention.heads * head_dim);
        widths_.kv = std::max(widths_.kv, attention.kv_heads * head_dim);
        widths_.experts = std::max<size_t>(widths_.experts, layer.ffn.router.experts);
        if (layer.ffn.dense_width != 0) widths_.dense = config.dim;
        if (layer.ffn.shared_width != 0) widths_.shared = config.dim;
        widths_.expert_rows =
            std::max(widths_.expert_rows, size_t{layer.ffn.router.active} * config.dim);

        const auto known =
            std::find_if(rotation_spec.begin(), rotation_spec.end(),
                         [&](const RopeSpec* spec) { return same_table(*spec, attention.rope); });
        rotation_of.push_back(static_cast<uint32_t>(known - rotation_spec.begin()));
        if (known == rotation_spec.end()) rotation_spec.push_back(&attention.rope);
    });
    rotations.resize(rotation_spec.size());
}

void Workspace::reserve(uint32_t rows) {
    if (rows <= rows_) return;
    rows_ = rows;
    positions.resize(rows);
    slice_of.resize(rows);
    for (std::vector<float>* buffer : {&x, &normed, &branch})
        buffer->resize(rows * widths_.dim);
    q.resize(rows * widths_.q);
    attended.resize(rows * widths_.q);
    k.resize(rows * widths_.kv);
    v.resize(rows * widths_.kv);
    probabilities.resize(rows * widths_.experts);
    dense.resize(rows * widths_.dense);
    shared.resize(rows * widths_.shared);
    shared_gates.resize(widths_.shared != 0 ? rows : 0);
    expert_rows.resize(rows * widths_.expert_rows);
}

}  // namespace core
