#include "core/model/convert.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

#include "core/base/error.h"
#include "core/formats/gguf.h"
#include "core/formats/gguf_writer.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

// Of a batch of rows, as they are read and as they are written: the larger of the two.
constexpr uint64_t kBatchBytes = uint64_t{256} << 20;
// Rows of a task: fewer would cost a transposing reader whole cache lines for a part of each.
constexpr uint64_t kTaskRows = 64;

constexpr uint64_t kGroupColumns = gguf::kGroupColumns;

// Where rows do not fit a type: the next one that is at least as exact.
struct Fallback {
    DType type;
    DType otherwise;
};
constexpr Fallback kFallbacks[] = {
    {DType::q4_k, DType::q5_0}, {DType::q5_k, DType::q5_1}, {DType::q6_k, DType::q8_0},
    {DType::q4_0, DType::f16},  {DType::q4_1, DType::f16},  {DType::q5_0, DType::f16},
    {DType::q5_1, DType::f16},  {DType::q8_0, DType::f16},  {DType::iq4_nl, DType::f16},
    {DType::i8c, DType::f16},
};

// Types below this many bits spoil the output matrix, which every token reads: it gets Q6_K.
constexpr double kOutputBits = 6.0;

// Keys that describe the file and not the model.
constexpr std::string_view kFileKeys[] = {"general.alignment", "general.file_type",
                                          "general.quantization_version"};

double bits_of(DType type) {
    return 8.0 * traits(type).bytes / traits(type).block;
}

bool fits(DType type, const TensorInfo& tensor) {
    const uint64_t unit = type == DType::i8c ? kGroupColumns : traits(type).block;
    return tensor.dim(0) % unit == 0;
}

// Norms, biases and routers are small and decide much; other engines want them as floats too.
bool stays_float(const TensorInfo& tensor) {
    return tensor.shape.size() == 1 || tensor.name.ends_with("ffn_gate_inp.weight") ||
           tensor.name.ends_with("ffn_gate_inp_shexp.weight");
}

bool is_output(const WeightFile& file, const TensorInfo& tensor) {
    const bool tied = file.find_tensor("output.weight") == nullptr;
    return tensor.name == (tied ? "token_embd.weight" : "output.weight");
}

class Planner {
  public:
    Planner(const WeightFile& file, const ConvertOptions& options)
        : file_(file), options_(options), used_(options.rules.size()) {
        if (options.type) check_writable(*options.type);
        for (const TypeRule& rule : options.rules)
            check_writable(rule.type);
    }

    ConvertedTensor plan(const TensorInfo& tensor) {
        ConvertedTensor result{.source = &tensor, .type = wanted(tensor)};
        while (!fits(result.type, tensor)) {
            const auto* next = std::ranges::find(kFallbacks, result.type, &Fallback::type);
            result.type = next->otherwise;
            result.fallback = true;
        }
        const bool copied = result.type == tensor.type;
        if (!copied && !can_dequantize(tensor.type) && tensor.type != DType::i8c) {
            throw Error(ErrorKind::model_unusable, file_.path(),
                        "tensor " + tensor.name + " has type " +
                            std::string(traits(tensor.type).name) + ", which is not converted");
        }
        if (result.type == DType::i8c) result.scale_groups = copied ? tensor.scale_groups : 1;
        result.bytes = tensor.elements() / traits(result.type).block * traits(result.type).bytes +
                       2 * result.scale_groups * tensor.rows();
        return result;
    }

    void check_rules() const {
        for (size_t i = 0; i < used_.size(); ++i) {
            if (used_[i]) continue;
            throw Error(ErrorKind::usage, "rule " + options_.rules[i].pattern,
                        "matches no matrix of the model", "moxie inspect --tensors lists them");
        }
    }

  private:
    static void check_writable(DType type) {
        if (can_quantize(type) || type == DType::i8c) return;
        std::string known = "i8c";
        for (const DTypeTraits& each : all_types())
            if (can_quantize(each.type)) known += ", " + std::string(each.name);
        throw Error(ErrorKind::usage, "type " + std::string(traits(type).name), "is not written",
                    "use one of " + known);
    }

    DType wanted(const TensorInfo& tensor) {
        if (stays_float(tensor)) return DType::f32;
        for (size_t i = 0; i < options_.rules.size(); ++i) {
            const TypeRule& rule = options_.rules[i];
            if (::fnmatch(rule.pattern.c_str(), tensor.name.c_str(), 0) != 0) continue;
            used_[i] = true;
            return rule.type;
        }
        if (!options_.type) return tensor.type;
        if (bits_of(*options_.type) < kOutputBits && is_output(file_, tensor)) return DType::q6_k;
        return *options_.type;
    }

    const WeightFile& file_;
    const ConvertOptions& options_;
    std::vector<bool> used_;  // by rule
};

// The conversion of one batch of rows, cut into tasks.
class Batch {
  public:
    Batch(const WeightFile& file, const ConvertedTensor& tensor)
        : file_(file), tensor_(tensor), cols_(tensor.source->dim(0)) {
        const uint64_t rows = tensor.source->rows();
        in_bytes_ = tensor.source->value_bytes() / rows;
        in_scales_ = tensor.source->scale_bytes() / rows;
        out_bytes_ = traits(tensor.type).bytes * (cols_ / traits(tensor.type).block);
        out_scales_ = 2 * tensor.scale_groups;
    }

    uint64_t rows_at_once() const {
        return std::max<uint64_t>(kBatchBytes / std::max(in_bytes_, out_bytes_), 1);
    }

    // Of rows [first, first + rows).
    void run(Pool& pool, uint64_t first, uint64_t rows, const CancelFlag* cancel) {
        values.resize(rows * out_bytes_);
        scales.resize(rows * out_scales_);
        scratch_.resize(pool.size());
        pool.run((rows + kTaskRows - 1) / kTaskRows, [&](size_t task, unsigned worker) {
            // Relaxed: nothing is published with the flag.
            if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
            const uint64_t begin = task * kTaskRows;
            convert_rows(scratch_[worker], first, begin, std::min(kTaskRows, rows - begin));
        });
    }

    std::vector<std::byte> values;
    std::vector<std::byte> scales;  // I8C

  private:
    struct Scratch {
        std::vector<std::byte> values;
        std::vector<std::byte> scales;
        std::vector<float> row;
    };

    void convert_rows(Scratch& scratch, uint64_t first, uint64_t begin, uint64_t rows) {
        const auto out = std::span(values).subspan(begin * out_bytes_, rows * out_bytes_);
        const auto out_scales = std::span(scales).subspan(begin * out_scales_, rows * out_scales_);
        if (tensor_.type == tensor_.source->type)
            return file_.read_rows(*tensor_.source, first + begin, out, out_scales);
        scratch.values.resize(rows * in_bytes_);
        scratch.scales.resize(rows * in_scales_);
        scratch.row.resize(cols_);
        file_.read_rows(*tensor_.source, first + begin, scratch.values, scratch.scales);
        for (uint64_t r = 0; r < rows; ++r) {
            decode(scratch, r);
            encode(scratch.row, out.subspan(r * out_bytes_, out_bytes_),
                   out_scales.subspan(r * out_scales_, out_scales_));
        }
    }

    void decode(Scratch& scratch, uint64_t row) const {
        const auto in =
            std::span<const std::byte>(scratch.values).subspan(row * in_bytes_, in_bytes_);
        if (tensor_.source->type != DType::i8c)
            return dequantize_row(tensor_.source->type, in, scratch.row);
        std::vector<uint16_t> factors(tensor_.source->scale_groups);
        std::memcpy(factors.data(), scratch.scales.data() + row * in_scales_, in_scales_);
        dequantize_i8c({reinterpret_cast<const int8_t*>(in.data()), in.size()}, factors,
                       scratch.row);
    }

    void encode(std::span<const float> row, std::span<std::byte> out,
                std::span<std::byte> out_scales) const {
        if (tensor_.type != DType::i8c) return quantize_row(tensor_.type, row, out);
        std::vector<uint16_t> factors(tensor_.scale_groups);
        quantize_i8c(row, {reinterpret_cast<int8_t*>(out.data()), out.size()}, factors);
        std::memcpy(out_scales.data(), factors.data(), out_scales.size());
    }

    const WeightFile& file_;
    const ConvertedTensor& tensor_;
    uint64_t cols_;
    uint64_t in_bytes_ = 0;  // of a row
    uint64_t in_scales_ = 0;
    uint64_t out_bytes_ = 0;
    uint64_t out_scales_ = 0;
    std::vector<Scratch> scratch_;  // by worker
};

// Integers become u32 or i32 and floats f32 where they fit: other readers insist on these types.
struct WriteValue {
    GgufWriter& writer;
    const std::string& key;

    void operator()(bool value) const { writer.add<bool>(key, value); }
    void operator()(double value) const { writer.add<float>(key, static_cast<float>(value)); }
    void operator()(const std::string& value) const { writer.add_string(key, value); }
    void operator()(uint64_t value) const {
        if (std::in_range<uint32_t>(value))
            writer.add<uint32_t>(key, static_cast<uint32_t>(value));
        else
            writer.add<uint64_t>(key, value);
    }
    void operator()(int64_t value) const {
        if (std::in_range<int32_t>(value))
            writer.add<int32_t>(key, static_cast<int32_t>(value));
        else
            writer.add<int64_t>(key, value);
    }
    void operator()(const std::shared_ptr<const MetaArray>& array) const {
        if (array->empty()) return;
        const auto& first = array->front().value;
        if (std::holds_alternative<std::string>(first)) {
            writer.add_strings(key, elements<std::string>(*array));
        } else if (std::holds_alternative<double>(first)) {
            writer.add_array<float>(key, elements<float>(*array));
        } else if (!std::holds_alternative<bool>(first)) {
            writer.add_array<int32_t>(key, elements<int32_t>(*array));
        }
    }

    // Of an array whose elements are of one type, as those of a file are.
    template <class Out>
    static std::vector<Out> elements(const MetaArray& array) {
        std::vector<Out> values;
        values.reserve(array.size());
        for (const MetaValue& element : array) {
            std::visit(
                [&](const auto& value) {
                    using In = std::decay_t<decltype(value)>;
                    if constexpr (std::is_convertible_v<In, Out>)
                        values.push_back(static_cast<Out>(value));
                },
                element.value);
        }
        return values;
    }
};

void write_metadata(const ConvertPlan& plan, GgufWriter& writer) {
    for (const auto& [key, value] : plan.metadata)
        std::visit(WriteValue{writer, key}, value.value);
    writer.add<uint32_t>("general.quantization_version", 2);
}

}  // namespace

ConvertPlan plan_conversion(const WeightFile& file, const ConvertOptions& options) {
    ConvertPlan plan;
    Planner planner(file, options);
    for (const TensorInfo& tensor : file.tensors()) {
        plan.tensors.push_back(planner.plan(tensor));
        plan.source_bytes += tensor.bytes();
        plan.bytes += plan.tensors.back().bytes;
    }
    planner.check_rules();
    for (const auto& entry : file.metadata())
        if (std::ranges::find(kFileKeys, entry.first) == std::end(kFileKeys))
            plan.metadata.push_back(entry);
    plan.metadata.insert(plan.metadata.end(), options.vocabulary.begin(), options.vocabulary.end());
    return plan;
}

void convert(const WeightFile& file, const ConvertPlan& plan, const std::string& path, Pool& pool,
             const std::function<void(const ConvertProgress&)>& progress,
             const CancelFlag* cancel) {
    GgufWriter writer(path);
    write_metadata(plan, writer);
    for (const ConvertedTensor& tensor : plan.tensors)
        writer.declare(tensor.source->name, tensor.type, tensor.source->shape, tensor.scale_groups);
    uint64_t done = 0;
    for (const ConvertedTensor& tensor : plan.tensors) {
        Batch batch(file, tensor);
        std::vector<std::byte> scales;  // they come after all values
        const uint64_t rows = tensor.source->rows();
        for (uint64_t first = 0; first < rows; first += batch.rows_at_once()) {
            const uint64_t count = std::min(batch.rows_at_once(), rows - first);
            batch.run(pool, first, count, cancel);
            if (cancel != nullptr && cancel->load())
                throw Error(ErrorKind::internal, path, "cancelled", "nothing was written");
            writer.append_bytes(batch.values);
            scales.insert(scales.end(), batch.scales.begin(), batch.scales.end());
            file.release_rows(*tensor.source, first, count);
            done += tensor.source->bytes() / rows * count;
            if (progress) progress({done, plan.source_bytes, tensor.source->name});
        }
        writer.append_bytes(scales);
    }
    if (file.damaged()) {
        throw Error(ErrorKind::model_unusable, file.path(), "has become shorter while it was read",
                    "copy it again");
    }
    writer.finish();
}

}  // namespace core
