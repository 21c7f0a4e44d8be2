// The sampling parameters and who set each: built-in < what the model file recommends < config <
// profile of the model < preset < conversation < flag < /set. Values are texts by name, as /set
// takes them; `seed` may be random and max_tokens is one of them, though the protocol keeps it
// elsewhere.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "app/settings/config.h"
#include "core/chat/protocol.h"

namespace app {

enum class SamplingSource : uint8_t {
    built_in,
    file,
    config,
    profile,
    preset,
    conversation,
    flag,
    live,
};
inline constexpr size_t kSamplingSources = 8;

// The word for it where parameters are shown: "default", "gguf", "config", "model", "preset",
// "chat", "cli", "set".
std::string_view source_name(SamplingSource source);

// Biases of single tokens, which are of one model and so of one conversation: "5:-1.5,9:-inf".
inline constexpr std::string_view kLogitBias = "logit_bias";
std::string bias_layer_text(const chat::Sampling& sampling);

using SamplingValues = std::map<std::string, std::string, std::less<>>;

// What holds for an answer.
struct SamplingChoice {
    chat::Sampling sampling = {};
    bool fixed_seed = false;
    uint32_t max_tokens = 0;  // 0 = until the context is full
};

// Whether a value is possible for a parameter of that name. Throws core::Error(usage).
void check_sampling_value(std::string_view name, std::string_view value);

// What [sampling] of files and variables says.
SamplingValues sampling_of_config(const Config& config);
// Of what a model file recommends that which is possible; the rest is told in `trouble`.
SamplingValues sampling_of_hints(const std::map<std::string, std::string>& hints,
                                 std::string& trouble);
// What flags say.
SamplingValues sampling_of_flags(const Config& config);
// All parameters of a set; max_tokens only where there is a limit.
SamplingValues sampling_values(const SamplingChoice& choice);

class SamplingLayers {
  public:
    // Replaces a layer.
    void put(SamplingSource source, SamplingValues values);
    // One value of the layer; throws core::Error(usage).
    void set(SamplingSource source, std::string_view name, std::string_view value);
    void clear(SamplingSource source) { put(source, {}); }
    // Takes what a name was set to by /set and by the conversation; empty name: all of them.
    void reset(std::string_view name);

    SamplingChoice choice() const;
    // The same without a layer.
    SamplingChoice choice_without(SamplingSource source) const;
    SamplingSource source_of(std::string_view name) const;
    const SamplingValues& layer(SamplingSource source) const {
        return layers_.at(static_cast<size_t>(source));
    }

  private:
    std::array<SamplingValues, kSamplingSources> layers_;
};

}  // namespace app
