#include "app/models/model_header.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string_view>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/formats/weight_file.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face.h"
#include "core/tensor/dtype.h"

namespace app {
namespace {

// As the engine counts (core/engine/served_model.cpp).
constexpr uint64_t kScratchBytes = uint64_t{64} << 20U;
constexpr uint32_t kUsualContext = 8192;

bool all_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// The ending "-00001-of-00017" of one part of several.
std::string_view without_part(std::string_view stem) {
    constexpr size_t kEnding = 15;
    if (stem.size() <= kEnding) return stem;
    const std::string_view ending = stem.substr(stem.size() - kEnding);
    const bool part = ending[0] == '-' && all_digits(ending.substr(1, 5)) &&
                      ending.substr(6, 4) == "-of-" && all_digits(ending.substr(10));
    return part ? stem.substr(0, stem.size() - kEnding) : stem;
}

struct Sums {
    uint64_t parameters = 0;
    uint64_t active = 0;
    uint64_t bytes = 0;
    std::map<std::string_view, uint64_t> types;  // parameters of each
};

// Of stacked experts only the share that is chosen works on a token.
Sums sums_of(const core::WeightFile& file, const std::string& architecture) {
    const auto number = [&](const char* name) {
        return file.meta_uint(architecture + "." + name).value_or(0);
    };
    const uint64_t experts = number("expert_count");
    const uint64_t chosen = std::min(number("expert_used_count"), experts);
    Sums sums;
    for (const core::TensorInfo& tensor : file.tensors()) {
        const uint64_t elements = tensor.elements();
        const bool stacked = experts > 0 && tensor.shape.size() == 3 && tensor.shape[2] == experts;
        sums.parameters += elements;
        sums.active += stacked ? elements / experts * chosen : elements;
        sums.bytes += tensor.bytes();
        sums.types[core::traits(tensor.type).name] += elements;
    }
    return sums;
}

void describe(const core::WeightFile& file, ModelHeader& model) {
    model.architecture = core::sanitize(file.meta_string("general.architecture").value_or(""));
    model.title = core::sanitize(file.meta_string("general.name").value_or(""));
    const Sums sums = sums_of(file, model.architecture);
    model.parameters = sums.parameters;
    model.active = sums.active;
    model.weight_bytes = sums.bytes;
    const auto most =
        std::ranges::max_element(sums.types, {}, [](const auto& type) { return type.second; });
    if (most != sums.types.end()) model.quantization = most->first;
    if (file.tensors().empty()) model.problem = "has a vocabulary and no weights";
}

// Of the file that it is about, when that is another than the model.
std::string problem_of(const core::Error& error, const std::string& path) {
    const std::string object = std::filesystem::path(error.object()).filename().string();
    const bool other = error.object() != path && !object.empty();
    return core::sanitize((other ? object + " " : "") + error.problem());
}

// A model whose names nobody knows is described in its own, with the reason as its problem.
std::unique_ptr<core::WeightFile> open_file(const std::string& path, std::string& problem) {
    try {
        return core::open_model(path);
    } catch (const core::Error& error) {
        problem = problem_of(error, path);
    }
    return core::open_weight_file(path);
}

}  // namespace

std::string model_name_of(const std::string& path) {
    const std::filesystem::path file(path);
    const bool known = file.extension() == ".gguf";
    const std::string stem = known ? file.stem().string() : file.filename().string();
    return core::sanitize(without_part(stem));
}

ModelHeader read_model_header(const std::string& path) {
    ModelHeader model{.name = model_name_of(path), .path = path};
    try {
        const std::unique_ptr<core::WeightFile> file = open_file(path, model.problem);
        describe(*file, model);
        if (!model.problem.empty()) return model;
        const core::ModelConfig config = core::config_from_file(*file);
        model.context = config.context;
        for (const core::LayerSpec& layer : config.layers)
            model.kv_elements += uint64_t{2} * layer.attention.kv_heads * layer.attention.head_dim;
    } catch (const core::Error& error) {
        model.problem = problem_of(error, path);
    } catch (const std::exception& error) {
        model.problem = core::sanitize(error.what());
    }
    return model;
}

MemoryNeed memory_need(const ModelHeader& model, uint32_t context, chat::KvTypeChoice kv) {
    // A block of 32 values of q8 is 34 bytes.
    const double bytes = kv == chat::KvTypeChoice::f32  ? 4.0
                         : kv == chat::KvTypeChoice::q8 ? 34.0 / 32.0
                                                        : 2.0;
    const double elements = static_cast<double>(model.kv_elements) * context;
    return {.weights = model.weight_bytes,
            .kv = static_cast<uint64_t>(elements * bytes),
            .scratch = kScratchBytes};
}

uint32_t usual_context(const ModelHeader& model) {
    return std::min(kUsualContext, model.context);
}

}  // namespace app
