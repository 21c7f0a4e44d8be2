// The configuration of a running chat: which parameters are in force and who set them, as models
// and conversations come and go. UI thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/settings/config.h"
#include "app/settings/presets.h"
#include "app/settings/sampling_layers.h"

namespace app {

class ChatSession;

// How a model is loaded.
struct LoadSettings {
    uint32_t context = 0;  // 0 = the engine's choice
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    std::string template_name = {};  // empty = the model's
    unsigned threads = 0;            // 0 = as before
};

// What somebody said about it in the chat.
struct LoadWish {
    std::optional<uint32_t> context = {};
    std::optional<chat::KvTypeChoice> kv = {};
    std::optional<std::string> template_name = {};
    std::optional<unsigned> threads = {};
};

class ChatSettings {
  public:
    // `usual`: how models are loaded where no profile of the configuration says otherwise.
    ChatSettings(Config config, SamplingLayers layers, LoadSettings usual, Presets presets);

    const Config& config() const { return config_; }
    const Presets& presets() const { return presets_; }
    const SamplingLayers& layers() const { return layers_; }
    // What would hold without /set and without what the conversation was saved with.
    SamplingChoice usual() const;

    // How the model of that path is loaded: the usual, as changed by its profiles.
    LoadSettings load_settings(const std::string& path) const;
    // For the rest of the session, whatever profiles say.
    void override_load(const LoadWish& wish);

    // Looks whether another model or conversation is there, and puts in force what belongs to it.
    // To be called after events. Returns what the user should know; nothing: all is well.
    std::optional<std::string> follow(ChatSession& session);

    // Throw core::Error. In force from the next token on.
    void set(std::string_view name, std::string_view value, ChatSession& session);
    void reset(std::string_view name, ChatSession& session);
    // Of single tokens, in this conversation.
    void set_bias(const std::vector<std::pair<core::TokenId, float>>& biases, ChatSession& session);
    void use_preset(const std::string& name, ChatSession& session);
    // Reads the files again. Model and window keep their size until the next load.
    void reload(ChatSession& session);

  private:
    void apply(ChatSession& session);
    std::optional<std::string> take_profile(const std::string& name, const std::string& path);

    Config config_;
    SamplingLayers layers_;
    LoadSettings usual_load_;
    LoadWish wish_;
    Presets presets_;
    std::string model_;  // whose profile is in force
    std::string model_path_;
    uint32_t conversation_number_ = 0;
    bool preset_chosen_ = false;  // by the user: a profile's gives way
};

std::optional<chat::KvTypeChoice> kv_choice_named(std::string_view name);

}  // namespace app
