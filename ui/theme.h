// What styles look like: a theme is a map from names to styles. Code asks for "error", never for
// red. Themes are TOML files (docs/themes.md); some are built in, of which the default equals
// themes/terminal.toml.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ui/style.h"

namespace ui {

// The names of styles in a theme file, in this order (kStyleNames in theme.cpp).
enum class StyleName : uint8_t {
    text,
    title,
    status,
    status_warn,
    status_error,
    role_user,
    role_assistant,
    role_system,
    thinking,
    outside_context,
    notice,
    error,
    mark,
    queue,
    toast,
    progress,
    prompt,
    border,
    search_hit,
    count,
};

// `automatic`: colours unless NO_COLOR says no; the others hold whatever it says.
enum class ColorWish : uint8_t { automatic, always, never };

class Theme {
  public:
    // The terminal's own sixteen colours on its own background: right on light and dark.
    Theme();
    // Attributes only, for NO_COLOR.
    static Theme mono();
    // For dark and for light backgrounds, which they do not paint: every style has a contrast of
    // at least 4.5 to 1 on all that are usual (WCAG 2, 1.4.3).
    static Theme dark();
    static Theme light();
    // The terminal's own foreground, never dimmed.
    static Theme high_contrast();
    // A theme file. Throws core::Error(config) with file and line.
    static Theme from_file(const std::string& path);
    static Theme from_text(std::string_view toml, const std::string& name);
    // What the user asked for: a name that is built in, a path, or the name of a theme in the
    // user's or the system's themes folder; "" is the default. NO_COLOR, when not empty, makes
    // every theme mono.
    static Theme named(const std::string& name, ColorWish colors = ColorWish::automatic);

    // Those that are built in, and those of the user's and the system's folders.
    static std::vector<std::string> names();
    // The file that named() reads for a name; empty: it is built in, or there is none.
    static std::string file_of(const std::string& name);

    const Style& operator[](StyleName name) const { return styles_.at(static_cast<size_t>(name)); }
    const std::string& name() const { return name_; }

    friend bool operator==(const Theme&, const Theme&) = default;

  private:
    Theme recoloured(std::string_view name, const struct Palette& palette) const;

    std::string name_ = "terminal";
    std::array<Style, static_cast<size_t>(StyleName::count)> styles_ = {};
};

}  // namespace ui
