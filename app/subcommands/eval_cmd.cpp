#include "app/subcommands/eval_cmd.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <numbers>
#include <ostream>
#include <span>
#include <system_error>

#include "core/base/error.h"
#include "core/base/pool.h"
#include "core/formats/weight_file.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/kv/sequence.h"
#include "core/model/hugging_face.h"
#include "core/model/model.h"
#include "core/text/tokenizer.h"

namespace app {
namespace {

using core::Error;
using core::ErrorKind;
using core::TokenId;

// A model that is ready to run. Members in order of construction: each refers to earlier ones.
struct Engine {
    explicit Engine(const EvalEngineOptions& options)
        : kernels(core::select_kernels(options.isa)),
          kv_type(core::kv_type_from_name(options.kv)),
          file(core::open_model(options.model)),
          pool(options.threads),
          model(core::Model::load(*file, kernels, pool)) {}

    const core::ModelConfig& config() const { return model->config(); }

    const core::Kernels& kernels;
    core::KvType kv_type;
    std::unique_ptr<core::WeightFile> file;
    core::Pool pool;
    std::unique_ptr<core::Model> model;
};

core::PageLayout page_layout(const core::ModelConfig& config, core::KvType type) {
    std::vector<core::KvLayerShape> shapes;
    for (const core::LayerSpec& layer : config.layers)
        shapes.push_back({layer.attention.kv_heads, layer.attention.head_dim});
    return {shapes, type};
}

// Pages for exactly one sequence of `tokens` tokens.
core::PagePool page_pool(const Engine& engine, size_t tokens) {
    core::PageLayout layout = page_layout(engine.config(), engine.kv_type);
    const uint64_t pages = tokens / core::kPagePositions + 1;
    const uint64_t budget = pages * layout.page_bytes();
    return {std::move(layout), budget};
}

// Runs `tokens` through a fresh sequence in chunks. `receive(begin, logits)` gets the logits of
// `rows` of each chunk, which starts at token `begin`.
template <class Receive>
void evaluate(const Engine& engine, std::span<const TokenId> tokens, uint32_t chunk, bool all,
              Receive&& receive) {
    core::PagePool pages = page_pool(engine, tokens.size());
    core::Sequence sequence(pages);
    std::vector<float> logits;
    const size_t step = chunk == 0 ? tokens.size() : chunk;
    for (size_t begin = 0; begin < tokens.size(); begin += step) {
        const size_t count = std::min(step, tokens.size() - begin);
        const bool last = begin + count == tokens.size();
        core::LogitRows rows = core::LogitRows::none;
        if (all)
            rows = core::LogitRows::all;
        else if (last)
            rows = core::LogitRows::last;
        const core::Slice slice{
            .sequence = &sequence, .tokens = tokens.subspan(begin, count), .logits = rows};
        engine.model->forward(std::span(&slice, 1), logits);
        if (rows != core::LogitRows::none) receive(begin, std::span<const float>(logits));
    }
}

void check_tokens(const std::vector<TokenId>& tokens, const core::ModelConfig& config) {
    if (tokens.empty())
        throw Error(ErrorKind::usage, "--tokens", "the list is empty", "give at least one id");
    for (const TokenId token : tokens)
        if (token < 0 || static_cast<uint32_t>(token) >= config.vocab)
            throw Error(ErrorKind::usage, "--tokens",
                        "id " + std::to_string(token) + " is not in the vocabulary",
                        "ids go from 0 to " + std::to_string(config.vocab - 1));
    if (tokens.size() > config.context)
        throw Error(ErrorKind::context, "--tokens",
                    std::to_string(tokens.size()) + " tokens do not fit the model's context of " +
                        std::to_string(config.context),
                    "give fewer");
}

// NumPy's format 1.0: magic, version, length of the header, a Python literal padded with spaces to
// a multiple of 64 and ended by a newline, then the data in C order.
std::string npy_header(size_t rows, size_t cols) {
    constexpr size_t kPrefix = 10;
    constexpr size_t kAlignment = 64;
    std::string literal = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                          std::to_string(rows) + ", " + std::to_string(cols) + "), }";
    const size_t used = kPrefix + literal.size() + 1;
    literal.append((kAlignment - used % kAlignment) % kAlignment, ' ');
    literal += '\n';
    std::string header("\x93NUMPY\x01\x00", 8);
    header += static_cast<char>(literal.size() & 0xFF);
    header += static_cast<char>(literal.size() >> 8);
    return header + literal;
}

[[noreturn]] void throw_unwritable(const std::string& path) {
    throw Error(ErrorKind::storage, path,
                "cannot be written: " + std::error_code(errno, std::generic_category()).message(),
                "check the folder and the space left");
}

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (!file.is_open() || file.bad())
        throw Error(ErrorKind::usage, path,
                    "cannot be read: " + std::error_code(errno, std::generic_category()).message(),
                    "check the path");
    return text;
}

// -log softmax(logits)[token]
double surprise(std::span<const float> logits, TokenId token) {
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const float logit : logits)
        sum += std::exp(logit - largest);
    return largest + std::log(sum) - logits[static_cast<size_t>(token)];
}

struct Score {
    uint64_t tokens = 0;
    uint64_t bytes = 0;
    double nats = 0.0;
};

// Scores every token of a window but its first, each from the logits of the token before it.
void score_window(const Engine& engine, const core::Tokenizer& tokenizer,
                  std::span<const TokenId> window, uint32_t chunk, Score& score) {
    const size_t vocab = engine.config().vocab;
    evaluate(engine, window.first(window.size() - 1), chunk, true,
             [&](size_t begin, std::span<const float> logits) {
                 for (size_t row = 0; row * vocab < logits.size(); ++row) {
                     const TokenId next = window[begin + row + 1];
                     score.nats += surprise(logits.subspan(row * vocab, vocab), next);
                     score.bytes += tokenizer.bytes(next).size();
                     ++score.tokens;
                 }
             });
}

uint32_t window_length(const EvalPerplexityOptions& options, const core::ModelConfig& config) {
    constexpr uint32_t kDefault = 2048;
    if (options.context == 0) return std::min(config.context, kDefault);
    if (options.context >= 2 && options.context <= config.context) return options.context;
    throw Error(ErrorKind::usage, "--ctx", "is " + std::to_string(options.context),
                "must be between 2 and the model's context of " + std::to_string(config.context));
}

}  // namespace

int run_eval_logits(const EvalLogitsOptions& options, std::ostream& out) {
    const Engine engine(options.engine);
    check_tokens(options.tokens, engine.config());
    const size_t rows = options.all ? options.tokens.size() : 1;
    const size_t vocab = engine.config().vocab;
    std::ofstream file(options.out, std::ios::binary | std::ios::trunc);
    file << npy_header(rows, vocab);
    if (!file) throw_unwritable(options.out);
    evaluate(engine, options.tokens, options.engine.chunk, options.all,
             [&](size_t, std::span<const float> logits) {
                 const auto bytes = std::as_bytes(logits);
                 file.write(reinterpret_cast<const char*>(bytes.data()),
                            static_cast<std::streamsize>(bytes.size()));
             });
    file.close();
    if (!file) throw_unwritable(options.out);
    out << options.out << ": float32 [" << rows << ", " << vocab << "]\n";
    return 0;
}

int run_eval_perplexity(const EvalPerplexityOptions& options, std::ostream& out) {
    const std::string text = read_text(options.text);
    const Engine engine(options.engine);
    const std::unique_ptr<core::Tokenizer> tokenizer = core::load_tokenizer(*engine.file);
    if (!tokenizer)
        throw Error(ErrorKind::model_unusable, options.engine.model, "has no vocabulary",
                    "perplexity needs a model with its tokenizer");
    const std::vector<TokenId> tokens = tokenizer->encode(text, false);
    for (const TokenId token : tokens)
        if (static_cast<uint32_t>(token) >= engine.config().vocab)
            throw Error(ErrorKind::model_unusable, options.engine.model,
                        "its tokenizer has id " + std::to_string(token) + ", its matrices " +
                            std::to_string(engine.config().vocab) + " rows",
                        "the file is damaged or was put together wrongly");
    std::vector<TokenId> window;
    if (tokenizer->add_bos() && tokenizer->bos()) window.push_back(*tokenizer->bos());
    const size_t kept = window.size();
    const size_t length = window_length(options, engine.config());
    // Logits of a whole window would be gigabytes for a large vocabulary.
    constexpr uint32_t kDefaultChunk = 256;
    const uint32_t chunk = options.engine.chunk != 0 ? options.engine.chunk : kDefaultChunk;
    Score score;
    for (size_t begin = 0; begin < tokens.size();) {
        const size_t count = std::min(length - kept, tokens.size() - begin);
        window.resize(kept);
        window.insert(window.end(), tokens.begin() + static_cast<ptrdiff_t>(begin),
                      tokens.begin() + static_cast<ptrdiff_t>(begin + count));
        if (window.size() >= 2) score_window(engine, *tokenizer, window, chunk, score);
        begin += count;
    }
    if (score.tokens == 0)
        throw Error(ErrorKind::usage, options.text, "has too little text to score",
                    "give at least two tokens");
    const double nats = score.nats / static_cast<double>(score.tokens);
    out << "tokens          " << score.tokens << '\n'
        << "nats per token  " << nats << '\n'
        << "perplexity      " << std::exp(nats) << '\n'
        << "bits per byte   " << score.nats / std::numbers::ln2 / static_cast<double>(score.bytes)
        << '\n';
    return 0;
}

}  // namespace app
