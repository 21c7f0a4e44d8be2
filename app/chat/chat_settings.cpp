#include "app/chat/chat_settings.h"

#include <utility>

#include "app/models/model_header.h"
#include "app/session/chat_session.h"
#include "app/settings/parameters.h"
#include "app/settings/program_log.h"
#include "core/base/error.h"

namespace app {

std::optional<chat::KvTypeChoice> kv_choice_named(std::string_view name) {
    if (name == "f32") return chat::KvTypeChoice::f32;
    if (name == "f16") return chat::KvTypeChoice::f16;
    if (name == "q8") return chat::KvTypeChoice::q8;
    return std::nullopt;
}

ChatSettings::ChatSettings(Config config, SamplingLayers layers, LoadSettings usual,
                           Presets presets)
    : config_(std::move(config)),
      layers_(std::move(layers)),
      usual_load_(std::move(usual)),
      presets_(std::move(presets)),
      preset_chosen_(!layers_.layer(SamplingSource::preset).empty()) {}

SamplingChoice ChatSettings::usual() const {
    SamplingLayers layers = layers_;
    layers.reset({});
    return layers.choice();
}

LoadSettings ChatSettings::load_settings(const std::string& path) const {
    LoadSettings load = usual_load_;
    for (const ModelProfile* profile : config_.profiles_for(model_name_of(path), {})) {
        const auto value = [profile](const char* name) -> const ConfigValue* {
            const auto found = profile->settings.find(name);
            return found == profile->settings.end() ? nullptr : &found->second.value;
        };
        if (const auto* context = value("ctx"); context != nullptr && !config_.is_flag("model.ctx"))
            load.context = static_cast<uint32_t>(std::get<int64_t>(*context));
        if (const auto* kv = value("kv_type"); kv != nullptr && !config_.is_flag("model.kv_type"))
            load.kv = kv_choice_named(std::get<std::string>(*kv)).value_or(load.kv);
        if (const auto* name = value("template"); name != nullptr && load.template_name.empty())
            load.template_name = std::get<std::string>(*name);
    }
    load.context = wish_.context.value_or(load.context);
    load.kv = wish_.kv.value_or(load.kv);
    load.template_name = wish_.template_name.value_or(load.template_name);
    load.threads = wish_.threads.value_or(load.threads);
    return load;
}

void ChatSettings::override_load(const LoadWish& wish) {
    if (wish.context) wish_.context = wish.context;
    if (wish.kv) wish_.kv = wish.kv;
    if (wish.template_name) wish_.template_name = wish.template_name;
    if (wish.threads) wish_.threads = wish.threads;
}

std::optional<std::string> ChatSettings::follow(ChatSession& session) {
    std::optional<std::string> trouble;
    bool changed = false;
    if (session.model() &&
        (session.model()->name != model_ || session.loaded_path() != model_path_)) {
        model_ = session.model()->name;
        model_path_ = session.loaded_path();
        // The session has let go of biases that are of another model's tokens.
        if (session.sampling().logit_bias.empty()) layers_.reset(kLogitBias);
        trouble = take_profile(model_, model_path_);
        std::string impossible;
        layers_.put(SamplingSource::file,
                    sampling_of_hints(session.model()->sampling_hints, impossible));
        if (!trouble && !impossible.empty()) trouble = impossible;
        changed = true;
    }
    if (std::exchange(conversation_number_, session.conversation_number()) !=
        session.conversation_number()) {
        // A fork goes on with what was in force; it is not saved under a name yet, but has turns.
        const bool opened = !session.saver().conversation_id().empty();
        if (opened || session.conversation().empty()) layers_.reset(kLogitBias);
        if (opened)
            layers_.put(SamplingSource::conversation,
                        sampling_values(
                            {.sampling = session.sampling(), .fixed_seed = session.fixed_seed()}));
        else if (session.conversation().empty())
            layers_.clear(SamplingSource::conversation);
        changed = true;
    }
    if (changed) apply(session);
    return trouble;
}

// A mistake in it, or a preset that is not there, is told and leaves the rest in force.
std::optional<std::string> ChatSettings::take_profile(const std::string& name,
                                                      const std::string& path) {
    std::optional<std::string> trouble;
    SamplingValues values;
    SamplingValues preset;
    for (const ModelProfile* profile : config_.profiles_for(model_name_of(path), name)) {
        for (const auto& [key, setting] : profile->settings) {
            const ConfigKey* sampling = find_config_key("sampling", key);
            if (sampling != nullptr && sampling->effective())
                values[key] = toml_text(setting.value);
            if (key != "preset") continue;
            try {
                preset = presets_.load(std::get<std::string>(setting.value));
            } catch (const core::Error& error) {
                trouble = setting.origin + ": " + error.sentence();
            }
        }
    }
    layers_.put(SamplingSource::profile, std::move(values));
    if (!preset_chosen_) layers_.put(SamplingSource::preset, std::move(preset));
    return trouble;
}

void ChatSettings::set(std::string_view name, std::string_view value, ChatSession& session) {
    const std::string_view known =
        name == "max_tokens" ? name : std::string_view(parameter_named(name).name);
    std::string text(value);
    if (value.starts_with("+=") || value.starts_with("-=")) {
        chat::Sampling sampling = session.sampling();
        set_parameter(sampling, parameter_named(name), value);
        text = value_of(sampling, parameter_named(name));
    }
    layers_.set(SamplingSource::live, known, text);
    apply(session);
}

void ChatSettings::reset(std::string_view name, ChatSession& session) {
    if (name.empty() || name == "max_tokens")
        layers_.reset(name);
    else
        layers_.reset(parameter_named(name).name);
    apply(session);
}

void ChatSettings::set_bias(const std::vector<std::pair<core::TokenId, float>>& biases,
                            ChatSession& session) {
    layers_.reset(kLogitBias);
    if (!biases.empty())
        layers_.set(SamplingSource::live, kLogitBias, bias_layer_text({.logit_bias = biases}));
    apply(session);
}

void ChatSettings::use_preset(const std::string& name, ChatSession& session) {
    SamplingValues values = presets_.load(name);
    // The user asks for it now: what was set before by hand or saved gives way.
    for (const auto& [parameter, value] : values)
        layers_.reset(parameter);
    layers_.put(SamplingSource::preset, std::move(values));
    preset_chosen_ = true;
    apply(session);
}

void ChatSettings::reload(ChatSession& session) {
    config_ = config_.reloaded();
    layers_.put(SamplingSource::config, sampling_of_config(config_));
    if (!config_.is_flag("model.ctx"))
        usual_load_.context =
            config_.is_set("model.ctx") ? static_cast<uint32_t>(config_.integer("model.ctx")) : 0;
    usual_load_.kv = kv_choice_named(config_.text("model.kv_type")).value_or(usual_load_.kv);
    model_.clear();  // its profile is looked up again
    apply_log_settings(config_);
    if (const auto trouble = follow(session)) session.say(*trouble, true);
    apply(session);
}

void ChatSettings::apply(ChatSession& session) {
    SamplingChoice choice = layers_.choice();
    // Without a fixed seed every answer gets its own; the last one stays to be seen.
    if (!choice.fixed_seed) choice.sampling.seed = session.sampling().seed;
    if (choice.sampling != session.sampling() || choice.fixed_seed != session.fixed_seed())
        session.set_sampling(choice.sampling, choice.fixed_seed);
    session.set_max_tokens(choice.max_tokens);
}

}  // namespace app
