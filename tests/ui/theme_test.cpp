// Theme files: the default, errors with their line, colours.
#include "ui/theme.h"

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
