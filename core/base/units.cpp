#include "core/base/units.h"

#include <array>
#include <cstdio>
#include <string_view>

namespace core {
namespace {

std::string number(double value, int decimals) {
    std::array<char, 32> text = {};
    std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
    return text.data();
}

}  // namespace

std::string human_bytes(uint64_t bytes) {
    constexpr std::array<std::string_view, 6> kUnits{" B", " kB", " MB", " GB", " TB", " PB"};
    auto value = static_cast<double>(bytes);
    size_t unit = 0;
    // 999.5 is written as 1000, which is the next unit's 1.0.
    while (value >= 999.5 && unit + 1 < kUnits.size()) {
        value /= 1000;
        ++unit;
    }
    return number(value, unit > 0 && value < 9.95 ? 1 : 0) + std::string(kUnits.at(unit));
}

std::string human_seconds(double seconds) {
    if (seconds < 0.0995) return number(seconds * 1e3, 0) + " ms";
    if (seconds < 9.95) return number(seconds, 1) + " s";
    if (seconds < 99.5) return number(seconds, 0) + " s";
    return number(seconds / 60, 0) + " min";
}

std::string with_commas(uint64_t value) {
    std::string digits = std::to_string(value);
    for (size_t at = digits.size(); at > 3; at -= 3)
        digits.insert(at - 3, ",");
    return digits;
}

std::string counted(uint64_t count, std::string_view noun) {
    return with_commas(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

}  // namespace core
