// How a cell looks: colours and attributes, independent of any terminal.
#pragma once

#include <cstdint>

namespace ui {

enum class ColorKind : uint8_t { terminal, indexed, rgb };

struct Color {
    ColorKind kind = ColorKind::terminal;  // the terminal's own default
    uint8_t index = 0;                     // of the 256 colours; 0..15 are the terminal's own
    uint8_t red = 0;
    uint8_t green = 0;
    uint8_t blue = 0;

    static constexpr Color indexed(uint8_t index) {
        return {.kind = ColorKind::indexed, .index = index};
    }
    static constexpr Color rgb(uint8_t red, uint8_t green, uint8_t blue) {
        return {.kind = ColorKind::rgb, .red = red, .green = green, .blue = blue};
    }
    friend bool operator==(const Color&, const Color&) = default;
};

// Bits of Style::attributes.
inline constexpr uint8_t kBold = 1U << 0U;
inline constexpr uint8_t kDim = 1U << 1U;
inline constexpr uint8_t kItalic = 1U << 2U;
inline constexpr uint8_t kUnderline = 1U << 3U;
inline constexpr uint8_t kReverse = 1U << 4U;

struct Style {
    Color foreground = {};
    Color background = {};
    uint8_t attributes = 0;

    friend bool operator==(const Style&, const Style&) = default;
};

}  // namespace ui
