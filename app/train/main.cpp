// moxie-train: trains a small Grok-architecture model on token files (see moxie-prepare), judges it
// and writes it as GGUF. models/README.md has the commands in order.
#include <dlfcn.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <thread>

#include <torch/utils.h>

#include "app/train/arguments.h"
#include "app/train/corpus.h"
#include "app/train/export.h"
#include "app/train/sample.h"
#include "app/train/trainer.h"

namespace train {
namespace {

// Whether products in bfloat16 are faster than in float32 here.
bool cpu_has_bf16() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512bf16") != 0;
#else
    return false;
#endif
}

volatile std::sig_atomic_t stop_requested = 0;
volatile std::sig_atomic_t decay_requested = 0;

// `HH:MM` of today, or of tomorrow when it has passed, as seconds since the epoch.
double parse_deadline(const std::string& text) {
    std::time_t now = std::time(nullptr);
    std::tm parts{};
    localtime_r(&now, &parts);
    parts.tm_sec = 0;
    if (std::sscanf(text.c_str(), "%2d:%2d", &parts.tm_hour, &parts.tm_min) != 2) {
        throw std::runtime_error("--until: is `" + text + "`, must be HH:MM");
    }
    const std::time_t deadline = std::mktime(&parts);
    return static_cast<double>(deadline > now ? deadline : deadline + 24 * 3600);
}

GrokConfig read_config(Arguments& arguments) {
    GrokConfig config;
    config.dim = arguments.count("dim", 192);
    config.layers = arguments.count("layers", 5);
    config.heads = arguments.count("heads", 6);
    config.kv_heads = arguments.count("kv-heads", 2);
    config.head_dim = arguments.count("head-dim", 32);
    config.experts = arguments.count("experts", 8);
    config.active = arguments.count("active", 2);
    config.expert_width = arguments.count("expert-width", 320);
    config.vocab = arguments.count("vocab-size", 4096);
    config.context = arguments.count("context", 256);
    const auto precision = arguments.text("bf16", "auto");
    if (precision != "auto" && precision != "on" && precision != "off") {
        throw std::runtime_error("--bf16: is `" + precision + "`, must be auto, on or off");
    }
    config.bf16 = precision == "on" || (precision == "auto" && cpu_has_bf16());
    return config;
}

TrainOptions read_train_options(Arguments& arguments) {
    TrainOptions options;
    options.learning_rate = arguments.number("rate", options.learning_rate);
    options.weight_decay = arguments.number("weight-decay", options.weight_decay);
    options.balance = arguments.number("balance", options.balance);
    options.light_share = arguments.number("light-share", options.light_share);
    options.warmup_steps = arguments.count("warmup", options.warmup_steps);
    options.decay_share = arguments.number("decay-share", options.decay_share);
    options.batch_tokens = arguments.count("batch-tokens", options.batch_tokens);
    options.slices = std::max(1U, arguments.count("slices", options.slices));
    options.threads = std::max(1U, arguments.count("threads", std::thread::hardware_concurrency()));
    options.seed = arguments.count("seed", 1);
    options.steps = arguments.count("steps", 0);
    options.seconds = 60 * arguments.number("minutes", 60);
    const auto until = arguments.text("until", "");
    if (!until.empty()) options.deadline = parse_deadline(until);
    options.finish_seconds = 60 * arguments.number("finish-minutes", 5);
    options.late_share = arguments.number("late-share", options.late_share);
    options.long_context = arguments.count("long-context", 0);
    options.long_share = arguments.number("long-share", options.long_share);
    return options;
}

// The trainer has a thread per slice of the batch; OpenBLAS must not start more of its own.
// LibTorch offers no way to say so, and the environment variable is read before main().
void stop_blas_threads() {
    using SetThreads = void (*)(int);
    if (auto* set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads")))
        set(1);
}

int run_train(Arguments arguments) {
    const GrokConfig config = read_config(arguments);
    const TrainOptions options = read_train_options(arguments);
    const auto checkpoint = arguments.required("checkpoint");
    const auto resume = arguments.text("resume", "no");
    const double save_seconds = 60 * arguments.number("save-minutes", 4);
    const auto tokens = read_tokens(arguments.required("tokens"));
    const auto late_path = arguments.text("late-tokens", "");
    const auto late_tokens = late_path.empty() ? std::vector<uint16_t>() : read_tokens(late_path);
    arguments.reject_unused();

    stop_blas_threads();
    Trainer trainer(config, options, tokens, late_tokens);
    if (resume == "yes") trainer.resume(checkpoint);
    int64_t parameters = 0;
    for (const auto& parameter : trainer.model().parameters())
        parameters += parameter.numel();
    std::printf("%lld parameters, bf16 %s\n", static_cast<long long>(parameters),
                config.bf16 ? "on" : "off");
    std::signal(SIGTERM, [](int) { stop_requested = 1; });
    std::signal(SIGINT, [](int) { stop_requested = 1; });
    std::signal(SIGUSR1, [](int) { decay_requested = 1; });

    double saved = 0, mean_loss = 0;
    while (!trainer.finished() && stop_requested == 0) {
        if (decay_requested != 0) trainer.begin_decay();
        const StepReport report = trainer.step();
        mean_loss = mean_loss == 0 ? report.loss : 0.95 * mean_loss + 0.05 * report.loss;
        if (report.step % 10 == 0) {
            std::printf(
                "step %5llu loss %.3f mean %.3f balance %.3f rate %.2e tokens %llu %.0f tokens/s "
                "%.1f %%\n",
                static_cast<unsigned long long>(report.step), report.loss, mean_loss,
                report.balance, report.rate, static_cast<unsigned long long>(report.tokens),
                static_cast<double>(report.tokens) / report.seconds, 100 * report.progress);
            std::fflush(stdout);
        }
        if (saved == 0) saved = report.seconds;
        if (report.seconds - saved > save_seconds) {
            trainer.save(checkpoint);
            saved = report.seconds;
        }
    }
    trainer.save(checkpoint);
    return 0;
}

int run_eval(Arguments arguments) {
    const auto model = load_model(arguments.required("checkpoint"));
    const auto context = arguments.count("context", static_cast<uint32_t>(model->config().context));
    const Corpus corpus(read_tokens(arguments.required("tokens")), context, 1);
    const auto windows = arguments.count("windows", 1000000);
    torch::set_num_threads(
        static_cast<int>(arguments.count("threads", std::thread::hardware_concurrency())));
    arguments.reject_unused();
    const Evaluation result = evaluate(*model, corpus, windows);
    std::printf(
        "%llu tokens, %.4f nats per token; assistant or prose: %llu tokens, %.4f nats per token\n",
        static_cast<unsigned long long>(result.tokens),
        result.nats / static_cast<double>(result.tokens),
        static_cast<unsigned long long>(result.assistant_tokens),
        result.assistant_nats / static_cast<double>(result.assistant_tokens));
    return 0;
}

int run_export(Arguments arguments) {
    const auto model = load_model(arguments.required("checkpoint"));
    const auto vocabulary = read_vocabulary(arguments.required("vocab"));
    ExportOptions options;
    options.path = arguments.required("out");
    options.name = arguments.text("name", options.name);
    options.context_length = arguments.count("context-length", options.context_length);
    arguments.reject_unused();
    export_gguf(*model, vocabulary, options);
    return 0;
}

// Every line of standard input is what the user says; an empty line begins a new chat.
int run_sample(Arguments arguments) {
    const auto model = load_model(arguments.required("checkpoint"));
    const TextCodec codec(read_vocabulary(arguments.required("vocab")));
    SampleOptions options;
    options.temperature = arguments.number("temperature", options.temperature);
    options.top_p = arguments.number("top-p", options.top_p);
    options.max_tokens = arguments.count("max-tokens", options.max_tokens);
    options.seed = arguments.count("seed", 1);
    arguments.reject_unused();
    std::vector<std::string> turns;
    for (std::string line; std::getline(std::cin, line);) {
        if (line.empty()) {
            turns.clear();
            std::printf("\n");
            continue;
        }
        turns.push_back(line);
        const Answer answer = sample_answer(*model, codec, chat_prompt(codec, turns), options);
        turns.push_back(answer.text);
        std::printf("> %s\n%s%s\n", line.c_str(), answer.text.c_str(),
                    answer.stopped ? "" : " [cut off]");
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace
}  // namespace train

int main(int argc, char** argv) {
    return train::run_program(argc, argv, "moxie-train",
                              "train|eval|sample|export --option value ...",
                              {{"train", train::run_train},
                               {"eval", train::run_eval},
                               {"sample", train::run_sample},
                               {"export", train::run_export}});
}
