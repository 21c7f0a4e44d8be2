#include "core/engine/sampling_hints.h"

#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>
#include <variant>

namespace core {
namespace {

// Keys as llama.cpp's converter writes them (gguf-py, Keys.General.SAMPLING_*).
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kHints = {{
    {"general.sampling.temp", "temperature"},
    {"general.sampling.top_k", "top_k"},
    {"general.sampling.top_p", "top_p"},
    {"general.sampling.min_p", "min_p"},
    {"general.sampling.penalty_repeat", "repetition_penalty"},
    {"general.sampling.penalty_last_n", "repetition_window"},
}};

// A float of the file is written with as few digits as make that float.
std::string text_of(double value) {
    std::array<char, 32> buffer = {};
    const auto result =
        std::to_chars(buffer.data(), buffer.data() + buffer.size(), static_cast<float>(value));
    return {buffer.data(), result.ptr};
}

}  // namespace

std::map<std::string, std::string> sampling_hints(const WeightFile& file) {
    std::map<std::string, std::string> hints;
    for (const auto& [key, name] : kHints) {
        const MetaValue* hint = file.find_meta(key);
        if (hint == nullptr) continue;
        if (const auto* number = std::get_if<double>(&hint->value)) {
            if (std::isfinite(*number)) hints[std::string(name)] = text_of(*number);
        } else if (const auto* natural = std::get_if<uint64_t>(&hint->value)) {
            hints[std::string(name)] = std::to_string(*natural);
        } else if (const auto* whole = std::get_if<int64_t>(&hint->value)) {
            hints[std::string(name)] = std::to_string(*whole);
        }
    }
    return hints;
}

}  // namespace core
