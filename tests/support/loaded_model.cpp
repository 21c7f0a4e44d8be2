#include "tests/support/loaded_model.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>

#include "core/formats/weight_file.h"

namespace support {

TemporaryGguf::TemporaryGguf(const TestModel& model) {
    static std::atomic<int> counter{0};
    const std::string file =
        "moxie-test-" + std::to_string(::getpid()) + "-" + std::to_string(++counter) + ".gguf";
    // In memory where possible: the writer syncs, and tests that write a hundred files would wait
    // for a disk most of their time.
    const std::filesystem::path memory = "/dev/shm";
    path_ = (is_directory(memory) ? memory : std::filesystem::temp_directory_path()) / file;
    write_gguf(model, path_);
}

TemporaryGguf::~TemporaryGguf() {
    std::remove(path_.c_str());
}

LoadedModel::LoadedModel(const TestModel& model, const core::Kernels& kernels, unsigned threads)
    : pool_(threads) {
    const TemporaryGguf file(model);
    model_ = core::Model::load(*core::open_weight_file(file.path()), kernels, pool_);
}

LoadedModel::LoadedModel(const core::WeightFile& file, const core::Kernels& kernels,
                         unsigned threads)
    : pool_(threads), model_(core::Model::load(file, kernels, pool_)) {}

core::PagePool LoadedModel::pages(core::KvType type, uint32_t tokens) const {
    std::vector<core::KvLayerShape> shapes;
    for (const core::LayerSpec& layer : model_->config().layers)
        shapes.push_back({layer.attention.kv_heads, layer.attention.head_dim});
    core::PageLayout layout(shapes, type);
    // Sequences share the pool: each may leave one page half empty, and a fork copies its tail.
    constexpr uint64_t kSlack = 8;
    const uint64_t budget = (tokens / core::kPagePositions + kSlack) * layout.page_bytes();
    return {std::move(layout), budget};
}

Rows LoadedModel::forward(std::span<const core::Slice> batch) {
    std::vector<core::Slice> slices(batch.begin(), batch.end());
    for (core::Slice& slice : slices)
        slice.logits = core::LogitRows::all;
    std::vector<float> logits;
    model_->forward(slices, logits);
    Rows rows;
    for (auto row = logits.begin(); row != logits.end(); row += vocab())
        rows.emplace_back(row, row + vocab());
    return rows;
}

Rows LoadedModel::forward(core::Sequence& sequence, std::span<const core::TokenId> tokens) {
    const core::Slice slice{.sequence = &sequence, .tokens = tokens};
    return forward(std::span(&slice, 1));
}

Rows LoadedModel::forward_in_chunks(core::KvType type, std::span<const core::TokenId> tokens,
                                    size_t chunk) {
    core::PagePool pool = pages(type, static_cast<uint32_t>(tokens.size()));
    core::Sequence sequence(pool);
    Rows all;
    for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
        Rows rows =
            forward(sequence, tokens.subspan(begin, std::min(chunk, tokens.size() - begin)));
        for (std::vector<float>& row : rows)
            all.push_back(std::move(row));
    }
    return all;
}

}  // namespace support
