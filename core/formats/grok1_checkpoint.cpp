#include "core/formats/grok1_checkpoint.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/formats/mapped_weights.h"
#include "core/formats/pickle.h"
#include "core/formats/transpose.h"

namespace core {
namespace {

namespace fs = std::filesystem;

// Dimensions of the model by which shapes are written down; kOne is what a vector lacks.
using Dim = uint8_t;
constexpr Dim kOne = 0;
constexpr Dim kDim = 1;
constexpr Dim kVocab = 2;
constexpr Dim kQuery = 3;
constexpr Dim kKeyValue = 4;
constexpr Dim kWidth = 5;
constexpr Dim kExperts = 6;
constexpr size_t kDims = 7;
using Sizes = std::array<uint64_t, kDims>;

constexpr const char* kDimNames[kDims] = {"",        "dim",   "vocabulary", "query size",
                                          "kv size", "width", "experts"};

// One numbered tensor: its name here and its shape in the file, as [experts,] in, out.
struct Slot {
    const char* name;
    Dim experts;  // kOne: not stacked
    Dim in;       // kOne: a vector
    Dim out;
    bool transposed;  // lies [in, out]
};

constexpr Slot kModelSlots[grok1::kTensorsOfModel] = {
    {"token_embd.weight", kOne, kVocab, kDim, false},
    {"output_norm.weight", kOne, kOne, kDim, false},
};

// moe/linear, linear_1, linear_v; multi_head_attention/key, linear, query, value; rms_norm, _1, _2,
// _3; router.
constexpr Slot kLayerSlots[grok1::kTensorsOfLayer] = {
    {"ffn_gate_exps.weight", kExperts, kDim, kWidth, true},
    {"ffn_down_exps.weight", kExperts, kWidth, kDim, true},
    {"ffn_up_exps.weight", kExperts, kDim, kWidth, true},
    {"attn_k.weight", kOne, kDim, kKeyValue, true},
    {"attn_output.weight", kOne, kQuery, kDim, true},
    {"attn_q.weight", kOne, kDim, kQuery, true},
    {"attn_v.weight", kOne, kDim, kKeyValue, true},
    {"attn_norm.weight", kOne, kOne, kDim, false},
    {"attn_output_norm.weight", kOne, kOne, kDim, false},
    {"ffn_norm.weight", kOne, kOne, kDim, false},
    {"layer_output_norm.weight", kOne, kOne, kDim, false},
    {"ffn_gate_inp.weight", kOne, kDim, kExperts, true},
};

// The kernels walk a row in blocks of 32 columns, each within one group of scales.
constexpr uint64_t kGroupColumns = 32;

std::string file_name(uint32_t index) {
    char text[32];
    std::snprintf(text, sizeof text, "tensor%05u_000", index);
    return text;
}

std::string to_text(const std::vector<uint64_t>& shape) {
    std::string text;
    for (const uint64_t size : shape)
        text += (text.empty() ? "(" : ", ") + std::to_string(size);
    return text + ")";
}

[[noreturn]] void fail(const std::string& object, std::string problem, std::string advice) {
    throw Error(ErrorKind::model_unusable, object, std::move(problem), std::move(advice));
}

class Grok1File : public MappedWeights {
  public:
    Grok1File(std::string folder, const Grok1Constants& constants);

    std::string_view format() const override { return "Grok-1 checkpoint"; }
    void read_rows(const TensorInfo& tensor, uint64_t first, std::span<std::byte> values,
                   std::span<std::byte> scales) const override;
    void release_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const override;
    void prefetch_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const override;

  private:
    // Where a transposed tensor lies. [experts, in, out] and [experts, groups, out].
    struct Lines {
        std::span<const std::byte> values;
        std::span<const std::byte> scales;
    };

    uint32_t count_layers() const;
    void add(uint32_t index, const Slot& slot, const std::string& prefix, Sizes& sizes);
    void check_shape(const std::string& file, const PickledTensor& pickled, const Slot& slot,
                     Sizes& sizes) const;
    void bind(const Slot& slot, std::string name, const PickledTensor& pickled,
              std::span<const std::byte> bytes);
    void describe(const Sizes& sizes, uint32_t layers, const Grok1Constants& constants);
    const Lines& lines(const TensorInfo& tensor) const { return lines_[index_of(tensor)]; }

    std::vector<Lines> lines_;  // of each tensor; empty where it lies as it is
};

Grok1File::Grok1File(std::string folder, const Grok1Constants& constants)
    : MappedWeights(std::move(folder)) {
    const uint32_t layers = count_layers();
    Sizes sizes = {};
    sizes[kOne] = 1;
    for (uint32_t s = 0; s < grok1::kTensorsOfModel; ++s)
        add(s, kModelSlots[s], "", sizes);
    if (sizes[kDim] == grok1::kDim && layers != constants.layers) {
        // With another number of layers the order of the names would be another one.
        fail(path(),
             "holds " + std::to_string(layers) + " layers, Grok-1 has " +
                 std::to_string(constants.layers),
             "the download is incomplete");
    }
    const std::vector<uint32_t> order = grok1_layer_order(layers);
    for (uint32_t rank = 0; rank < layers; ++rank) {
        const std::string prefix = "blk." + std::to_string(order[rank]) + ".";
        for (uint32_t s = 0; s < grok1::kTensorsOfLayer; ++s)
            add(grok1::kTensorsOfModel + rank * grok1::kTensorsOfLayer + s, kLayerSlots[s], prefix,
                sizes);
    }
    describe(sizes, layers, constants);
}

// From the names in the folder: every number below the highest must be there.
uint32_t Grok1File::count_layers() const {
    constexpr uint32_t kMostFiles =
        grok1::kTensorsOfModel + grok1::kMaxLayers * grok1::kTensorsOfLayer;
    uint32_t count = 0;
    while (count <= kMostFiles && fs::exists(fs::path(path()) / file_name(count)))
        ++count;
    for (uint32_t index = count; index <= kMostFiles; ++index) {
        if (!fs::exists(fs::path(path()) / file_name(index))) continue;
        fail((fs::path(path()) / file_name(count)).string(), "is missing",
             "the download is incomplete");
    }
    const uint32_t in_layers = count - std::min(count, grok1::kTensorsOfModel);
    if (count > kMostFiles || in_layers == 0 || in_layers % grok1::kTensorsOfLayer != 0) {
        fail(path(),
             "holds " + std::to_string(count) +
                 " tensors in a row, a checkpoint has 2 and 12 for each layer (Grok-1: 770)",
             "the download is incomplete");
    }
    return in_layers / grok1::kTensorsOfLayer;
}

void Grok1File::add(uint32_t index, const Slot& slot, const std::string& prefix, Sizes& sizes) {
    auto file = std::make_unique<MappedFile>((fs::path(path()) / file_name(index)).string());
    const auto bytes = file->bytes();
    const PickledTensor pickled = read_pickle(bytes, file->path());
    check_shape(file->path(), pickled, slot, sizes);
    bind(slot, prefix + slot.name, pickled, bytes);
    keep(std::move(file));
}

// A size that is not yet known is learned from the first tensor that has it.
void Grok1File::check_shape(const std::string& file, const PickledTensor& pickled, const Slot& slot,
                            Sizes& sizes) const {
    std::vector<Dim> expected;
    if (slot.experts != kOne) expected.push_back(slot.experts);
    if (slot.in != kOne) expected.push_back(slot.in);
    expected.push_back(slot.out);
    const auto& shape = pickled.values.shape;
    if (shape.size() != expected.size()) {
        fail(file,
             "has shape " + to_text(shape) + ", expected " + std::to_string(expected.size()) +
                 " dimensions for " + slot.name,
             "it is not the file of this number, or damaged");
    }
    for (size_t i = 0; i < shape.size(); ++i) {
        uint64_t& size = sizes[expected[i]];
        if (size == 0) size = shape[i];
        if (shape[i] == size) continue;
        fail(file,
             "has shape " + to_text(shape) + ", expected " + std::to_string(size) + " (" +
                 kDimNames[expected[i]] + ") at dimension " + std::to_string(i) + " of " +
                 slot.name,
             "it is not the file of this number, or damaged");
    }
    if (!pickled.scales) return;
    // [experts, groups, out], each group of as many rows.
    std::vector<uint64_t> wanted = pickled.scales->shape;
    const size_t at = wanted.size() - std::min<size_t>(wanted.size(), 2);
    const uint64_t groups = wanted[at];
    wanted[at] = shape[at];
    const bool fits = slot.in != kOne && slot.transposed && wanted == shape &&
                      shape[at] % groups == 0 && shape[at] / groups % kGroupColumns == 0;
    if (!fits) {
        fail(file,
             "has scales of shape " + to_text(pickled.scales->shape) + " for weights of shape " +
                 to_text(shape),
             "groups must have as many rows each, a multiple of " + std::to_string(kGroupColumns));
    }
}

void Grok1File::bind(const Slot& slot, std::string name, const PickledTensor& pickled,
                     std::span<const std::byte> bytes) {
    TensorInfo tensor;
    tensor.name = std::move(name);
    tensor.type = pickled.scales ? DType::i8c : pickled.values.type;
    tensor.shape.assign(pickled.values.shape.rbegin(), pickled.values.shape.rend());
    if (slot.transposed) std::swap(tensor.shape[0], tensor.shape[1]);
    const auto values = bytes.subspan(pickled.values.offset, pickled.values.length);
    Lines lines;
    if (slot.transposed) {
        lines.values = values;
    } else {
        tensor.data = values;
    }
    if (pickled.scales) {
        tensor.scale_groups = pickled.scales->shape[pickled.scales->shape.size() - 2];
        lines.scales = bytes.subspan(pickled.scales->offset, pickled.scales->length);
    }
    add_tensor(std::move(tensor));  // slots and layers have names of their own
    lines_.push_back(lines);
}

void Grok1File::describe(const Sizes& sizes, uint32_t layers, const Grok1Constants& constants) {
    const uint64_t head = constants.head_dim;
    if (sizes[kQuery] % head != 0 || sizes[kKeyValue] % head != 0) {
        fail(path(),
             "has queries of " + std::to_string(sizes[kQuery]) + " and keys of " +
                 std::to_string(sizes[kKeyValue]) + " elements, no multiples of a head of " +
                 std::to_string(head),
             "it is no checkpoint of Grok-1");
    }
    const auto text = [&](const char* key, std::string value) {
        add_metadata(key, MetaValue{std::move(value)});
    };
    const auto number = [&](const char* key, uint64_t value) {
        add_metadata(std::string("grok.") + key, MetaValue{value});
    };
    const auto real = [&](const char* key, double value) {
        add_metadata(std::string("grok.") + key, MetaValue{value});
    };
    text("general.architecture", "grok");
    text("general.name", "Grok-1");
    number("block_count", layers);
    number("context_length", constants.context);
    number("embedding_length", sizes[kDim]);
    number("vocab_size", sizes[kVocab]);
    number("feed_forward_length", sizes[kWidth]);
    number("attention.head_count", sizes[kQuery] / head);
    number("attention.head_count_kv", sizes[kKeyValue] / head);
    number("attention.key_length", head);
    number("attention.value_length", head);
    number("rope.dimension_count", head);
    number("expert_count", sizes[kExperts]);
    number("expert_used_count", constants.active_experts);
    real("attention.layer_norm_rms_epsilon", 1e-5);
    // Its scales and caps are what architecture `grok` has where a file does not say otherwise.
    real("rope.freq_base", 10000.0);
}

void Grok1File::read_rows(const TensorInfo& tensor, uint64_t first, std::span<std::byte> values,
                          std::span<std::byte> scales) const {
    const Lines& source = lines(tensor);
    if (source.values.empty()) return WeightFile::read_rows(tensor, first, values, scales);
    constexpr size_t kScaleBytes = 2;
    const size_t element = traits(tensor.type).bytes;
    const uint64_t in = tensor.dim(0);
    const uint64_t out = tensor.dim(1);
    const uint64_t groups = tensor.scale_groups;
    const uint64_t count = values.size() / (in * element);
    for (uint64_t row = 0; row < count;) {
        const uint64_t expert = (first + row) / out;
        const uint64_t column = (first + row) % out;
        const uint64_t part = std::min(count - row, out - column);
        transpose(element, source.values.data() + (expert * in * out + column) * element, out, part,
                  in, values.data() + row * in * element);
        if (!scales.empty()) {
            transpose(kScaleBytes,
                      source.scales.data() + (expert * groups * out + column) * kScaleBytes, out,
                      part, groups, scales.data() + row * groups * kScaleBytes);
        }
        row += part;
    }
}

// Every page holds elements of many rows: whole experts go, when their last rows do.
void Grok1File::release_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const {
    const Lines& source = lines(tensor);
    if (source.values.empty()) return WeightFile::release_rows(tensor, first, count);
    const uint64_t out = tensor.dim(1);
    const uint64_t expert_bytes = source.values.size() / (tensor.rows() / out);
    const uint64_t begin = first / out;
    const uint64_t end = (first + count) / out;
    release(source.values.subspan(begin * expert_bytes, (end - begin) * expert_bytes));
}

void Grok1File::prefetch_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const {
    const Lines& source = lines(tensor);
    if (source.values.empty()) return WeightFile::prefetch_rows(tensor, first, count);
    const uint64_t out = tensor.dim(1);
    const uint64_t expert_bytes = source.values.size() / (tensor.rows() / out);
    // An expert that the rows before these have begun is there already.
    const uint64_t begin = (first + out - 1) / out;
    const uint64_t end = (first + count + out - 1) / out;
    prefetch(source.values.subspan(begin * expert_bytes, (end - begin) * expert_bytes));
}

}  // namespace

std::vector<uint32_t> grok1_layer_order(uint32_t layers) {
    std::vector<uint32_t> order(layers);
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::sort(order, {}, [](uint32_t layer) { return std::to_string(layer); });
    return order;
}

std::optional<std::string> find_grok1_checkpoint(const std::string& folder) {
    for (const fs::path& path : {fs::path(folder), fs::path(folder) / "ckpt-0"})
        if (fs::exists(path / file_name(0))) return path.string();
    return std::nullopt;
}

std::unique_ptr<WeightFile> open_grok1_checkpoint(const std::string& folder,
                                                  const Grok1Constants& constants) {
    return std::make_unique<Grok1File>(folder, constants);
}

}  // namespace core
