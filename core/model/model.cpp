#include "core/model/model.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/model/architecture.h"
#include "core/model/forward.h"
#include "core/model/forward_layers.h"
#include "core/model/weights.h"
#include "core/model/workspace.h"

namespace core {

struct Model::Parts {
    Parts(ModelConfig c, Weights w, const Kernels& k, Pool& p)
        : config(std::move(c)), weights(std::move(w)), kernels(k), pool(p), workspace(config) {}

    const ModelConfig config;
    const Weights weights;
    const Kernels& kernels;
    Pool& pool;
    Workspace workspace;
    ExpertUse* expert_use = nullptr;
};

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Model::~Model() = default;

std::unique_ptr<Model> Model::load(const WeightFile& file, const Kernels& kernels, Pool& pool,
                                   const LoadOptions& options) {
    ModelConfig config = config_from_file(file);
    Weights weights = load_weights(file, config, pool, options);
    auto parts = std::make_unique<Parts>(std::move(config), std::move(weights), kernels, pool);
    return std::unique_ptr<Model>(new Model(std::move(parts)));
}

const ModelConfig& Model::config() const {
    return parts_->config;
}

uint64_t Model::weight_bytes() const {
    return core::weight_bytes(parts_->weights);
}

uint64_t Model::decode_bytes() const {
    return core::decode_bytes(parts_->weights, parts_->config);
}

uint64_t Model::read_bytes(const ExpertUse& use) const {
    std::vector<uint32_t> experts;
    for (const std::vector<uint64_t>& counts : use.counts)
        experts.push_back(static_cast<uint32_t>(
            std::ranges::count_if(counts, [](uint64_t tokens) { return tokens != 0; })));
    return core::read_bytes(parts_->weights, experts);
}

std::vector<KvLayerShape> Model::kv_shape() const {
    const std::vector<LayerSpec>& layers = parts_->config.layers;
    std::vector<KvLayerShape> shape;
    for_each_layer(layers.size(), [&](uint32_t layer) {
        shape.push_back({layers[layer].attention.kv_heads, layers[layer].attention.head_dim});
    });
    return shape;
}

void Model::count_experts(ExpertUse* use) {
    parts_->expert_use = use;
    if (use == nullptr) return;
    const std::vector<LayerSpec>& layers = parts_->config.layers;
    use->counts.clear();
    for_each_layer(layers.size(), [&](uint32_t layer) {
        use->counts.emplace_back(layers[layer].ffn.router.experts);
    });
}

std::vector<bool> Model::forward(std::span<const Slice> batch, std::vector<float>& logits) {
    logits.clear();
    if (batch.empty()) return {};
    for (const Slice& slice : batch) {
        MOXIE_CHECK(!slice.tokens.empty());
        for (const TokenId token : slice.tokens)
            MOXIE_CHECK(token >= 0 && static_cast<uint32_t>(token) < parts_->config.vocab);
    }
    // A reservation that fails leaves the others with spare pages, which change nothing.
    for (const Slice& slice : batch)
        slice.sequence->reserve(static_cast<uint32_t>(slice.tokens.size()));

    const ForwardContext context = {parts_->config, parts_->weights,   parts_->kernels,
                                    parts_->pool,   parts_->workspace, parts_->expert_use};
    ForwardPass(context, batch).run(logits);

    // A flag stays set once it is set, so one that is clear now was clear during the whole pass.
    std::vector<bool> committed;
    for (const Slice& slice : batch) {
        const bool cancelled = slice.cancel != nullptr && slice.cancel->load();
        if (!cancelled) slice.sequence->commit(slice.tokens);
        committed.push_back(!cancelled);
    }
    return committed;
}

}  // namespace core
