// Theme files: the default, errors with their line, colours.
#include "ui/theme.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace ui {
namespace {

std::string error_of(std::string_view toml) {
    try {
        Theme::from_text(toml, "t.toml");
    } catch (const core::Error& error) {
        return error.what();
    }
    return {};
}

TEST(Theme, TheFileOfTheDefaultThemeIsTheDefault) {
    EXPECT_EQ(Theme::from_file(MOXIE_SOURCE_DIR "/themes/terminal.toml"), Theme());
}

TEST(Theme, TheDefaultNeverPaintsABackground) {
    const Theme theme;
    for (size_t i = 0; i < static_cast<size_t>(StyleName::count); ++i)
        EXPECT_EQ(theme[static_cast<StyleName>(i)].background, Color{});
}

TEST(Theme, MonoHasNoColours) {
    const Theme theme = Theme::mono();
    for (size_t i = 0; i < static_cast<size_t>(StyleName::count); ++i) {
        EXPECT_EQ(theme[static_cast<StyleName>(i)].foreground, Color{});
        EXPECT_EQ(theme[static_cast<StyleName>(i)].background, Color{});
    }
}

TEST(Theme, ColoursAreNamedNumberedWrittenOutOrFromThePalette) {
    const Theme theme = Theme::from_text(R"(
        [palette]
        accent = "#7aa2F7"
        [styles]
        error = { fg = "accent", bg = "brightblack", attrs = ["bold", "underline"] }
        toast = { fg = 244 }
        text = { fg = "default" }
    )",
                                         "t.toml");
    EXPECT_EQ(theme[StyleName::error].foreground, Color::rgb(0x7a, 0xa2, 0xf7));
    EXPECT_EQ(theme[StyleName::error].background, Color::indexed(8));
    EXPECT_EQ(theme[StyleName::error].attributes, kBold | kUnderline);
    EXPECT_EQ(theme[StyleName::toast].foreground, Color::indexed(244));
    EXPECT_EQ(theme[StyleName::text].foreground, Color{});
}

// --- contrast: WCAG 2.2, "relative luminance" and "contrast ratio"

struct Rgb {
    double red = 0;
    double green = 0;
    double blue = 0;
};

constexpr Rgb grey(int level) {
    return {level / 255.0, level / 255.0, level / 255.0};
}

// Of xterm's 256 colours above the terminal's own sixteen.
Rgb rgb_of(const Color& color) {
    EXPECT_EQ(color.kind, ColorKind::indexed);
    EXPECT_GE(color.index, 16) << "what it looks like is the terminal's choice";
    if (color.index >= 232) return grey(8 + 10 * (color.index - 232));
    const auto part = [](int step) { return (step == 0 ? 0 : 55 + 40 * step) / 255.0; };
    const int cube = color.index - 16;
    return {part(cube / 36), part(cube / 6 % 6), part(cube % 6)};
}

double luminance(const Rgb& color) {
    const auto linear = [](double part) {
        return part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue);
}

double contrast(const Rgb& one, const Rgb& other) {
    const double a = luminance(one) + 0.05;
    const double b = luminance(other) + 0.05;
    return std::max(a, b) / std::min(a, b);
}

void expect_contrast(const Theme& theme, std::initializer_list<Rgb> backgrounds) {
    for (size_t i = 0; i < static_cast<size_t>(StyleName::count); ++i) {
        const Style& style = theme[static_cast<StyleName>(i)];
        EXPECT_EQ(style.background, Color{}) << "style " << i;
        EXPECT_EQ(style.attributes & kDim, 0) << "style " << i;
        for (const Rgb& background : backgrounds)
            EXPECT_GE(contrast(rgb_of(style.foreground), background), 4.5) << "style " << i;
    }
}

TEST(Theme, TheContrastOfBlackOnWhiteIsThatOfTheStandard) {
    EXPECT_DOUBLE_EQ(contrast(grey(0), grey(255)), 21);
    EXPECT_NEAR(contrast({1, 0, 0}, grey(255)), 3.998, 0.001);
}

TEST(Theme, EveryStyleOfDarkAndLightHasAContrastOfFourAndAHalf) {
    expect_contrast(Theme::dark(), {grey(0), grey(0x30)});
    expect_contrast(Theme::light(), {grey(255), grey(0xee)});
}

TEST(Theme, HighContrastNeitherDimsNorColours) {
    const Theme theme = Theme::high_contrast();
    for (size_t i = 0; i < static_cast<size_t>(StyleName::count); ++i) {
        const Style& style = theme[static_cast<StyleName>(i)];
        EXPECT_EQ(style.foreground, Color{});
        EXPECT_EQ(style.background, Color{});
        EXPECT_EQ(style.attributes & kDim, 0);
    }
    EXPECT_NE(theme[StyleName::error], theme[StyleName::text]);
}

TEST(Theme, ThoseThatAreBuiltInAreKnownByName) {
    for (const char* name : {"terminal", "dark", "light", "high-contrast", "mono"}) {
        EXPECT_EQ(Theme::named(name, ColorWish::always).name(), name);
        EXPECT_THAT(Theme::names(), testing::Contains(name));
        EXPECT_EQ(Theme::file_of(name), "");
    }
}

TEST(Theme, ErrorsNameFileAndLine) {
    EXPECT_THAT(error_of("[styles]\nerror = { fg = \"rde\" }\n"),
                testing::HasSubstr("t.toml:2: unknown colour \"rde\""));
    EXPECT_THAT(error_of("[styles]\n\nerror = { attrs = [\"blink\"] }\n"),
                testing::HasSubstr("t.toml:3: unknown attribute \"blink\""));
    EXPECT_THAT(error_of("[styles]\nerror = { colour = 1 }\n"),
                testing::HasSubstr("t.toml:2: unknown key \"colour\""));
    EXPECT_THAT(error_of("[styles\n"), testing::HasSubstr("t.toml:1: "));
    EXPECT_THAT(error_of("[styles]\nerror = { fg = 256 }\n"), testing::HasSubstr("not a colour"));
}

TEST(Theme, AMissingThemeSaysWhatThereIs) {
    EXPECT_THROW(Theme::named("no-such-theme"), core::Error);
    EXPECT_THROW(Theme::named("/nowhere/x.toml"), core::Error);
    EXPECT_EQ(Theme::named("mono"), Theme::mono());
}

}  // namespace
}  // namespace ui
