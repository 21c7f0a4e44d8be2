#include <unistd.h>

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "app/train/trainer.h"

namespace train {
namespace {

GrokConfig tiny_config() {
    return {.dim = 32,
            .layers = 2,
            .heads = 2,
            .kv_heads = 2,
            .head_dim = 16,
            .experts = 4,
            .active = 2,
            .expert_width = 32,
            .vocab = 64,
            .context = 32};
}

TrainOptions tiny_options() {
    return {
        .warmup_steps = 5, .batch_tokens = 256, .slices = 4, .threads = 2, .seed = 3, .steps = 60};
}

// Counting modulo 50, restarted in every record, is learnt in a few steps.
std::vector<uint16_t> counting_tokens() {
    std::vector<uint16_t> tokens;
    for (uint16_t record = 0; record < 200; ++record) {
        for (uint16_t i = 0; i < 40; ++i)
            tokens.push_back(static_cast<uint16_t>(4 + (record * 7 + i) % 50));
        tokens.push_back(kEndOfRecord);
    }
    return tokens;
}

class TemporaryFile {
  public:
    TemporaryFile()
        : path_(std::filesystem::temp_directory_path() / ("moxie-train-test." + suffix())) {}
    ~TemporaryFile() { std::filesystem::remove(path_); }
    std::string path() const { return path_.string(); }

  private:
    static std::string suffix() { return std::to_string(::getpid()); }
    std::filesystem::path path_;
};

TEST(Trainer, loss_falls_on_a_toy_language) {
    Trainer trainer(tiny_config(), tiny_options(), counting_tokens());
    const double first = trainer.step().loss;
    double last = first;
    while (!trainer.finished())
        last = trainer.step().loss;
    EXPECT_GT(first, 3.5);
    EXPECT_LT(last, 1.5);
}

TEST(Trainer, a_resumed_run_repeats_the_losses_exactly) {
    const TemporaryFile file;
    Trainer whole(tiny_config(), tiny_options(), counting_tokens());
    for (int i = 0; i < 5; ++i)
        whole.step();
    whole.save(file.path());
    std::vector<double> expected;
    for (int i = 0; i < 5; ++i)
        expected.push_back(whole.step().loss);

    TrainOptions options = tiny_options();
    Trainer resumed(tiny_config(), options, counting_tokens());
    resumed.resume(file.path());
    for (const double loss : expected)
        EXPECT_EQ(resumed.step().loss, loss);
}

TEST(Trainer, the_number_of_threads_does_not_change_the_result) {
    TrainOptions options = tiny_options();
    Trainer two(tiny_config(), options, counting_tokens());
    options.threads = 1;
    Trainer one(tiny_config(), options, counting_tokens());
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(two.step().loss, one.step().loss);
}

TEST(Trainer, the_rate_falls_to_zero_after_begin_decay) {
    TrainOptions options = tiny_options();
    options.steps = 0;
    options.seconds = 3600;
    options.finish_seconds = 0.2;
    Trainer trainer(tiny_config(), options, counting_tokens());
    for (int i = 0; i < 10; ++i)
        trainer.step();
    trainer.begin_decay();
    double rate = 1;
    while (!trainer.finished()) {
        const double next = trainer.step().rate;
        EXPECT_LE(next, rate);
        rate = next;
    }
    EXPECT_LT(rate, options.learning_rate);
}

TEST(Trainer, a_checkpoint_of_another_shape_is_refused) {
    const TemporaryFile file;
    Trainer(tiny_config(), tiny_options(), counting_tokens()).save(file.path());
    GrokConfig config = tiny_config();
    config.layers = 1;
    Trainer other(config, tiny_options(), counting_tokens());
    EXPECT_THROW(other.resume(file.path()), std::runtime_error);
    EXPECT_THROW(other.resume(file.path() + ".missing"), std::runtime_error);
}

TEST(Trainer, evaluation_of_an_untrained_model_is_near_the_uniform_loss) {
    const GrokModel model(tiny_config());
    const Evaluation result = evaluate(model, Corpus(counting_tokens(), 32, 1), 20);
    EXPECT_EQ(result.tokens, 20U * 32U);
    EXPECT_EQ(result.assistant_tokens, result.tokens);
    EXPECT_NEAR(result.nats / static_cast<double>(result.tokens), std::log(64.0), 0.5);
}

}  // namespace
}  // namespace train
