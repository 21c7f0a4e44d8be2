// Writes any model that moxie opens as one GGUF file, tensor by tensor: no more of it is in memory
// than a batch of rows and what the system keeps of the mapped source.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/pool.h"
#include "core/formats/weight_file.h"
#include "core/ops/matmul.h"
#include "core/tensor/dtype.h"

namespace core {

// A type for the tensors whose name matches a shell pattern ("*ffn_down*").
struct TypeRule {
    std::string pattern;
    DType type = DType::f32;
};

struct ConvertOptions {
    // Of matrices; nothing: each keeps its own, which loses nothing.
    std::optional<DType> type = {};
    std::vector<TypeRule> rules = {};  // the first that matches counts, before `type`
    Metadata vocabulary = {};          // of a source whose metadata have none
};

// What becomes of one tensor.
struct ConvertedTensor {
    const TensorInfo* source = nullptr;
    DType type = DType::f32;
    uint64_t scale_groups = 0;  // I8C
    bool fallback = false;      // its rows do not fit the type that was wanted
    uint64_t bytes = 0;
};

struct ConvertPlan {
    std::vector<ConvertedTensor> tensors;
    Metadata metadata;
    uint64_t source_bytes = 0;
    uint64_t bytes = 0;  // of all tensors
};

// Decides everything without reading data. `file` must outlive the plan. Throws Error(usage) for a
// type that moxie does not write and for a rule that no tensor matches, Error(model_unusable) for a
// tensor of a type that cannot be converted.
ConvertPlan plan_conversion(const WeightFile& file, const ConvertOptions& options);

struct ConvertProgress {
    uint64_t done = 0;  // bytes of the source
    uint64_t total = 0;
    std::string_view tensor;
};

// Writes the plan to `path`, under another name until it is complete. Once `cancel` is set throws
// Error(internal, _, "cancelled"); nothing is left then. Errors as GgufWriter.
void convert(const WeightFile& file, const ConvertPlan& plan, const std::string& path, Pool& pool,
             const std::function<void(const ConvertProgress&)>& progress = {},
             const CancelFlag* cancel = nullptr);

}  // namespace core
