// Names are those of GGUF (gguf-py constants.py, tensor_mapping.py); files of other formats are
// given these names when they are opened.
#include "core/model/weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <initializer_list>
#include <string>
#include <unordered_set>
#include <utility>

#include "core/base/cpu.h"
#include "core/base/error.h"
#include "core/base/half.h"
#include "core/model/forward_layers.h"

namespace core {
namespace {

// A task packs about this much: enough to hide the counter, little enough for a prompt cancel.
constexpr size_t kPackTaskBytes = size_t{1} << 20;

// One matrix to pack: rows of a tensor. A stacked tensor of experts is [experts * out, in].
struct Binding {
    const TensorInfo* tensor = nullptr;
    uint32_t cols = 0;
    RowRange rows;
    Matrix* target = nullptr;

    bool in_place() const { return !tensor->data.empty(); }
    size_t row_bytes() const { return tensor->value_bytes() / tensor->rows(); }
    size_t scale_bytes() const { return tensor->scale_bytes() / tensor->rows(); }

    // From where the rows lie.
    MatrixSource source(std::span<const std::byte> data, std::span<const std::byte> scales) const {
        return {.type = tensor->type,
                .rows = rows.size(),
                .cols = cols,
                .data = data,
                .scales = scales,
                .scale_groups = static_cast<uint32_t>(tensor->scale_groups)};
    }
    MatrixSource source_in_file() const {
        return source(
            tensor->data.subspan(row_bytes() * rows.begin, row_bytes() * rows.size()),
            tensor->scales.subspan(scale_bytes() * rows.begin, scale_bytes() * rows.size()));
    }
    // Memory that reading takes beside the packed matrix.
    uint64_t scratch_bytes() const {
        return in_place() ? 0 : (row_bytes() + scale_bytes()) * rows.size();
    }
    uint64_t packed_bytes() const {
        const size_t panel =
            packed_panel_bytes(tensor->type, cols, static_cast<uint32_t>(tensor->scale_groups));
        return uint64_t{panel} * ((rows.size() + kPanelRows - 1) / kPanelRows);
    }
};

std::string shape_text(std::span<const uint64_t> shape) {
    std::string text;
    for (const uint64_t size : shape)
        text += (text.empty() ? "[" : ", ") + std::to_string(size);
    return text + "]";
}

std::string computable_types() {
    std::string names;
    for (const DTypeTraits& type : all_types())
        if (type.computable) names += (names.empty() ? "" : ", ") + std::string(type.name);
    return names;
}

// Looks tensors up, checks them, and collects what is to be packed.
class Binder {
  public:
    explicit Binder(const WeightFile& file) : file_(file) {}

    // Position in the model, put before names that follow.
    void enter_layer(uint32_t layer) { prefix_ = "blk." + std::to_string(layer) + "."; }
    void leave_layers() { prefix_.clear(); }

    // A matrix [rows, cols].
    void matrix(const char* name, uint32_t rows, uint32_t cols, Matrix& target) {
        const TensorInfo& tensor = find({name});
        check_shape(tensor, {cols, rows});
        check_type(tensor);
        bindings_.push_back({&tensor, cols, {0, rows}, &target});
    }

    // Matrices [rows, cols] stacked along the third dimension, one per element.
    void stack(const char* name, uint32_t rows, uint32_t cols, Matrix BranchWeights::*member,
               std::vector<BranchWeights>& targets) {
        const TensorInfo& tensor = find({name});
        check_shape(tensor, {cols, rows, targets.size()});
        check_type(tensor);
        for (uint32_t e = 0; e < targets.size(); ++e)
            bindings_.push_back({&tensor, cols, {e * rows, (e + 1) * rows}, &(targets[e].*member)});
    }

    // Floats of any float type; the first name that the file has.
    std::vector<float> floats(std::initializer_list<const char*> names,
                              std::initializer_list<uint64_t> shape) {
        const TensorInfo& tensor = find(names);
        check_shape(tensor, shape);
        std::vector<float> values(tensor.elements());
        std::vector<std::byte> bytes(tensor.value_bytes());
        file_.read_rows(tensor, 0, bytes, {});
        const std::byte* data = bytes.data();
        for (size_t i = 0; i < values.size(); ++i) {
            if (tensor.type == DType::f32) {
                std::memcpy(&values[i], data + i * sizeof(float), sizeof(float));
                continue;
            }
            if (tensor.type != DType::f16 && tensor.type != DType::bf16) {
                fail(tensor, "has type " + std::string(traits(tensor.type).name),
                     "expected f32, f16 or bf16");
            }
            uint16_t half = 0;
            std::memcpy(&half, data + i * sizeof(half), sizeof(half));
            values[i] = tensor.type == DType::f16 ? f16_to_f32(half) : bf16_to_f32(half);
        }
        return values;
    }

    std::vector<Binding> take_bindings() { return std::move(bindings_); }

    // A bias that nobody asked for would change every logit.
    void refuse_unused_biases() const {
        for (const TensorInfo& tensor : file_.tensors())
            if (tensor.name.ends_with(".bias") && !used_.contains(&tensor))
                fail(tensor, "has no place in this architecture",
                     "this engine cannot run the model");
    }

  private:
    [[noreturn]] void fail(const TensorInfo& tensor, const std::string& problem,
                           const std::string& advice) const {
        throw Error(ErrorKind::model_unusable, file_.path(),
                    "tensor " + tensor.name + " " + problem, advice);
    }

    const TensorInfo& find(std::initializer_list<const char*> names) {
        for (const char* name : names)
            if (const TensorInfo* tensor = file_.find_tensor(prefix_ + name)) {
                used_.insert(tensor);
                return *tensor;
            }
        std::string wanted;
        for (const char* name : names)
            wanted += (wanted.empty() ? "" : " or ") + prefix_ + name;
        throw Error(ErrorKind::model_unusable, file_.path(), "tensor " + wanted + " is missing",
                    "the file is incomplete or not of this architecture");
    }

    void check_shape(const TensorInfo& tensor, std::initializer_list<uint64_t> expected) const {
        bool same = tensor.shape.size() <= expected.size();
        size_t index = 0;
        for (const uint64_t size : expected)
            same = same && tensor.dim(index++) == size;
        if (!same)
            fail(tensor, "has shape " + shape_text(tensor.shape),
                 "expected " + shape_text(std::span(expected.begin(), expected.size())));
    }

    void check_type(const TensorInfo& tensor) const {
        if (!traits(tensor.type).computable) {
            fail(tensor, "has type " + std::string(traits(tensor.type).name),
                 "this engine computes with " + computable_types());
        }
        if (tensor.type != DType::i8c) return;
        const uint64_t groups = tensor.scale_groups;
        const bool scaled = tensor.data.empty() ||
                            tensor.scales.size() == groups * tensor.rows() * sizeof(uint16_t);
        if (groups == 0 || tensor.dim(0) % (groups * 32) != 0 || !scaled) {
            fail(tensor, "has " + std::to_string(groups) + " groups of scales",
                 "each group must cover a multiple of 32 columns");
        }
    }

    const WeightFile& file_;
    std::string prefix_;
    std::vector<Binding> bindings_;
    std::unordered_set<const TensorInfo*> used_;
};

void bind_attention(Binder& bind, const ModelConfig& config, const AttentionSpec& spec,
                    LayerWeights& layer) {
    const uint32_t q_rows = spec.heads * spec.head_dim;
    const uint32_t kv_rows = spec.kv_heads * spec.head_dim;
    layer.attention_norm = bind.floats({"attn_norm.weight"}, {config.dim});
    bind.matrix("attn_q.weight", q_rows, config.dim, layer.q);
    bind.matrix("attn_k.weight", kv_rows, config.dim, layer.k);
    bind.matrix("attn_v.weight", kv_rows, config.dim, layer.v);
    bind.matrix("attn_output.weight", config.dim, q_rows, layer.o);
    if (spec.qkv_bias) {
        layer.q_bias = bind.floats({"attn_q.bias"}, {q_rows});
        layer.k_bias = bind.floats({"attn_k.bias"}, {kv_rows});
        layer.v_bias = bind.floats({"attn_v.bias"}, {kv_rows});
    }
    if (spec.output_bias) layer.o_bias = bind.floats({"attn_output.bias"}, {config.dim});
    if (spec.qk_norm) {
        layer.q_norm = bind.floats({"attn_q_norm.weight"}, {spec.head_dim});
        layer.k_norm = bind.floats({"attn_k_norm.weight"}, {spec.head_dim});
    }
}

void bind_ffn(Binder& bind, const ModelConfig& config, const FfnSpec& spec, LayerWeights& layer) {
    layer.ffn_norm = bind.floats({"ffn_norm.weight"}, {config.dim});
    if (spec.dense_width != 0) {
        bind.matrix("ffn_gate.weight", spec.dense_width, config.dim, layer.dense.gate);
        bind.matrix("ffn_up.weight", spec.dense_width, config.dim, layer.dense.up);
        bind.matrix("ffn_down.weight", config.dim, spec.dense_width, layer.dense.down);
    }
    if (const uint32_t width = spec.shared_width; width != 0) {
        bind.matrix("ffn_gate_shexp.weight", width, config.dim, layer.shared.gate);
        bind.matrix("ffn_up_shexp.weight", width, config.dim, layer.shared.up);
        bind.matrix("ffn_down_shexp.weight", config.dim, width, layer.shared.down);
        if (spec.shared_gate)
            layer.shared_gate = bind.floats({"ffn_gate_inp_shexp.weight"}, {config.dim});
    }
    if (spec.router.experts == 0) return;
    layer.router = bind.floats({"ffn_gate_inp.weight"}, {config.dim, spec.router.experts});
    layer.experts.resize(spec.router.experts);
    const uint32_t width = spec.expert_width;
    bind.stack("ffn_gate_exps.weight", width, config.dim, &BranchWeights::gate, layer.experts);
    bind.stack("ffn_up_exps.weight", width, config.dim, &BranchWeights::up, layer.experts);
    bind.stack("ffn_down_exps.weight", config.dim, width, &BranchWeights::down, layer.experts);
}

// The addresses of `weights` must not change until the bindings are packed.
std::vector<Binding> bind_all(const WeightFile& file, const ModelConfig& config, Weights& weights) {
    Binder bind(file);
    bind.matrix("token_embd.weight", config.vocab, config.dim, weights.embedding);
    if (!config.tied_output) bind.matrix("output.weight", config.vocab, config.dim, weights.output);
    weights.output_norm = bind.floats({"output_norm.weight"}, {config.dim});
    weights.layers.resize(config.layers.size());
    for_each_layer(config.layers.size(), [&](uint32_t l) {
        bind.enter_layer(l);
        bind_attention(bind, config, config.layers[l].attention, weights.layers[l]);
        bind_ffn(bind, config, config.layers[l].ffn, weights.layers[l]);
        if (!config.layers[l].post_norms) return;
        weights.layers[l].attention_post_norm =
            bind.floats({"attn_output_norm.weight"}, {config.dim});
        weights.layers[l].ffn_post_norm =
            bind.floats({"post_ffw_norm.weight", "layer_output_norm.weight"}, {config.dim});
    });
    bind.refuse_unused_biases();
    return bind.take_bindings();
}

std::string gigabytes(uint64_t bytes) {
    const uint64_t tenths = (bytes + 50'000'000) / 100'000'000;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GB";
}

void check_memory(const WeightFile& file, uint64_t needed) {
    const uint64_t available = available_memory();
    if (needed <= available) return;
    throw Error(
        ErrorKind::memory, file.path(),
        "needs " + gigabytes(needed) + " for its weights, " + gigabytes(available) + " free",
        "close other programs or use a smaller quantization");
}

bool cancelled(const LoadOptions& options) {
    // Relaxed: nothing is published with the flag.
    return options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed);
}

// Rows that the file makes of another form, on all threads. Few rows at a time cost a transposing
// reader whole cache lines for a part of each.
void read_binding(const WeightFile& file, const Binding& binding, std::span<std::byte> values,
                  std::span<std::byte> scales, Pool& pool, const LoadOptions& options) {
    constexpr uint64_t kLeastRows = 64;
    const uint64_t rows = binding.rows.size();
    const uint64_t wanted = kPackTaskBytes / binding.row_bytes() / kLeastRows * kLeastRows;
    const uint64_t per_task = std::max(wanted, kLeastRows);
    pool.run((rows + per_task - 1) / per_task, [&](size_t task, unsigned) {
        if (cancelled(options)) return;
        const uint64_t begin = task * per_task;
        const uint64_t count = std::min(per_task, rows - begin);
        file.read_rows(
            *binding.tensor, binding.rows.begin + begin,
            values.subspan(begin * binding.row_bytes(), count * binding.row_bytes()),
            scales.subspan(begin * binding.scale_bytes(), count * binding.scale_bytes()));
    });
}

void pack_binding(const WeightFile& file, const Binding& binding, WeightArena& arena, Pool& pool,
                  const LoadOptions& options) {
    std::vector<std::byte> scratch(binding.scratch_bytes());
    MatrixSource source;
    if (binding.in_place()) {
        source = binding.source_in_file();
    } else {
        const size_t value_bytes = binding.row_bytes() * binding.rows.size();
        const auto values = std::span(scratch).first(value_bytes);
        const auto scales = std::span(scratch).subspan(value_bytes);
        read_binding(file, binding, values, scales, pool, options);
        source = binding.source(values, scales);
    }
    MatrixBuilder builder(source, arena);
    const size_t panel_bytes = std::max<size_t>(binding.packed_bytes() / builder.panels(), 1);
    const auto per_task = static_cast<uint32_t>(std::max<size_t>(kPackTaskBytes / panel_bytes, 1));
    const size_t tasks = (builder.panels() + per_task - 1) / per_task;
    pool.run(tasks, [&](size_t task, unsigned) {
        if (cancelled(options)) return;
        const auto begin = static_cast<uint32_t>(task) * per_task;
        builder.pack(begin, std::min(begin + per_task, builder.panels()));
    });
    *binding.target = builder.finish();
}

uint64_t bytes(const BranchWeights& branch) {
    return branch.gate.bytes() + branch.up.bytes() + branch.down.bytes();
}

uint64_t attention_bytes(const LayerWeights& layer) {
    return layer.q.bytes() + layer.k.bytes() + layer.v.bytes() + layer.o.bytes();
}

// Every token reads these.
uint64_t common_ffn_bytes(const LayerWeights& layer) {
    return bytes(layer.dense) + bytes(layer.shared);
}

}  // namespace

Weights load_weights(const WeightFile& file, const ModelConfig& config, Pool& pool,
                     const LoadOptions& options) {
    Weights weights;
    const std::vector<Binding> bindings = bind_all(file, config, weights);
    uint64_t total = 0;
    uint64_t scratch = 0;
    for (const Binding& binding : bindings) {
        total += binding.packed_bytes();
        scratch = std::max(scratch, binding.scratch_bytes());
    }
    check_memory(file, total + scratch);

    uint64_t done = 0;
    if (options.progress) options.progress(0, total);
    WeightArena arena;  // layers of small models are smaller than a huge page
    for (const Binding& binding : bindings) {
        pack_binding(file, binding, arena, pool, options);
        if (cancelled(options)) throw Error(ErrorKind::internal, file.path(), "cancelled");
        file.release_rows(*binding.tensor, binding.rows.begin, binding.rows.size());
        done += binding.packed_bytes();
        if (options.progress) options.progress(done, total);
    }
    if (file.damaged()) {
        throw Error(ErrorKind::model_unusable, file.path(), "has become shorter while it was read",
                    "copy it again");
    }
    return weights;
}

void check_tensors(const WeightFile& file, const ModelConfig& config) {
    Weights weights;
    bind_all(file, config, weights);
}

uint64_t packed_bytes(const TensorInfo& tensor) {
    if (tensor.shape.size() == 1) return tensor.elements() * sizeof(float);
    const size_t panel = packed_panel_bytes(tensor.type, static_cast<uint32_t>(tensor.dim(0)),
                                            static_cast<uint32_t>(tensor.scale_groups));
    const uint64_t matrices = tensor.rows() / tensor.dim(1);
    return matrices * panel * ((tensor.dim(1) + kPanelRows - 1) / kPanelRows);
}

uint64_t weight_bytes(const Weights& weights) {
    uint64_t total = weights.embedding.bytes() + weights.output.bytes();
    for_each_layer(weights.layers.size(), [&](uint32_t l) {
        const LayerWeights& layer = weights.layers[l];
        total += attention_bytes(layer) + common_ffn_bytes(layer);
        for (const BranchWeights& expert : layer.experts)
            total += bytes(expert);
    });
    return total;
}

uint64_t read_bytes(const Weights& weights, std::span<const uint32_t> experts) {
    uint64_t total = weights.output_matrix().bytes();
    for_each_layer(weights.layers.size(), [&](uint32_t l) {
        const LayerWeights& layer = weights.layers[l];
        total += attention_bytes(layer) + common_ffn_bytes(layer);
        total += layer.router.size() * sizeof(float);
        if (!layer.experts.empty()) total += bytes(layer.experts.front()) * experts[l];
    });
    return total;
}

uint64_t decode_bytes(const Weights& weights, const ModelConfig& config) {
    std::vector<uint32_t> active;
    for_each_layer(config.layers.size(), [&](uint32_t layer) {
        active.push_back(config.layers[layer].ffn.router.active);
    });
    return read_bytes(weights, active);
}

}  // namespace core
