// What becomes of each tensor, decided before any data are read.
#include <fnmatch.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/formats/gguf.h"
#include "core/model/convert.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

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

}  // namespace core
