#include "app/settings/config_keys.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "app/settings/nearest.h"
#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr double kMany = 1 << 30;
constexpr double kAnySeed = 9e18;  // TOML's integers have 63 bits

// What keys without effect in this version wait for.
constexpr std::string_view kSteering = "the panel of parameters";
constexpr std::string_view kInspector = "the token inspector";
constexpr std::string_view kMapping = "packed files that are mapped";
constexpr std::string_view kMarkdown = "markdown";
constexpr std::string_view kMouse = "the mouse";
constexpr std::string_view kPlain = "plain mode";
constexpr std::string_view kWidths = "asking the terminal for its widths";
constexpr std::string_view kScreen = "more work on the screen";
constexpr std::string_view kServer = "the server";

constexpr auto kBoolean = ConfigType::boolean;
constexpr auto kInteger = ConfigType::integer;
constexpr auto kNumber = ConfigType::number;
constexpr auto kText = ConfigType::text;
constexpr auto kChoice = ConfigType::choice;
constexpr auto kTexts = ConfigType::texts;

constexpr std::array kKeys = {
    ConfigKey{"", "version", kInteger, "1", 1, 1, {}, "of this file's form"},
    ConfigKey{"", "startup", kChoice, "last", 0, 0, "last|new|list", "what moxie opens"},

    ConfigKey{"model", "default", kText, "", 0, 0, {}, "name or path; empty = the bundled model"},
    ConfigKey{"model", "threads", kInteger, "0", 0, 1024, {}, "0 = physical cores allowed"},
    ConfigKey{"model", "ctx", kInteger, "8192", 0, kMany, {}, "tokens of context"},
    ConfigKey{"model", "kv_type", kChoice, "f16", 0, 0, "f32|f16|q8", "type of the KV cache"},
    ConfigKey{"model", "load", kChoice, "auto", 0, 0, "auto|pack|mmap|mlock",
              "how weights come into memory; packed, whatever it says", kMapping},

    ConfigKey{"models", "dirs", kTexts, "", 0, 0, {}, "folders with models, searched first"},
    ConfigKey{"models", "scan", kTexts, "hf,llama.cpp,lmstudio,ollama", 0, 0,
              "hf|llama.cpp|lmstudio|ollama", "whose folders are searched too"},
    ConfigKey{"models", "scan_depth", kInteger, "4", 1, 32, {}, "levels of folders below dirs"},

    ConfigKey{"sampling", "temperature", kNumber, "0.8", 0, 5, {}, "0 = the likeliest token"},
    ConfigKey{"sampling", "top_k", kInteger, "40", 0, kMany, {}, "only the k likeliest; 0 = off"},
    ConfigKey{"sampling", "top_p", kNumber, "0.95", 0, 1, {}, "the likeliest that sum up to p"},
    ConfigKey{"sampling", "min_p", kNumber, "0.05", 0, 1, {}, "at least p times the likeliest"},
    ConfigKey{"sampling", "repetition_penalty", kNumber, "1", 0.1, 10, {}, "1 = off"},
    ConfigKey{"sampling",
              "repetition_window",
              kInteger,
              "64",
              -1,
              kMany,
              {},
              "tokens the penalty looks back; -1 = all"},
    ConfigKey{"sampling", "frequency_penalty", kNumber, "0", -10, 10, {}, "0 = off"},
    ConfigKey{"sampling", "presence_penalty", kNumber, "0", -10, 10, {}, "0 = off"},
    ConfigKey{"sampling", "seed", kInteger, "-1", -1, kAnySeed, {}, "-1 = another each time"},
    ConfigKey{"sampling",
              "max_tokens",
              kInteger,
              "-1",
              -1,
              kMany,
              {},
              "longest answer; -1 = until the context is full"},
    ConfigKey{"sampling",
              "order",
              kTexts,
              "logit_bias,penalties,dry,top_n_sigma,top_k,typical_p,top_p,min_p,xtc,temperature",
              0,
              0,
              {},
              "of the stages",
              kSteering},

    ConfigKey{"context", "policy", kChoice, "stop", 0, 0, "stop|shift|compact",
              "when a prompt does not fit"},
    ConfigKey{"context", "reserve", kInteger, "1024", 0, kMany, {}, "tokens kept for the answer"},
    ConfigKey{"context", "warn", kNumber, "0.8", 0, 1, {}, "share from which the status warns"},

    ConfigKey{"kv", "persist", kBoolean, "true", 0, 0, {}, "keep what was read on the disk"},
    ConfigKey{"kv", "max_gb", kNumber, "20", 0, 1e6, {}, "most that this may take there"},
    ConfigKey{"kv",
              "min_tokens",
              kInteger,
              "256",
              0,
              kMany,
              {},
              "what is shorter is not written; /kv save does"},
    ConfigKey{"kv", "save_on", kChoice, "turn", 0, 0, "turn|exit|never",
              "when it is written: with each answer, as far as memory has it at the end, never"},

    ConfigKey{"chat", "system", kText, "", 0, 0, {}, "instructions for new conversations"},
    ConfigKey{"chat", "autosave", kBoolean, "true", 0, 0, {}, "save conversations"},
    ConfigKey{"chat", "title", kChoice, "first-words", 0, 0, "first-words|model-idle|none",
              "where titles come from; model-idle asks the model after the first answer"},
    ConfigKey{"chat", "thinking", kChoice, "fold", 0, 0, "fold|show|hide",
              "reasoning in front of an answer"},
    ConfigKey{"chat", "queue", kBoolean, "true", 0, 0, {}, "Enter while it answers queues"},

    ConfigKey{"ui", "theme", kText, "terminal", 0, 0, {}, "name or path of a theme"},
    ConfigKey{"ui", "mouse", kChoice, "off", 0, 0, "off|wheel|full", "mouse reports", kMouse},
    ConfigKey{"ui", "wheel", kChoice, "burst", 0, 0, "burst|off", "arrow bursts scroll"},
    ConfigKey{"ui", "panel_width", kInteger, "38", 32, 45, {}, "columns of panels"},
    ConfigKey{"ui", "fps", kInteger, "30", 1, 120, {}, "most pictures a second"},
    ConfigKey{"ui", "markdown", kBoolean, "true", 0, 0, {}, "render it", kMarkdown},
    ConfigKey{"ui", "code_wrap", kBoolean, "false", 0, 0, {}, "wrap code", kMarkdown},
    ConfigKey{"ui", "bell", kChoice, "done-unfocused", 0, 0, "off|done|done-unfocused",
              "the end of an answer rings; unfocused = where the terminal tells that nobody looks"},
    ConfigKey{"ui", "confirm_quit", kChoice, "busy", 0, 0, "busy|always|never",
              "C-d asks once more; busy = while messages wait"},

    ConfigKey{"terminal", "color", kChoice, "auto", 0, 0, "auto|always|never|16|256|direct",
              "never = no colours; always = even with NO_COLOR"},
    ConfigKey{"terminal", "sync", kChoice, "auto", 0, 0, "auto|off", "synchronized updates"},
    ConfigKey{"terminal", "hyperlinks", kChoice, "auto", 0, 0, "auto|off", "OSC 8", kMarkdown},
    ConfigKey{"terminal", "esc_ms", kInteger, "30", 0, 1000, {}, "milliseconds after Escape"},
    ConfigKey{"terminal", "clipboard", kChoice, "auto", 0, 0, "auto|osc52|tmux|command|off",
              "how to copy; command = wl-copy or xclip"},
    ConfigKey{"terminal",
              "paste_lines_confirm",
              kInteger,
              "2000",
              0,
              kMany,
              {},
              "lines; larger pastes are asked about"},

    ConfigKey{
        "text", "ambiguous", kInteger, "1", 1, 2, {}, "columns of ambiguous characters", kWidths},
    ConfigKey{"text", "emoji", kChoice, "auto", 0, 0, "auto|cluster|sum|safe", "their width",
              kWidths},
    ConfigKey{"text", "bidi", kChoice, "terminal", 0, 0, "terminal|fribidi", "who reorders",
              kScreen},

    ConfigKey{"access", "plain", kBoolean, "false", 0, 0, {}, "without full screen", kPlain},
    ConfigKey{"access", "announce", kChoice, "turn", 0, 0, "turn|sentence", "what is announced",
              kPlain},
    ConfigKey{"access", "no_motion", kBoolean, "false", 0, 0, {}, "nothing moves by itself"},

    ConfigKey{"input", "mode", kChoice, "inputrc", 0, 0, "inputrc|emacs|vi", "of the line editor"},
    ConfigKey{"input", "history", kInteger, "5000", 0, kMany, {}, "prompts kept; 0 = none"},
    ConfigKey{"input",
              "history_ignore_space",
              kBoolean,
              "true",
              0,
              0,
              {},
              "what begins with a space is not kept"},

    ConfigKey{"server", "listen", kText, "127.0.0.1:8080", 0, 0, {}, "address", kServer},
    ConfigKey{"server", "api_key_env", kText, "", 0, 0, {}, "variable with the key", kServer},
    ConfigKey{
        "server", "share_ui_conversations", kBoolean, "false", 0, 0, {}, "share pages", kServer},

    ConfigKey{"log", "level", kChoice, "info", 0, 0, "debug|info|warning|error", "what is logged"},
    ConfigKey{"log", "format", kChoice, "text", 0, 0, "text|json", "json = an object a line"},
    ConfigKey{"log", "max_mb", kInteger, "10", 1, 100000, {}, "then the file is rotated"},
    ConfigKey{"log", "files", kInteger, "3", 1, 1000, {}, "old files kept"},
    ConfigKey{"log", "prompts", kBoolean, "false", 0, 0, {}, "log texts too"},

    ConfigKey{"privacy",
              "save_tokens",
              kBoolean,
              "true",
              0,
              0,
              {},
              "ids of answers; without them [kv] keeps nothing, and an old chat is read again"},
    ConfigKey{"privacy", "save_logprobs", kBoolean, "false", 0, 0, {}, "alternatives", kInspector},
    ConfigKey{"privacy", "temporary", kBoolean, "false", 0, 0, {}, "keep nothing of chats"},
};

constexpr std::array kProfileKeys = {
    ConfigKey{"model_profile", "ctx", kInteger, "8192", 0, kMany, {}, "as model.ctx"},
    ConfigKey{"model_profile", "kv_type", kChoice, "f16", 0, 0, "f32|f16|q8", "as model.kv_type"},
    ConfigKey{"model_profile", "preset", kText, "", 0, 0, {}, "preset for this model"},
    ConfigKey{"model_profile", "template", kText, "", 0, 0, {}, "chat format"},
};

std::string number_text(double value) {
    std::array<char, 32> buffer = {};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

std::vector<std::string> parts_of(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const size_t end = std::min(text.find(separator), text.size());
        parts.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

std::string list_of(std::string_view choices) {
    const std::vector<std::string> words = parts_of(choices, '|');
    std::string text;
    for (size_t i = 0; i < words.size(); ++i)
        text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
    return text;
}

std::string what_it_must_be(const ConfigKey& key) {
    const bool open = key.maximum >= kMany;
    if (key.minimum == key.maximum && key.type == ConfigType::integer)
        return number_text(key.minimum);
    std::string range =
        open ? "from " + number_text(key.minimum)
             : "between " + number_text(key.minimum) + " and " + number_text(key.maximum);
    switch (key.type) {
        case ConfigType::boolean: return "true or false";
        case ConfigType::integer: return open ? "a whole number " + range : range;
        case ConfigType::number: return range;
        case ConfigType::text: return "a text";
        case ConfigType::choice: return list_of(key.choices);
        case ConfigType::texts:
            return key.choices.empty() ? "a list of texts" : "a list of " + list_of(key.choices);
    }
    return {};
}

[[noreturn]] void refuse(const ConfigKey& key, std::string_view seen) {
    throw core::Error(core::ErrorKind::config, full_name(key), what_is_wrong(key, seen));
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
    Number value = {};
    const auto end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
    return value;
}

std::optional<bool> parse_boolean(std::string_view text) {
    for (const std::string_view yes : {"true", "1", "on", "yes"})
        if (text == yes) return true;
    for (const std::string_view no : {"false", "0", "off", "no"})
        if (text == no) return false;
    return std::nullopt;
}

std::optional<ConfigValue> parse(const ConfigKey& key, std::string_view text) {
    switch (key.type) {
        case ConfigType::boolean: return parse_boolean(text);
        case ConfigType::integer: return parse_number<int64_t>(text);
        case ConfigType::number: return parse_number<double>(text);
        case ConfigType::text:
        case ConfigType::choice: return std::string(text);
        case ConfigType::texts: return parts_of(text, ',');
    }
    return std::nullopt;
}

bool in_range(const ConfigKey& key, double value) {
    return std::isfinite(value) && value >= key.minimum && value <= key.maximum;
}

bool is_one_of(std::string_view choices, std::string_view word) {
    const std::vector<std::string> words = parts_of(choices, '|');
    return choices.empty() || std::ranges::find(words, word) != words.end();
}

// What of a value does not fit its key, as text; nothing: it fits.
struct Misfit {
    const ConfigKey& key;

    std::optional<std::string> operator()(bool value) const {
        if (key.type == ConfigType::boolean) return std::nullopt;
        return value ? "true" : "false";
    }
    std::optional<std::string> operator()(int64_t value) const {
        if (key.type == ConfigType::integer && in_range(key, static_cast<double>(value)))
            return std::nullopt;
        return std::to_string(value);
    }
    std::optional<std::string> operator()(double value) const {
        if (key.type == ConfigType::number && in_range(key, value)) return std::nullopt;
        return number_text(value);
    }
    std::optional<std::string> operator()(const std::string& value) const {
        if (key.type == ConfigType::text) return std::nullopt;
        if (key.type == ConfigType::choice && is_one_of(key.choices, value)) return std::nullopt;
        return "\"" + core::sanitize(value) + "\"";
    }
    std::optional<std::string> operator()(const std::vector<std::string>& value) const {
        if (key.type != ConfigType::texts) return toml_text(value);
        for (const std::string& word : value)
            if (!is_one_of(key.choices, word)) return "\"" + core::sanitize(word) + "\"";
        return std::nullopt;
    }
};

std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (byte < 0x20 || byte == 0x7f) {
            constexpr std::string_view kDigits = "0123456789ABCDEF";
            out += "\\u00";
            out += kDigits[byte >> 4U];
            out += kDigits[byte & 15U];
        } else {
            out += c;
        }
    }
    return out + "\"";
}

struct ToToml {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(int64_t value) const { return std::to_string(value); }
    std::string operator()(double value) const {
        const std::string text = number_text(value);
        const bool whole = text.find_first_of(".en") == std::string::npos;
        return whole ? text + ".0" : text;
    }
    std::string operator()(const std::string& value) const { return toml_string(value); }
    std::string operator()(const std::vector<std::string>& value) const {
        std::string text;
        for (const std::string& word : value)
            text += (text.empty() ? "" : ", ") + toml_string(word);
        return "[" + text + "]";
    }
};

}  // namespace

std::span<const ConfigKey> config_keys() {
    return kKeys;
}

std::span<const ConfigKey> profile_keys() {
    return kProfileKeys;
}

const ConfigKey* find_config_key(std::string_view section, std::string_view name) {
    const auto* key = std::ranges::find_if(
        kKeys, [&](const ConfigKey& k) { return k.section == section && k.name == name; });
    return key == kKeys.end() ? nullptr : key;
}

const ConfigKey* find_profile_key(std::string_view name) {
    const auto* key = std::ranges::find(kProfileKeys, name, &ConfigKey::name);
    return key == kProfileKeys.end() ? find_config_key("sampling", name) : key;
}

bool is_config_section(std::string_view section) {
    return std::ranges::find(kKeys, section, &ConfigKey::section) != kKeys.end();
}

const ConfigKey* similar_config_key(std::string_view section, std::string_view name) {
    std::vector<std::string_view> names;
    for (const ConfigKey& key : kKeys)
        if (key.section == section) names.push_back(key.name);
    const auto meant = similar(name, names);
    return meant ? find_config_key(section, *meant) : nullptr;
}

std::optional<std::string_view> similar_config_section(std::string_view section) {
    std::vector<std::string_view> names;
    for (const ConfigKey& key : kKeys)
        if (!key.section.empty() && (names.empty() || names.back() != key.section))
            names.push_back(key.section);
    return similar(section, names);
}

std::string full_name(const ConfigKey& key) {
    const std::string name(key.name);
    return key.section.empty() ? name : std::string(key.section) + "." + name;
}

std::string environment_name(const ConfigKey& key) {
    std::string name = "MOXIE_" + full_name(key);
    std::ranges::transform(name, name.begin(), [](char c) {
        if (c == '.') return '_';
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    });
    return name;
}

ConfigValue built_in(const ConfigKey& key) {
    return value_from_text(key, key.fallback);
}

ConfigValue value_from_text(const ConfigKey& key, std::string_view text) {
    std::optional<ConfigValue> value = parse(key, text);
    if (!value) refuse(key, core::sanitize(text));
    return checked_value(key, *std::move(value));
}

ConfigValue checked_value(const ConfigKey& key, ConfigValue value) {
    if (const auto* whole = std::get_if<int64_t>(&value);
        whole != nullptr && key.type == ConfigType::number)
        value = static_cast<double>(*whole);
    if (const auto seen = std::visit(Misfit{key}, value)) refuse(key, *seen);
    return value;
}

std::string what_is_wrong(const ConfigKey& key, std::string_view seen) {
    return "is " + std::string(seen) + ", must be " + what_it_must_be(key);
}

std::string toml_text(const ConfigValue& value) {
    return std::visit(ToToml{}, value);
}

}  // namespace app
