// A loaded model and its forward pass over a ragged batch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/base/pool.h"
#include "core/formats/weight_file.h"
#include "core/kernels/kernels.h"
#include "core/kv/sequence.h"
#include "core/model/config.h"
#include "core/ops/matmul.h"

namespace core {

// Which rows of a slice need logits.
enum class LogitRows : uint8_t { none, last, all };

// A part of a ragged batch: tokens to append to one sequence. A pass may hold prefill chunks and
// decode steps of several sequences together; results do not depend on the company.
struct Slice {
    Sequence* sequence = nullptr;
    std::span<const TokenId> tokens;  // at least one, each < config.vocab
    LogitRows logits = LogitRows::last;
    const CancelFlag* cancel = nullptr;  // may be null
};

// Progress of a load, in bytes of weights. Called from the loading thread.
using LoadProgress = std::function<void(uint64_t done, uint64_t total)>;

struct LoadOptions {
    LoadProgress progress;
    const CancelFlag* cancel = nullptr;  // once set, load throws Error(internal, _, "cancelled")
};

// How often the router chose each expert: counts[layer][expert]. In the last layer only rows whose
// logits are wanted reach the experts.
struct ExpertUse {
    std::vector<std::vector<uint64_t>> counts;
};

class Model {
  public:
    // Reads configuration and tensors and packs them. Errors: model_unusable for an unknown
    // architecture, a missing or misshapen tensor, a type without kernel; memory when weights do
    // not fit into available_memory(). `kernels` and `pool` must outlive the model.
    static std::unique_ptr<Model> load(const WeightFile& file, const Kernels& kernels, Pool& pool,
                                       const LoadOptions& options = {});
    ~Model();

    const ModelConfig& config() const;
    // Bytes of weights held, and bytes read to decode one token (active experts only).
    uint64_t weight_bytes() const;
    uint64_t decode_bytes() const;
    // Bytes of weights that one pass reads whose routing `use` counted: each expert that has a
    // token is read once. REQUIRES: sized by count_experts().
    uint64_t read_bytes(const ExpertUse& use) const;
    // What a PageLayout for this model's sequences is made from.
    std::vector<KvLayerShape> kv_shape() const;

    // From the next pass on adds to `use`, sized here; null (the default) counts nothing and costs
    // nothing. `use` must outlive the passes.
    void count_experts(ExpertUse* use);

    // Runs all slices in one pass and commits each sequence, except those whose cancel flag was
    // seen set: they stay as they were. Returns per slice whether it was committed. Logits of the
    // rows asked for follow each other in slice order in `logits` [rows, vocab] (resized),
    // cancelled slices keeping their place with unspecified content. Reserves pages first and
    // throws Error(memory) before anything has changed. REQUIRES: a sequence occurs in one slice
    // only.
    std::vector<bool> forward(std::span<const Slice> batch, std::vector<float>& logits);

  private:
    struct Parts;
    explicit Model(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace core
