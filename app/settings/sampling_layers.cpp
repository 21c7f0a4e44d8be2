#include "app/settings/sampling_layers.h"

#include <charconv>
#include <functional>
#include <utility>

#include "app/settings/parameters.h"
#include "core/base/error.h"
#include "core/store/codec.h"

namespace app {
namespace {

constexpr std::string_view kMaxTokens = "max_tokens";
constexpr std::string_view kSeed = "seed";

bool is_random(std::string_view value) {
    return value == "random" || value == "-1";
}

void set_max_tokens(SamplingChoice& choice, std::string_view value) {
    const ConfigKey& key = *find_config_key("sampling", kMaxTokens);
    try {
        const auto wanted = std::get<int64_t>(value_from_text(key, value));
        choice.max_tokens = wanted <= 0 ? 0 : static_cast<uint32_t>(wanted);
    } catch (const core::Error& error) {
        throw core::Error(core::ErrorKind::usage, std::string(kMaxTokens), error.problem());
    }
}

void set_value(SamplingChoice& choice, std::string_view name, std::string_view value) {
    if (name == kMaxTokens) return set_max_tokens(choice, value);
    if (name == kLogitBias) return core::set_sampling(choice.sampling, name, value);
    const Parameter& parameter = parameter_named(name);
    const bool random = parameter.name == kSeed && is_random(value);
    if (parameter.name == kSeed) choice.fixed_seed = !random;
    if (!random) set_parameter(choice.sampling, parameter, value);
}

// Of keys that were chosen on one of the layers.
SamplingValues chosen(const Config& config, const std::function<bool(ConfigLayer)>& wanted) {
    SamplingValues values;
    for (const ConfigKey& key : config_keys()) {
        if (key.section != "sampling" || !key.effective()) continue;
        const Setting& setting = config.setting(full_name(key));
        if (wanted(setting.layer)) values[std::string(key.name)] = toml_text(setting.value);
    }
    return values;
}

}  // namespace

std::string bias_layer_text(const chat::Sampling& sampling) {
    return core::sampling_texts(sampling).at(std::string(kLogitBias));
}

std::string_view source_name(SamplingSource source) {
    constexpr std::array<std::string_view, kSamplingSources> kNames = {
        "default", "gguf", "config", "model", "preset", "chat", "cli", "set"};
    return kNames.at(static_cast<size_t>(source));
}

void check_sampling_value(std::string_view name, std::string_view value) {
    SamplingChoice scratch;
    set_value(scratch, name, value);
}

SamplingValues sampling_of_config(const Config& config) {
    return chosen(config, [](ConfigLayer layer) {
        return layer != ConfigLayer::built_in && layer != ConfigLayer::flag;
    });
}

SamplingValues sampling_of_hints(const std::map<std::string, std::string>& hints,
                                 std::string& trouble) {
    SamplingValues values;
    for (const auto& [name, value] : hints) {
        try {
            check_sampling_value(name, value);
            values[name] = value;
        } catch (const core::Error& error) {
            trouble +=
                (trouble.empty() ? "The model file recommends what is not possible: " : "; ") +
                std::string(error.what());
        }
    }
    if (!trouble.empty()) trouble += ".";
    return values;
}

SamplingValues sampling_of_flags(const Config& config) {
    return chosen(config, [](ConfigLayer layer) { return layer == ConfigLayer::flag; });
}

SamplingValues sampling_values(const SamplingChoice& choice) {
    SamplingValues values;
    for (const Parameter& parameter : parameters())
        values[std::string(parameter.name)] = value_of(choice.sampling, parameter);
    if (!choice.fixed_seed) values[std::string(kSeed)] = "random";
    if (!choice.sampling.logit_bias.empty())
        values[std::string(kLogitBias)] = bias_layer_text(choice.sampling);
    if (choice.max_tokens != 0) values[std::string(kMaxTokens)] = std::to_string(choice.max_tokens);
    return values;
}

void SamplingLayers::put(SamplingSource source, SamplingValues values) {
    layers_.at(static_cast<size_t>(source)) = std::move(values);
}

void SamplingLayers::set(SamplingSource source, std::string_view name, std::string_view value) {
    check_sampling_value(name, value);
    layers_.at(static_cast<size_t>(source)).insert_or_assign(std::string(name), std::string(value));
}

void SamplingLayers::reset(std::string_view name) {
    for (const SamplingSource source : {SamplingSource::conversation, SamplingSource::live}) {
        SamplingValues& values = layers_.at(static_cast<size_t>(source));
        if (name.empty()) {
            values.clear();
        } else if (const auto found = values.find(name); found != values.end()) {
            values.erase(found);
        }
    }
}

SamplingChoice SamplingLayers::choice() const {
    SamplingChoice choice;
    for (const SamplingValues& layer : layers_)
        for (const auto& [name, value] : layer)
            set_value(choice, name, value);
    return choice;
}

SamplingChoice SamplingLayers::choice_without(SamplingSource source) const {
    SamplingLayers others = *this;
    others.clear(source);
    return others.choice();
}

SamplingSource SamplingLayers::source_of(std::string_view name) const {
    for (size_t i = kSamplingSources; i-- > 0;)
        if (layers_.at(i).contains(name)) return static_cast<SamplingSource>(i);
    return SamplingSource::built_in;
}

}  // namespace app
