#include "core/engine/served_model.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/base/cpu.h"
#include "core/base/error.h"
#include "core/engine/sampling_hints.h"
#include "core/formats/weight_file.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face.h"
#include "core/model/identity.h"
#include "core/model/weights.h"

namespace core {
namespace {

// Activations, logits and the allocator's slack; measured on the models at hand it is far less.
constexpr uint64_t kScratchBytes = uint64_t{64} << 20U;

// Branches and other conversations share the pages; what they hold beyond their common part needs
// room, so that going back to a sibling costs nothing. A full context is the least, this many the
// most that is set aside.
constexpr uint64_t kMostContexts = 4;

// Pages of a conversation from disk should find memory that has been used before; more of it than a
// disk fills in a second need not be ready.
constexpr uint64_t kMostPopulated = uint64_t{1} << 30U;

// What a client gets that asks for no number: room for long conversations, and still a cache that
// is small beside the weights.
constexpr uint32_t kDefaultContext = 8192;

// A context below this is no chat; then the model does not fit.
constexpr uint32_t kLeastContext = 256;

KvType kv_type(chat::KvTypeChoice choice) {
    switch (choice) {
        case chat::KvTypeChoice::f32: return KvType::f32;
        case chat::KvTypeChoice::q8: return KvType::q8;
        case chat::KvTypeChoice::f16: break;
    }
    return KvType::f16;
}

PageLayout page_layout(const ModelConfig& config, KvType type) {
    std::vector<KvLayerShape> shapes;
    shapes.reserve(config.layers.size());
    for (const LayerSpec& layer : config.layers)
        shapes.push_back(
            {.kv_heads = layer.attention.kv_heads, .head_dim = layer.attention.head_dim});
    return {shapes, type};
}

// Pages of a full context, and one more: the tail that a fork copies.
uint64_t context_bytes(const PageLayout& layout, uint32_t context) {
    const uint64_t pages = (uint64_t{context} + kPagePositions - 1) / kPagePositions + 1;
    return pages * layout.page_bytes();
}

uint64_t weight_bytes(const WeightFile& file) {
    uint64_t bytes = 0;
    for (const TensorInfo& tensor : file.tensors())
        bytes += traits(tensor.type).computable ? packed_bytes(tensor) : tensor.bytes();
    return bytes;
}

std::string amount(uint64_t bytes) {
    char text[32];
    const auto value = static_cast<double>(bytes);
    if (bytes < 100'000'000)
        std::snprintf(text, sizeof text, "%.1f MB", value / 1e6);
    else
        std::snprintf(text, sizeof text, "%.1f GB", value / 1e9);
    return text;
}

[[noreturn]] void fail_memory(const PageLayout& layout, uint32_t context, uint64_t weights,
                              uint64_t available) {
    const uint64_t kv = context_bytes(layout, context);
    throw Error(ErrorKind::memory, "",
                "needs " + amount(weights + kv + kScratchBytes) + " (weights " + amount(weights) +
                    " + KV " + amount(kv) + " for " + std::to_string(context) + " tokens in " +
                    std::string(name(layout.type())) + " + scratch " + amount(kScratchBytes) +
                    "), " + amount(available) + " available",
                "use a smaller --ctx, --kv q8 or a smaller model");
}

// How many positions: what the client asks for and the model was made for, within memory. A context
// that was asked for by number is never made smaller silently: then the load fails.
uint32_t choose_context(const chat::LoadModel& request, const ModelConfig& config,
                        const PageLayout& layout, uint64_t weights, uint64_t available) {
    uint32_t context =
        std::min(config.context, request.context != 0 ? request.context : kDefaultContext);
    const auto fits = [&](uint32_t positions) {
        return weights + context_bytes(layout, positions) + kScratchBytes <= available;
    };
    if (request.context != 0) {
        if (!fits(context)) fail_memory(layout, context, weights, available);
        return context;
    }
    while (!fits(context)) {
        if (context / 2 < kLeastContext) fail_memory(layout, context, weights, available);
        context /= 2;
    }
    return context;
}

std::string model_name(const WeightFile& file) {
    if (auto name = file.meta_string("general.name"); name && !name->empty()) return *name;
    return std::filesystem::path(file.path()).stem().string();
}

}  // namespace

ServedModel load_served_model(const chat::LoadModel& request, const LoadEnvironment& environment,
                              chat::ModelReady& ready) {
    const auto file = open_model(request.path);
    const ModelConfig config = config_from_file(*file);
    auto tokenizer = load_tokenizer(*file);
    if (!tokenizer)
        throw Error(ErrorKind::model_unusable, request.path, "has no vocabulary",
                    "it can be evaluated (moxie eval) but not asked");
    const ChatFormat format = request.template_name.empty()
                                  ? ChatFormat::detect(*file, *tokenizer)
                                  : ChatFormat::named(request.template_name);

    const PageLayout layout = page_layout(config, kv_type(request.kv_type));
    const uint64_t weights = weight_bytes(*file);
    const uint64_t beside = available_memory();
    const uint64_t available = beside + environment.reclaimable_bytes;
    const uint32_t context = choose_context(request, config, layout, weights, available);
    if (environment.make_room && weights + context_bytes(layout, context) + kScratchBytes > beside)
        environment.make_room();

    const uint64_t one_context = context_bytes(layout, context);
    const uint64_t spare = available - weights - kScratchBytes;
    const uint64_t budget =
        std::clamp(spare / 2, one_context, std::max(one_context, kMostContexts * one_context));
    auto pages = std::make_unique<PagePool>(layout, budget);
    if (environment.will_restore) pages->populate(std::min(one_context, kMostPopulated));

    // Before the load lets go of the file.
    ready.sampling_hints = sampling_hints(*file);
    const Hash128 identity = model_identity(*file, config);
    auto model = Model::load(*file, *environment.kernels, *environment.pool,
                             {.progress = environment.progress, .cancel = request.cancel.get()});

    ready.name = model_name(*file);
    ready.family = config.family;
    ready.format = std::string(format.name());
    ready.context = context;
    ready.vocab = config.vocab;
    ready.weight_bytes = model->weight_bytes();
    ready.kv_bytes = one_context;
    const uint64_t held = model->weight_bytes();
    const uint64_t read = model->decode_bytes();
    Model* runner = model.get();
    return {
        .model = std::move(model),
        .tokenizer = std::move(tokenizer),
        .format = format,
        .pages = std::move(pages),
        .forward = [runner](std::span<const Slice> batch,
                            std::vector<float>& logits) { return runner->forward(batch, logits); },
        .identity = identity,
        .vocab = config.vocab,
        .context = context,
        .kv_budget = budget,
        .weight_bytes = held,
        .decode_bytes = read};
}

}  // namespace core
