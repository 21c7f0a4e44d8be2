#include "app/subcommands/convert_cmd.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <ostream>
#include <utility>

#include "core/base/error.h"
#include "core/base/pool.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/model/architecture.h"
#include "core/model/convert.h"
#include "core/model/hugging_face.h"
#include "core/model/weights.h"
#include "core/tensor/quantize.h"
#include "core/text/vocabulary.h"

namespace app {
namespace {

using core::DType;
using core::Error;
using core::ErrorKind;

// Set by the signal handler, hence of the whole program.
core::CancelFlag g_interrupted{false};
std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

void interrupt(int signal) {
    g_signal.store(signal);
    g_interrupted.store(true);
}

// While it lives, Ctrl-C and a polite kill set the flag.
class InterruptGuard {
  public:
    InterruptGuard() {
        g_interrupted = false;
        struct sigaction action = {};
        action.sa_handler = interrupt;
        ::sigaction(SIGINT, &action, &interrupt_);
        ::sigaction(SIGTERM, &action, &terminate_);
    }
    ~InterruptGuard() {
        ::sigaction(SIGINT, &interrupt_, nullptr);
        ::sigaction(SIGTERM, &terminate_, nullptr);
    }
    InterruptGuard(const InterruptGuard&) = delete;
    InterruptGuard& operator=(const InterruptGuard&) = delete;

  private:
    struct sigaction interrupt_ = {};
    struct sigaction terminate_ = {};
};

DType type_named(const std::string& name) {
    if (const auto type = core::dtype_from_name(name)) return *type;
    std::string known(core::traits(DType::i8c).name);
    for (const core::DTypeTraits& type : core::all_types())
        if (core::can_quantize(type.type)) known += ", " + std::string(type.name);
    throw Error(ErrorKind::usage, "type " + core::sanitize(name), "is not known",
                "use one of " + known);
}

// What must not be replaced is refused before anything is read.
void check_output(const ConvertCommandOptions& options) {
    namespace fs = std::filesystem;
    const std::string& path = options.output;
    std::error_code ignored;
    const fs::file_status status = fs::status(path, ignored);
    if (!fs::exists(status)) return;
    const auto refuse = [&](const char* problem, const char* advice) {
        throw Error(ErrorKind::usage, path, problem, advice);
    };
    if (fs::is_directory(status)) refuse("is a folder", "name a file in it");
    if (!fs::is_regular_file(status)) refuse("is no regular file", "name another");
    if (fs::equivalent(path, options.input, ignored))
        refuse("is the model that is to be read", "name another file");
    if (!options.force) refuse("exists", "give --force to replace it");
}

// A model without a vocabulary is worth converting too: it can be evaluated.
core::Metadata find_vocabulary_metadata(const core::WeightFile& file, std::ostream& out) {
    if (file.find_meta("tokenizer.ggml.model") != nullptr) return {};
    try {
        if (const auto vocabulary = core::find_vocabulary(file))
            return core::gguf_vocabulary(*vocabulary, file.path());
        out << "without a vocabulary: none lies beside the weights\n";
    } catch (const Error& error) {
        out << "without a vocabulary: " << core::sanitize(error.problem()) << '\n';
    }
    return {};
}

void print_plan(const core::ConvertPlan& plan, std::ostream& out) {
    struct Count {
        uint64_t tensors = 0;
        uint64_t bytes = 0;
    };
    std::map<std::string, Count> counts;
    uint64_t fallbacks = 0;
    for (const core::ConvertedTensor& tensor : plan.tensors) {
        const std::string from(core::traits(tensor.source->type).name);
        const std::string to(core::traits(tensor.type).name);
        std::string what = from;
        what += from == to ? ", as it is" : " to " + to;
        Count& count = counts[what];
        ++count.tensors;
        count.bytes += tensor.bytes;
        fallbacks += tensor.fallback ? 1 : 0;
    }
    for (const auto& [name, count] : counts) {
        char line[128];
        std::snprintf(line, sizeof line, "  %-20s %6llu %s  %s\n", name.c_str(),
                      static_cast<unsigned long long>(count.tensors),
                      count.tensors == 1 ? "tensor " : "tensors",
                      core::human_bytes(count.bytes).c_str());
        out << line;
    }
    if (fallbacks != 0)
        out << "  " << fallbacks << " of them have rows that do not fit the type asked for\n";
    out << core::human_bytes(plan.source_bytes) << " become " << core::human_bytes(plan.bytes)
        << '\n';
}

// One line, drawn over: how far, how fast, how long still, what.
class ProgressLine {
  public:
    explicit ProgressLine(bool shown) : shown_(shown) {}
    ~ProgressLine() {
        if (shown_ && drawn_) std::fputs("\r\x1b[K", stderr);
    }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void draw(const core::ConvertProgress& progress) {
        const auto now = Clock::now();
        const bool last = progress.done == progress.total;
        if (!shown_ || (drawn_ && !last && now - drawn_at_ < std::chrono::milliseconds(100)))
            return;
        drawn_ = true;
        drawn_at_ = now;
        const double seconds = std::chrono::duration<double>(now - start_).count();
        const auto done = static_cast<double>(progress.done);
        const double share = done / static_cast<double>(progress.total);
        const double rate = seconds > 0 ? done / seconds : 0;
        const double left = rate > 0 ? static_cast<double>(progress.total) / rate - seconds : 0;
        constexpr size_t kWidth = 24;
        const auto full = static_cast<size_t>(share * kWidth);
        const std::string bar = std::string(full, '#') + std::string(kWidth - full, '.');
        std::fprintf(stderr, "\r[%s] %3.0f%%  %s/s  %s left  %s\x1b[K", bar.c_str(), share * 100,
                     core::human_bytes(static_cast<uint64_t>(rate)).c_str(),
                     core::human_seconds(left).c_str(), core::sanitize(progress.tensor).c_str());
        std::fflush(stderr);
    }

  private:
    using Clock = std::chrono::steady_clock;
    bool shown_;
    bool drawn_ = false;
    Clock::time_point start_ = Clock::now();
    Clock::time_point drawn_at_;
};

}  // namespace

ParsedRule parse_rule(const std::string& text) {
    const size_t equals = text.rfind('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
        throw Error(ErrorKind::usage, "--rule", "is " + core::sanitize(text),
                    "expected PATTERN=TYPE, as in '*ffn_down*=q6_k'");
    return {text.substr(0, equals), text.substr(equals + 1)};
}

int run_convert(const ConvertCommandOptions& options, std::ostream& out) {
    core::ConvertOptions wanted;
    if (!options.type.empty()) wanted.type = type_named(options.type);
    for (const std::string& text : options.rules) {
        const ParsedRule rule = parse_rule(text);
        wanted.rules.push_back({rule.pattern, type_named(rule.type)});
    }
    if (!options.dry_run) check_output(options);

    const auto file = core::open_model(options.input);
    core::check_tensors(*file, core::config_from_file(*file));  // what cannot run is not converted
    wanted.vocabulary = find_vocabulary_metadata(*file, out);
    const core::ConvertPlan plan = core::plan_conversion(*file, wanted);
    print_plan(plan, out);
    out.flush();
    if (options.dry_run) return 0;

    core::Pool pool(options.threads);
    const InterruptGuard guard;
    try {
        ProgressLine line(options.progress);
        core::convert(
            *file, plan, options.output, pool,
            [&](const core::ConvertProgress& progress) { line.draw(progress); }, &g_interrupted);
    } catch (const Error& error) {
        if (!g_interrupted) throw;
        std::fprintf(stderr, "moxie: %s\n", core::sanitize(error.what()).c_str());
        return 128 + g_signal;  // as a shell tells it
    }
    out << options.output << " is written, "
        << core::human_bytes(std::filesystem::file_size(options.output)) << '\n';
    return 0;
}

}  // namespace app
