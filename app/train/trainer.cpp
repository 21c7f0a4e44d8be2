#include "app/train/trainer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <numeric>
#include <stdexcept>

#include <torch/nn/utils/clip_grad.h>
#include <torch/serialize.h>
#include <torch/utils.h>

namespace train {
namespace {

// A longer step means that the process was stopped or starved; the rest of it is not charged to the
// budget.
constexpr double kLongestStepSeconds = 10.0;

double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

torch::Tensor to_tensor(const std::vector<int64_t>& values) {
    return torch::tensor(values, torch::kInt64);
}

// The shape of the model in a fixed order, stored in every checkpoint.
std::vector<int64_t> shape_of(const GrokConfig& c) {
    return {c.dim,     c.layers, c.heads,        c.kv_heads, c.head_dim,
            c.experts, c.active, c.expert_width, c.vocab,    c.context};
}

GrokConfig config_from(const torch::Tensor& shape) {
    const auto at = [&](int64_t i) { return shape[i].item<int64_t>(); };
    return {.dim = at(0),
            .layers = at(1),
            .heads = at(2),
            .kv_heads = at(3),
            .head_dim = at(4),
            .experts = at(5),
            .active = at(6),
            .expert_width = at(7),
            .vocab = at(8),
            .context = at(9)};
}

torch::serialize::InputArchive open_checkpoint(const std::string& path) {
    if (!std::filesystem::exists(path)) throw std::runtime_error(path + ": no such checkpoint");
    torch::serialize::InputArchive archive;
    try {
        archive.load_from(path);
    } catch (const c10::Error& error) {
        throw std::runtime_error(
            path + ": is not a checkpoint of moxie-train: " + error.what_without_backtrace());
    }
    return archive;
}

torch::Tensor read(torch::serialize::InputArchive& archive, const std::string& key) {
    torch::Tensor value;
    archive.read(key, value);
    return value;
}

void read_model(torch::serialize::InputArchive& archive, GrokModel& model) {
    torch::serialize::InputArchive weights;
    archive.read("model", weights);
    model.load(weights);
}

}  // namespace

Trainer::Trainer(const GrokConfig& config, const TrainOptions& options,
                 const std::vector<uint16_t>& tokens, const std::vector<uint16_t>& late_tokens)
    : options_(options), corpus_(tokens, static_cast<uint32_t>(config.context), options.seed) {
    torch::manual_seed(options.seed);
    model_ = std::make_shared<GrokModel>(config);
    if (!late_tokens.empty()) {
        late_corpus_ = std::make_unique<Corpus>(late_tokens, static_cast<uint32_t>(config.context),
                                                options.seed + 1);
    }
    if (options.long_context > 0) {
        long_corpus_ = std::make_unique<Corpus>(late_tokens.empty() ? tokens : late_tokens,
                                                options.long_context, options.seed + 2);
    }
    // Gains are vectors and are not decayed.
    parameters_ = model_->parameters();
    std::vector<torch::Tensor> matrices, gains;
    for (const auto& parameter : parameters_) {
        (parameter.dim() > 1 ? matrices : gains).push_back(parameter);
    }
    const auto settings = [&](double decay) {
        return std::make_unique<torch::optim::AdamWOptions>(
            torch::optim::AdamWOptions(options.learning_rate)
                .betas({options.beta1, options.beta2})
                .weight_decay(decay));
    };
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(matrices, settings(options.weight_decay));
    groups.emplace_back(gains, settings(0.0));
    optimizer_ = std::make_unique<torch::optim::AdamW>(groups, torch::optim::AdamWOptions());
}

bool Trainer::is_long() const {
    return long_corpus_ != nullptr && progress() >= 1.0 - options_.long_share;
}

Corpus& Trainer::corpus() {
    if (is_long()) return *long_corpus_;
    const bool is_late = late_corpus_ != nullptr && progress() >= 1.0 - options_.late_share;
    return is_late ? *late_corpus_ : corpus_;
}

double Trainer::progress() const {
    if (decay_from_ >= 0) return (seconds_ - decay_from_) / options_.finish_seconds;
    if (options_.steps > 0) return static_cast<double>(step_) / static_cast<double>(options_.steps);
    double budget = options_.seconds;
    if (options_.deadline > 0) budget = std::min(budget, seconds_ + options_.deadline - now());
    return budget <= seconds_ ? 1.0 : seconds_ / budget;
}

bool Trainer::finished() const {
    return progress() >= 1.0;
}

double Trainer::rate_factor() const {
    const double warmup =
        std::min(1.0, static_cast<double>(step_ + 1) / std::max(1U, options_.warmup_steps));
    const double left = std::max(0.0, 1.0 - progress());
    if (decay_from_ >= 0) return decay_from_factor_ * left;
    return warmup * std::min(1.0, left / options_.decay_share);
}

void Trainer::begin_decay() {
    if (decay_from_ >= 0) return;
    decay_from_factor_ = rate_factor();
    decay_from_ = seconds_;
}

void Trainer::apply_rate(double rate) {
    for (auto& group : optimizer_->param_groups())
        group.options().set_lr(rate);
}

Trainer::SliceResult Trainer::compute_slice(const Batch& batch, int64_t context, int64_t first,
                                            int64_t last, double share) const {
    const auto rows = [&](const torch::Tensor& all) {
        return all.slice(0, first * context, last * context);
    };
    const Hidden hidden =
        model_->forward(rows(to_tensor(batch.inputs)).view({last - first, context}));
    const auto loss = model_->loss(hidden.states, rows(to_tensor(batch.targets)),
                                   rows(torch::tensor(batch.weights)) * share);
    const auto total = loss + options_.balance / options_.slices * hidden.balance;
    return {loss.item<double>(), hidden.balance.item<double>(),
            torch::autograd::grad({total}, parameters_)};
}

std::vector<Trainer::SliceResult> Trainer::compute_slices(const Batch& batch,
                                                          int64_t context) const {
    const auto rows = static_cast<int64_t>(batch.inputs.size()) / context;
    const int64_t slices = std::min<int64_t>(options_.slices, rows);
    const double share =
        1.0 / std::max(1.0F, std::accumulate(batch.weights.begin(), batch.weights.end(), 0.0F));
    std::vector<SliceResult> results(static_cast<size_t>(slices));
    std::atomic<int64_t> next{0};
    const auto work = [&] {
        torch::set_num_threads(1);
        for (int64_t slice = next++; slice < slices; slice = next++) {
            results[static_cast<size_t>(slice)] = compute_slice(
                batch, context, rows * slice / slices, rows * (slice + 1) / slices, share);
        }
    };
    std::vector<std::future<void>> workers;
    for (uint32_t i = 0; i < options_.threads; ++i)
        workers.push_back(std::async(std::launch::async, work));
    for (auto& worker : workers)
        worker.get();
    return results;
}

StepReport Trainer::step() {
    const auto start = std::chrono::steady_clock::now();
    const int64_t context = is_long() ? options_.long_context : model_->config().context;
    const int64_t rows = std::max<int64_t>(1, options_.batch_tokens / context);
    const Batch batch = corpus().batch(step_, static_cast<uint32_t>(rows), options_.light_share);

    auto slices = compute_slices(batch, context);
    double loss = 0, balance = 0;
    for (const SliceResult& slice : slices) {
        loss += slice.loss;
        balance += slice.balance / static_cast<double>(slices.size());
    }
    // Summed in the order of the slices, so that the number of threads does not change the result.
    for (size_t i = 0; i < parameters_.size(); ++i) {
        torch::Tensor& sum = parameters_[i].mutable_grad();
        sum = slices[0].gradients[i];
        for (size_t slice = 1; slice < slices.size(); ++slice)
            sum.add_(slices[slice].gradients[i]);
    }
    torch::nn::utils::clip_grad_norm_(parameters_, options_.clip);
    const double rate = options_.learning_rate * rate_factor();
    apply_rate(rate);
    optimizer_->step();

    step_ += 1;
    tokens_ += static_cast<uint64_t>(rows * context);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    seconds_ += std::min(taken.count(), kLongestStepSeconds);
    return {.step = step_,
            .loss = loss,
            .balance = balance,
            .rate = rate,
            .seconds = seconds_,
            .progress = progress(),
            .tokens = tokens_};
}

void Trainer::save(const std::string& path) const {
    torch::serialize::OutputArchive archive, weights, optimizer;
    model_->save(weights);
    optimizer_->save(optimizer);
    archive.write("model", weights);
    archive.write("optimizer", optimizer);
    archive.write("shape", to_tensor(shape_of(model_->config())));
    archive.write("counts",
                  to_tensor({static_cast<int64_t>(step_), static_cast<int64_t>(tokens_)}));
    archive.write("clock",
                  torch::tensor({seconds_, decay_from_, decay_from_factor_}, torch::kFloat64));
    const std::string temporary = path + ".new";
    archive.save_to(temporary);
    std::filesystem::rename(temporary, path);
}

void Trainer::resume(const std::string& path) {
    auto archive = open_checkpoint(path);
    if (!torch::equal(read(archive, "shape"), to_tensor(shape_of(model_->config())))) {
        throw std::runtime_error(path +
                                 ": was written for another model shape, repeat its options");
    }
    read_model(archive, *model_);
    torch::serialize::InputArchive optimizer;
    archive.read("optimizer", optimizer);
    optimizer_->load(optimizer);
    const auto counts = read(archive, "counts"), clock = read(archive, "clock");
    step_ = static_cast<uint64_t>(counts[0].item<int64_t>());
    tokens_ = static_cast<uint64_t>(counts[1].item<int64_t>());
    seconds_ = clock[0].item<double>();
    decay_from_ = clock[1].item<double>();
    decay_from_factor_ = clock[2].item<double>();
}

std::shared_ptr<GrokModel> load_model(const std::string& path) {
    auto archive = open_checkpoint(path);
    auto model = std::make_shared<GrokModel>(config_from(read(archive, "shape")));
    read_model(archive, *model);
    return model;
}

Evaluation evaluate(const GrokModel& model, const Corpus& corpus, size_t max_windows) {
    constexpr uint32_t kRows = 16;
    const torch::NoGradGuard no_gradient;
    Evaluation result;
    const size_t windows = std::min(max_windows, corpus.windows());
    for (size_t first = 0; first < windows; first += kRows) {
        const auto rows = static_cast<uint32_t>(std::min<size_t>(kRows, windows - first));
        const Batch batch = corpus.in_order(first, rows);
        const auto targets = to_tensor(batch.targets);
        const auto full = torch::tensor(batch.weights), all = torch::ones_like(full);
        const Hidden hidden = model.forward(to_tensor(batch.inputs).view({rows, -1}));
        result.nats += model.loss(hidden.states, targets, all).item<double>();
        result.tokens += static_cast<uint64_t>(all.numel());
        const auto assistant = full.sum().item<double>();
        if (assistant == 0) continue;
        result.assistant_nats += model.loss(hidden.states, targets, full).item<double>();
        result.assistant_tokens += static_cast<uint64_t>(assistant);
    }
    return result;
}

}  // namespace train
