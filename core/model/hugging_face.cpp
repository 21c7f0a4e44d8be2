#include "core/model/hugging_face.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numbers>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/base/utf8.h"
#include "core/formats/json_metadata.h"
#include "core/formats/safetensors.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face_file.h"

namespace core {
namespace {

constexpr HuggingFaceKey kCommonKeys[] = {
    {"hidden_size", "embedding_length"},
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"vocab_size", "vocab_size"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"head_dim", "attention.value_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
    {"rope_theta", "rope.freq_base"},
    {"num_experts_per_tok", "expert_used_count"},
};

[[noreturn]] void reject(const WeightFile& source, const std::string& key, const std::string& value,
                         const std::string& advice) {
    throw Error(ErrorKind::model_unusable, source.path(), key + " is " + sanitize(value), advice);
}

// Older configurations say `rope_scaling`, newer ones `rope_parameters`.
std::string rope_prefix(const WeightFile& source) {
    const bool newer = source.find_meta("rope_parameters.rope_type") != nullptr;
    return newer ? "rope_parameters." : "rope_scaling.";
}

std::string rope_type(const WeightFile& source, const std::string& prefix) {
    if (auto type = source.meta_string(prefix + "rope_type")) return *type;
    return source.meta_string(prefix + "type").value_or("default");
}

void translate_yarn(const WeightFile& source, const std::string& prefix, double factor,
                    GgufMetadata& gguf) {
    const auto original = source.meta_uint(prefix + "original_max_position_embeddings");
    const uint64_t context = source.meta_uint("max_position_embeddings").value_or(0);
    gguf.set("rope.scaling.original_context_length", {original.value_or(context)});
    for (const char* name : {"beta_fast", "beta_slow"}) {
        if (const auto value = source.meta_float(prefix + name))
            gguf.set(std::string("rope.scaling.yarn_") + name, {*value});
    }
    // In config.json the magnitude itself, in GGUF what its usual value is multiplied by.
    if (const auto magnitude = source.meta_float(prefix + "attention_factor"))
        gguf.set("rope.scaling.yarn_attn_factor", {*magnitude / (1.0 + 0.1 * std::log(factor))});
}

// llama3 is a tensor in GGUF, see rope_divisors().
void translate_rope(const WeightFile& source, GgufMetadata& gguf) {
    const std::string prefix = rope_prefix(source);
    if (const auto theta = source.meta_float(prefix + "rope_theta"))
        gguf.set("rope.freq_base", {*theta});
    const std::string type = rope_type(source, prefix);
    if (type == "default" || type == "llama3") return;
    if (type != "linear" && type != "yarn") {
        reject(source, prefix + "rope_type", '"' + type + '"',
               "known are default, linear, yarn and llama3");
    }
    const double factor = source.meta_float(prefix + "factor").value_or(1.0);
    if (!(factor > 0.0))
        reject(source, prefix + "factor", std::to_string(factor), "must be positive");
    gguf.set("rope.scaling.type", {type});
    gguf.set("rope.scaling.factor", {factor});
    if (type == "yarn") translate_yarn(source, prefix, factor, gguf);
}

// Llama 3.1: low frequencies are divided by `factor`, high ones stay, those between are mixed.
std::vector<float> rope_divisors(const WeightFile& source, uint64_t head_dim) {
    const std::string prefix = rope_prefix(source);
    if (rope_type(source, prefix) != "llama3") return {};
    const auto value = [&](const char* name, double otherwise) {
        const double number = source.meta_float(prefix + name).value_or(otherwise);
        if (!(number > 0.0))
            reject(source, prefix + name, std::to_string(number), "must be positive");
        return number;
    };
    const double factor = value("factor", 8.0);
    const double low = value("low_freq_factor", 1.0);
    const double high = value("high_freq_factor", 4.0);
    const double original = value("original_max_position_embeddings", 8192.0);
    if (high <= low)
        reject(source, prefix + "high_freq_factor", std::to_string(high),
               "must be more than low_freq_factor");
    const double theta = source.meta_float(prefix + "rope_theta")
                             .value_or(source.meta_float("rope_theta").value_or(10000.0));
    std::vector<float> divisors;
    for (uint64_t i = 0; i < head_dim / 2; ++i) {
        const double frequency =
            std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
        const double turns = original * frequency / (2 * std::numbers::pi);
        const double kept = std::clamp((turns - low) / (high - low), 0.0, 1.0);
        divisors.push_back(static_cast<float>(1.0 / ((1.0 - kept) / factor + kept)));
    }
    return divisors;
}

const HuggingFaceNames& names_of(const WeightFile& source) {
    const auto models = source.meta_strings("architectures").value_or(std::vector<std::string>{});
    if (models.empty()) {
        throw Error(ErrorKind::model_unusable, source.path(),
                    "does not say its architecture (architectures in config.json)",
                    "put config.json beside the weights");
    }
    return hugging_face_names(models.front(), source.path());
}

constexpr const char* kTemplateKey = "tokenizer.chat_template";

// How a conversation is written, from tokenizer_config.json.
std::optional<MetaValue> chat_template(const std::filesystem::path& folder) {
    const std::filesystem::path path = folder / "tokenizer_config.json";
    if (!std::filesystem::exists(path)) return std::nullopt;
    const MappedFile file(path.string());
    for (const auto& [key, value] : read_json_metadata(file.bytes(), path.string()))
        if (key == "chat_template" && std::holds_alternative<std::string>(value.value))
            return value;
    return std::nullopt;
}

GgufMetadata translate(const WeightFile& source, const HuggingFaceNames& names) {
    GgufMetadata gguf{std::string(names.architecture)};
    gguf.metadata.emplace_back("general.architecture", MetaValue{std::string(names.architecture)});
    const std::filesystem::path path = std::filesystem::absolute(source.path()).lexically_normal();
    const bool is_folder = std::filesystem::is_directory(path);
    const std::filesystem::path folder = is_folder ? path : path.parent_path();
    gguf.metadata.emplace_back(
        "general.name",
        MetaValue{(folder.has_filename() ? folder : folder.parent_path()).filename().string()});
    const auto copy = [&](std::span<const HuggingFaceKey> keys) {
        for (const HuggingFaceKey& key : keys)
            if (const MetaValue* value = source.find_meta(key.name)) gguf.set(key.gguf, *value);
    };
    copy(kCommonKeys);
    copy(names.keys);
    translate_rope(source, gguf);
    if (auto text = chat_template(folder))
        gguf.metadata.emplace_back(kTemplateKey, std::move(*text));
    if (names.complete != nullptr) names.complete(source, gguf);
    return gguf;
}

}  // namespace

GgufMetadata::GgufMetadata(std::string architecture) : architecture_(std::move(architecture)) {}

bool GgufMetadata::has(std::string_view name) const {
    return std::ranges::find(metadata, key(name), &Metadata::value_type::first) != metadata.end();
}

void GgufMetadata::remove(std::string_view name) {
    std::erase_if(metadata,
                  [wanted = key(name)](const auto& entry) { return entry.first == wanted; });
}

void GgufMetadata::set(std::string_view name, MetaValue value) {
    remove(name);
    metadata.emplace_back(key(name), std::move(value));
}

void GgufMetadata::set_default(std::string_view name, MetaValue value) {
    if (!has(name)) set(name, std::move(value));
}

uint64_t GgufMetadata::number(std::string_view name) const {
    const auto found = std::ranges::find(metadata, key(name), &Metadata::value_type::first);
    if (found == metadata.end()) return 0;
    const auto* value = std::get_if<uint64_t>(&found->second.value);
    return value != nullptr ? *value : 0;
}

std::unique_ptr<WeightFile> with_gguf_names(std::unique_ptr<WeightFile> file) {
    if (file->format() != safetensors::kFormat) return file;
    const HuggingFaceNames& names = names_of(*file);
    GgufMetadata gguf = translate(*file, names);
    uint64_t head_dim = gguf.number("attention.key_length");
    if (const uint64_t heads = gguf.number("attention.head_count"); head_dim == 0 && heads != 0)
        head_dim = gguf.number("embedding_length") / heads;
    // Far above any model there is.
    constexpr uint64_t kMaxHeadDim = 1U << 16;
    if (head_dim > kMaxHeadDim)
        reject(*file, "head_dim", std::to_string(head_dim), "must be at most 65536");
    std::vector<float> divisors = names.rope_divisors != nullptr
                                      ? names.rope_divisors(*file, head_dim)
                                      : rope_divisors(*file, head_dim);
    auto result = std::make_unique<HuggingFaceFile>(std::move(file), std::move(gguf), names,
                                                    static_cast<uint32_t>(head_dim));
    if (!divisors.empty()) result->add_floats("rope_freqs.weight", std::move(divisors));
    return result;
}

std::unique_ptr<WeightFile> open_model(const std::string& path) {
    return with_gguf_names(open_weight_file(path));
}

}  // namespace core
