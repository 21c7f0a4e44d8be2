// The training loop: AdamW, warm-up and decay over a budget of running time or of steps,
// checkpoints that resume exactly. Hides the optimizer and the layout of a checkpoint (a LibTorch
// archive).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <torch/optim/adamw.h>
#include <torch/types.h>

#include "app/train/corpus.h"
#include "app/train/grok_model.h"

namespace train {

struct TrainOptions {
    double learning_rate = 3e-3;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double weight_decay = 0.05;  // matrices only
    double clip = 1.0;           // norm of the whole gradient
    double balance = 0.01;       // factor of the load-balancing loss
    double light_share = 0.2;    // share of the tokens that are not the assistant's which count
    uint32_t warmup_steps = 100;
    double decay_share = 0.5;  // the last part of the budget, over which the rate falls to zero
    uint32_t batch_tokens = 4096;
    uint32_t slices = 4;   // of a batch, each computed by one thread; part of the arithmetic
    uint32_t threads = 2;  // not part of the arithmetic
    uint64_t seed = 1;

    // The budget: steps when not zero, otherwise seconds of running time.
    uint64_t steps = 0;
    double seconds = 3600;
    double deadline = 0;          // when not zero, a time since the epoch by which the budget ends
    double finish_seconds = 300;  // what begin_decay() leaves of the budget

    // Other text for the last part of the budget, if the trainer is given any.
    double late_share = 0.5;

    // Longer windows for the last part of the budget; 0 keeps one length.
    uint32_t long_context = 0;
    double long_share = 0.2;
};

struct StepReport {
    uint64_t step = 0;
    double loss = 0;  // nats per token, weighted
    double balance = 0;
    double rate = 0;
    double seconds = 0;   // of running time so far
    double progress = 0;  // share of the budget used
    uint64_t tokens = 0;  // so far
};

class Trainer {
  public:
    // `late_tokens` may be empty; otherwise they replace `tokens` over the last late_share of the
    // budget.
    Trainer(const GrokConfig& config, const TrainOptions& options,
            const std::vector<uint16_t>& tokens, const std::vector<uint16_t>& late_tokens = {});

    // One optimizer step. REQUIRES: !finished().
    StepReport step();
    bool finished() const;

    // Lets the learning rate fall from now on and ends the budget after `finish_seconds`.
    void begin_decay();

    // Writes to a temporary file first, so that a crash leaves the previous checkpoint whole.
    void save(const std::string& path) const;
    // Continues where save() stopped: weights, optimizer, step, running time.
    // Throws std::runtime_error when the file is missing or was written for another model shape.
    void resume(const std::string& path);

    GrokModel& model() { return *model_; }

  private:
    struct SliceResult {
        double loss = 0;
        double balance = 0;
        std::vector<torch::Tensor> gradients;  // in the order of parameters_
    };

    // Loss and gradients of rows first .. last of the batch, on the calling thread. `share` is the
    // loss weight of one counted token.
    SliceResult compute_slice(const Batch& batch, int64_t context, int64_t first, int64_t last,
                              double share) const;
    std::vector<SliceResult> compute_slices(const Batch& batch, int64_t context) const;
    bool is_long() const;
    Corpus& corpus();
    double progress() const;
    double rate_factor() const;
    void apply_rate(double rate);

    TrainOptions options_;
    std::shared_ptr<GrokModel> model_;
    std::vector<torch::Tensor> parameters_;
    std::unique_ptr<torch::optim::AdamW> optimizer_;
    Corpus corpus_;
    std::unique_ptr<Corpus> late_corpus_;  // null when there are no late tokens
    std::unique_ptr<Corpus> long_corpus_;  // null without longer windows
    uint64_t step_ = 0;
    uint64_t tokens_ = 0;
    double seconds_ = 0;
    double decay_from_ = -1;  // seconds_ at begin_decay()
    double decay_from_factor_ = 1;
};

// The model alone, for evaluation, sampling and export. Reads the shape from the checkpoint.
std::shared_ptr<GrokModel> load_model(const std::string& path);

struct Evaluation {
    double nats = 0;            // sum over all targets, light ones included
    double assistant_nats = 0;  // sum over the full-weight targets
    uint64_t tokens = 0;
    uint64_t assistant_tokens = 0;
};

// Loss over at most `max_windows` windows in file order.
Evaluation evaluate(const GrokModel& model, const Corpus& corpus, size_t max_windows);

}  // namespace train
