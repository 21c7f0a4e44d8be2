// One pass of a ragged batch through the layers: the only layer loop there is.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/model/config.h"
#include "core/model/model.h"
#include "core/model/weights.h"
#include "core/model/workspace.h"

namespace core {

// What a pass works with; all of it outlives the pass.
struct ForwardContext {
    const ModelConfig& config;
    const Weights& weights;
    const Kernels& kernels;
    Pool& pool;
    Workspace& workspace;
    ExpertUse* expert_use = nullptr;  // null: not counted
};

class ForwardPass {
  public:
    // REQUIRES: every sequence has room reserved for its tokens; at least one slice.
    ForwardPass(const ForwardContext& context, std::span<const Slice> batch);

    // Writes K and V behind each sequence's length and the logits asked for; commits nothing.
    void run(std::vector<float>& logits);

  private:
    // What the batch's slices become: rows of the buffers. Cancelled ones are removed between
    // layers, so the index into the batch is kept.
    struct Part {
        AttentionSlice attention;
        LogitRows logits = LogitRows::none;
        size_t logit_row = 0;  // where its rows begin among all logits
    };

    void embed(std::span<const Slice> batch);
    bool drop_cancelled();
    void prepare_rotations();
    const CancelFlag* common_cancel() const;

    void attention(uint32_t layer);
    void project_qkv(uint32_t layer);
    void normalize_into(MatmulInput& input, const std::vector<float>& norm);
    void store_kv(uint32_t layer, const AttentionLayer& shape);
    AttentionLayer attention_layer(uint32_t layer) const;

    void keep_logit_rows();
    void feed_forward(uint32_t layer);
    void route(uint32_t layer);
    void run_branches(uint32_t layer);
    void add_branch(uint32_t row, const std::vector<float>& post_norm, float* branch);

    void write_logits(std::vector<float>& logits);

    float* row_of(std::vector<float>& buffer, uint32_t row, size_t width) const {
        return buffer.data() + row * width;
    }

    const ModelConfig& config_;
    const Weights& weights_;
    const Kernels& kernels_;
    const VectorKernels& vector_;
    Pool& pool_;
    Workspace& ws_;
    ExpertUse* const expert_use_;
    const PageLayout& layout_;
    std::vector<Part> parts_;
    uint32_t rows_ = 0;      // of the batch, in the buffers
    size_t logit_rows_ = 0;  // asked for, those of cancelled slices included
};

}  // namespace core
