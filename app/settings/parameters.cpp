#include "app/settings/parameters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <type_traits>
#include <vector>

#include "app/settings/nearest.h"
#include "core/base/error.h"

namespace app {
namespace {

using chat::Sampling;

constexpr double kManyTokens = 1 << 30;
constexpr double kAnySeed = static_cast<double>(std::numeric_limits<uint64_t>::max());

constexpr std::array kParameters = {
    Parameter{"temperature", "T", &Sampling::temperature, 0, 5, "0 = always the likeliest token"},
    Parameter{"top_k", "k", &Sampling::top_k, 0, kManyTokens, "only the k likeliest; 0 = off"},
    Parameter{"top_p", "p", &Sampling::top_p, 0, 1, "the likeliest that sum up to p; 1 = off"},
    Parameter{"min_p", "m", &Sampling::min_p, 0, 1, "at least p times the likeliest; 0 = off"},
    Parameter{"repetition_penalty", "rep", &Sampling::repetition_penalty, 0.1, 10, "1 = off"},
    Parameter{"repetition_window", "win", &Sampling::repetition_window, -1, kManyTokens,
              "tokens the penalty looks back; -1 = all"},
    Parameter{"frequency_penalty", "freq", &Sampling::frequency_penalty, -10, 10, "0 = off"},
    Parameter{"presence_penalty", "pres", &Sampling::presence_penalty, -10, 10, "0 = off"},
    Parameter{"seed", "seed", &Sampling::seed, 0, kAnySeed, "a number, or random"},
    Parameter{"grok1_order", "grok1", &Sampling::grok1_order, 0, 1,
              "temperature first, then the nucleus"},
};

std::string format_float(double value) {
    std::array<char, 32> buffer = {};
    const auto result =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::round(value * 1e4) / 1e4);
    return {buffer.data(), result.ptr};
}

[[noreturn]] void refuse(const Parameter& parameter, std::string_view text) {
    std::string range = "use a number between " + format_float(parameter.minimum) + " and " +
                        format_float(parameter.maximum);
    if (parameter.maximum >= kManyTokens)
        range = "use a whole number from " + format_float(parameter.minimum);
    if (std::holds_alternative<bool Sampling::*>(parameter.field)) range = "use on or off";
    throw core::Error(core::ErrorKind::usage, std::string(parameter.name),
                      text.empty() ? "no value" : std::string(text) + " is not possible", range);
}

template <typename Number>
Number parse_number(const Parameter& parameter, std::string_view text) {
    Number value = {};
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc{} || result.ptr != text.data() + text.size())
        refuse(parameter, text);
    if constexpr (std::is_floating_point_v<Number>)
        if (!std::isfinite(value)) refuse(parameter, text);
    if (static_cast<double>(value) < parameter.minimum ||
        static_cast<double>(value) > parameter.maximum)
        refuse(parameter, text);
    return value;
}

// What a parameter's text means for a field of one type.
struct FieldWriter {
    Sampling& sampling;
    const Parameter& parameter;
    std::string_view text;

    template <typename Number>
    void operator()(Number Sampling::*field) const {
        sampling.*field = parse_number<Number>(parameter, text);
    }
    void operator()(bool Sampling::*field) const {
        const bool on = text == "on" || text == "true" || text == "1";
        if (!on && text != "off" && text != "false" && text != "0") refuse(parameter, text);
        sampling.*field = on;
    }
};

bool same(const Sampling& a, const Sampling& b, const Parameter& parameter) {
    return std::visit([&](auto field) { return a.*field == b.*field; }, parameter.field);
}

}  // namespace

std::span<const Parameter> parameters() {
    return kParameters;
}

const Parameter& parameter_named(std::string_view name) {
    for (const Parameter& parameter : kParameters)
        if (parameter.name == name || parameter.short_name == name) return parameter;
    std::vector<std::string_view> names;
    std::ranges::transform(kParameters, std::back_inserter(names), &Parameter::name);
    const auto meant = similar(name, names);
    throw core::Error(
        core::ErrorKind::usage, std::string(name), "no such parameter",
        meant ? "did you mean " + std::string(*meant) : "/show params lists those that there are");
}

void set_parameter(Sampling& sampling, const Parameter& parameter, std::string_view text) {
    const bool adds = text.starts_with("+=");
    if (adds || text.starts_with("-=")) {
        const auto* field = std::get_if<float Sampling::*>(&parameter.field);
        if (field == nullptr) refuse(parameter, text);
        Parameter step = parameter;
        step.minimum = 0;
        step.maximum = parameter.maximum - parameter.minimum;
        const float delta = parse_number<float>(step, text.substr(2));
        const float wanted = sampling.**field + (adds ? delta : -delta);
        set_parameter(sampling, parameter, format_float(static_cast<double>(wanted)));
        return;
    }
    std::visit(FieldWriter{sampling, parameter, text}, parameter.field);
}

std::string value_of(const Sampling& sampling, const Parameter& parameter) {
    return std::visit(
        [&sampling](auto field) -> std::string {
            using Value = std::remove_cvref_t<decltype(sampling.*field)>;
            if constexpr (std::is_same_v<Value, bool>)
                return sampling.*field ? "on" : "off";
            else if constexpr (std::is_same_v<Value, float>)
                return format_float(static_cast<double>(sampling.*field));
            else
                return std::to_string(sampling.*field);
        },
        parameter.field);
}

std::string bias_value_text(float bias) {
    if (std::isinf(bias)) return bias < 0 ? "ban" : "always";
    return (bias > 0 ? "+" : "") + format_float(static_cast<double>(bias));
}

std::string bias_text(const Sampling& sampling) {
    std::string text;
    for (const auto& [id, bias] : sampling.logit_bias)
        text += (text.empty() ? "#" : ", #") + std::to_string(id) + " " + bias_value_text(bias);
    return text;
}

std::string differences(const Sampling& base, const Sampling& now) {
    std::string text;
    for (const Parameter& parameter : kParameters) {
        if (parameter.name == "seed" || same(base, now, parameter)) continue;
        std::string value = value_of(now, parameter);
        if (value.starts_with("0.")) value.erase(0, 1);
        text += (text.empty() ? "" : " ") + std::string(parameter.short_name) + value;
    }
    return text;
}

std::string change_label(const Sampling& before, const Sampling& after) {
    std::string text;
    for (const Parameter& parameter : kParameters) {
        if (same(before, after, parameter)) continue;
        text += (text.empty() ? "" : " ") + std::string(parameter.short_name) + " " +
                value_of(before, parameter) + "→" + value_of(after, parameter);
    }
    if (before.logit_bias != after.logit_bias) text += text.empty() ? "bias" : " bias";
    return text;
}

}  // namespace app
