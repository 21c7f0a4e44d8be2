#include "ui/theme.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/toml.h"

namespace ui {

// What takes the place of the default theme's colours, and of its dim text.
struct Palette {
    Color text;
    Color quiet;
    Color accent;  // cyan
    Color good;    // green
    Color warn;    // yellow
    Color bad;     // red
};

namespace {

constexpr std::array<std::string_view, static_cast<size_t>(StyleName::count)> kStyleNames = {
    "text",      "title",          "status",      "status_warn", "status_error",
    "role_user", "role_assistant", "role_system", "thinking",    "outside_context",
    "notice",    "error",          "mark",        "queue",       "toast",
    "progress",  "prompt",         "border",      "search_hit"};

constexpr std::array<std::string_view, 8> kColorNames = {"black", "red",     "green", "yellow",
                                                         "blue",  "magenta", "cyan",  "white"};

struct NamedAttribute {
    std::string_view name;
    uint8_t bit;
};

constexpr std::array kAttributes = {
    NamedAttribute{"bold", kBold},       NamedAttribute{"dim", kDim},
    NamedAttribute{"italic", kItalic},   NamedAttribute{"underline", kUnderline},
    NamedAttribute{"reverse", kReverse},
};

// Colours above 15, which terminals leave as they are.
constexpr Palette kOnDark = {.text = Color::indexed(252),
                             .quiet = Color::indexed(248),
                             .accent = Color::indexed(117),
                             .good = Color::indexed(114),
                             .warn = Color::indexed(221),
                             .bad = Color::indexed(210)};
constexpr Palette kOnLight = {.text = Color::indexed(235),
                              .quiet = Color::indexed(240),
                              .accent = Color::indexed(25),
                              .good = Color::indexed(22),
                              .warn = Color::indexed(94),
                              .bad = Color::indexed(124)};

struct BuiltIn {
    std::string_view name;
    Theme (*make)();
};

constexpr std::array kBuiltIns = {
    BuiltIn{"terminal", [] { return Theme(); }},
    BuiltIn{"dark", Theme::dark},
    BuiltIn{"light", Theme::light},
    BuiltIn{"high-contrast", Theme::high_contrast},
    BuiltIn{"mono", Theme::mono},
};

const BuiltIn* find_built_in(std::string_view name) {
    const auto* found = std::ranges::find(kBuiltIns, name, &BuiltIn::name);
    return found == kBuiltIns.end() ? nullptr : found;
}

[[noreturn]] void fail(const std::string& name, const toml::node& node, const std::string& problem,
                       const std::string& advice) {
    throw core::Error(core::ErrorKind::config,
                      name + ":" + std::to_string(node.source().begin.line), problem, advice);
}

std::optional<Color> color_by_name(std::string_view text) {
    if (text == "default") return Color{};
    if (text.size() == 7 && text.front() == '#') {
        uint32_t value = 0;
        for (const char c : text.substr(1)) {
            const auto digit = std::string_view("0123456789abcdef").find(static_cast<char>(c | 32));
            if (digit == std::string_view::npos) return std::nullopt;
            value = value * 16 + static_cast<uint32_t>(digit);
        }
        return Color::rgb(static_cast<uint8_t>(value >> 16U), static_cast<uint8_t>(value >> 8U),
                          static_cast<uint8_t>(value));
    }
    const bool bright = text.starts_with("bright");
    if (bright) text.remove_prefix(6);
    for (size_t i = 0; i < kColorNames.size(); ++i)
        if (kColorNames.at(i) == text)
            return Color::indexed(static_cast<uint8_t>(i + (bright ? 8 : 0)));
    return std::nullopt;
}

class ThemeReader {
  public:
    ThemeReader(const toml::table& file, const std::string& name) : file_(file), name_(name) {}

    Style read_style(const toml::node& node, std::string_view style_name) const {
        const toml::table* table = node.as_table();
        if (table == nullptr)
            fail(name_, node, "style " + std::string(style_name) + " is not a table",
                 R"(write { fg = "red", attrs = ["bold"] })");
        Style style;
        for (const auto& [key, value] : *table) {
            if (key == "fg") {
                style.foreground = read_color(value, true);
            } else if (key == "bg") {
                style.background = read_color(value, true);
            } else if (key == "attrs") {
                style.attributes = read_attributes(value);
            } else {
                fail(name_, value, "unknown key \"" + std::string(key.str()) + "\"",
                     "a style has fg, bg and attrs");
            }
        }
        return style;
    }

  private:
    Color read_color(const toml::node& node, bool may_name_palette) const {
        if (const auto index = node.value_exact<int64_t>(); index && *index >= 0 && *index <= 255)
            return Color::indexed(static_cast<uint8_t>(*index));
        if (const auto text = node.value_exact<std::string_view>()) {
            const toml::node* entry = may_name_palette ? file_["palette"][*text].node() : nullptr;
            if (entry != nullptr) return read_color(*entry, false);
            if (const auto color = color_by_name(*text)) return *color;
            fail(name_, node, "unknown colour \"" + std::string(*text) + "\"",
                 "use a palette entry, a name, 0-255 or #rrggbb");
        }
        fail(name_, node, "not a colour", "use a palette entry, a name, 0-255 or #rrggbb");
    }

    uint8_t read_attributes(const toml::node& node) const {
        const toml::array* list = node.as_array();
        if (list == nullptr) fail(name_, node, "attrs is not a list", R"(write ["bold"])");
        uint8_t bits = 0;
        for (const toml::node& item : *list)
            bits |= read_attribute(item);
        return bits;
    }

    uint8_t read_attribute(const toml::node& node) const {
        const auto text = node.value_exact<std::string_view>().value_or("");
        for (const NamedAttribute& attribute : kAttributes)
            if (attribute.name == text) return attribute.bit;
        fail(name_, node, "unknown attribute \"" + std::string(text) + "\"",
             "use bold, dim, italic, underline or reverse");
    }

    const toml::table& file_;
    const std::string& name_;
};

std::vector<std::filesystem::path> theme_folders() {
    std::vector<std::filesystem::path> folders;
    // Read once at start, before any thread could change the environment.
    const char* config = std::getenv("XDG_CONFIG_HOME");  // NOLINT(concurrency-mt-unsafe)
    const char* home = std::getenv("HOME");               // NOLINT(concurrency-mt-unsafe)
    if (config != nullptr && *config == '/') {
        folders.emplace_back(std::filesystem::path(config) / "moxie/themes");
    } else if (home != nullptr) {
        folders.emplace_back(std::filesystem::path(home) / ".config/moxie/themes");
    }
    folders.emplace_back("/usr/local/share/moxie/themes");
    folders.emplace_back("/usr/share/moxie/themes");
    return folders;
}

bool color_is_unwanted() {
    const char* value = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe): as above
    return value != nullptr && *value != '\0';
}

}  // namespace

Theme::Theme() {
    const auto set = [this](StyleName name, Style style) {
        styles_.at(static_cast<size_t>(name)) = style;
    };
    constexpr Color kCyan = Color::indexed(6);
    constexpr Color kRed = Color::indexed(1);
    constexpr Color kYellow = Color::indexed(3);
    constexpr Color kGreen = Color::indexed(2);
    set(StyleName::title, {.attributes = kBold});
    set(StyleName::status, {.attributes = kDim});
    set(StyleName::status_warn, {.foreground = kYellow});
    set(StyleName::status_error, {.foreground = kRed, .attributes = kBold});
    set(StyleName::role_user, {.foreground = kCyan, .attributes = kBold});
    set(StyleName::role_assistant, {.foreground = kGreen, .attributes = kBold});
    set(StyleName::role_system, {.attributes = kDim});
    set(StyleName::thinking, {.attributes = kDim | kItalic});
    set(StyleName::outside_context, {.attributes = kDim});
    set(StyleName::notice, {.attributes = kDim});
    set(StyleName::error, {.foreground = kRed});
    set(StyleName::mark, {.foreground = kYellow});
    set(StyleName::queue, {.attributes = kDim});
    set(StyleName::toast, {.foreground = kCyan});
    set(StyleName::progress, {.foreground = kCyan});
    set(StyleName::prompt, {.foreground = kCyan, .attributes = kBold});
    set(StyleName::border, {.attributes = kDim});
    set(StyleName::search_hit, {.foreground = kYellow, .attributes = kReverse});
}

Theme Theme::mono() {
    Theme theme;
    theme.name_ = "mono";
    for (Style& style : theme.styles_)
        style.foreground = style.background = Color{};
    theme.styles_.at(static_cast<size_t>(StyleName::error)).attributes = kBold;
    theme.styles_.at(static_cast<size_t>(StyleName::mark)).attributes = kItalic;
    theme.styles_.at(static_cast<size_t>(StyleName::status_warn)).attributes = kBold;
    theme.styles_.at(static_cast<size_t>(StyleName::status_error)).attributes = kReverse;
    theme.styles_.at(static_cast<size_t>(StyleName::search_hit)).attributes = kReverse;
    return theme;
}

Theme Theme::recoloured(std::string_view name, const Palette& palette) const {
    Theme theme = *this;
    theme.name_ = name;
    const std::array<std::pair<Color, Color>, 4> colors = {{{Color::indexed(6), palette.accent},
                                                            {Color::indexed(2), palette.good},
                                                            {Color::indexed(3), palette.warn},
                                                            {Color::indexed(1), palette.bad}}};
    for (Style& style : theme.styles_) {
        const auto* known =
            std::ranges::find(colors, style.foreground, &std::pair<Color, Color>::first);
        const bool dim = (style.attributes & kDim) != 0;
        style.foreground = known != colors.end() ? known->second
                           : dim                 ? palette.quiet
                                                 : palette.text;
        // How much it takes off is the terminal's choice.
        style.attributes &= static_cast<uint8_t>(~kDim);
    }
    return theme;
}

Theme Theme::dark() {
    return Theme().recoloured("dark", kOnDark);
}

Theme Theme::light() {
    return Theme().recoloured("light", kOnLight);
}

Theme Theme::high_contrast() {
    return mono().recoloured("high-contrast", {});
}

Theme Theme::from_text(std::string_view text, const std::string& name) {
    toml::table file;
    try {
        file = toml::parse(text, name);
    } catch (const toml::parse_error& error) {
        throw core::Error(core::ErrorKind::config,
                          name + ":" + std::to_string(error.source().begin.line),
                          std::string(error.description()), "see docs/themes.md");
    }
    Theme theme;
    theme.name_ = file["name"].value_or(name);
    const toml::table* styles = file["styles"].as_table();
    if (styles == nullptr) return theme;
    for (const auto& [key, value] : *styles) {
        const auto* found = std::find(kStyleNames.begin(), kStyleNames.end(), key.str());
        // Styles of views that this version does not have yet are no error.
        if (found == kStyleNames.end()) continue;
        theme.styles_.at(static_cast<size_t>(found - kStyleNames.begin())) =
            ThemeReader(file, name).read_style(value, key.str());
    }
    return theme;
}

Theme Theme::from_file(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream)
        throw core::Error(core::ErrorKind::config, path, "cannot be read", "check --theme");
    const std::string text((std::istreambuf_iterator<char>(stream)),
                           std::istreambuf_iterator<char>());
    return from_text(text, path);
}

std::vector<std::string> Theme::names() {
    std::vector<std::string> names;
    names.reserve(kBuiltIns.size());
    for (const BuiltIn& theme : kBuiltIns)
        names.emplace_back(theme.name);
    for (const std::filesystem::path& folder : theme_folders()) {
        std::error_code error;
        for (auto entry = std::filesystem::directory_iterator(folder, error);
             !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
            if (entry->path().extension() == ".toml") names.push_back(entry->path().stem());
    }
    return names;
}

std::string Theme::file_of(const std::string& name) {
    if (name.empty() || find_built_in(name) != nullptr) return {};
    if (name.find('/') != std::string::npos || name.ends_with(".toml")) return name;
    for (const std::filesystem::path& folder : theme_folders())
        if (auto path = folder / (name + ".toml"); std::filesystem::exists(path))
            return path.string();
    return {};
}

Theme Theme::named(const std::string& name, ColorWish colors) {
    const bool unwanted =
        colors == ColorWish::never || (colors == ColorWish::automatic && color_is_unwanted());
    if (unwanted) return mono();
    if (name.empty()) return {};
    if (const BuiltIn* theme = find_built_in(name)) return theme->make();
    if (const std::string path = file_of(name); !path.empty()) return from_file(path);
    std::string known;
    for (const BuiltIn& theme : kBuiltIns)
        known += std::string(theme.name) + ", ";
    throw core::Error(core::ErrorKind::config, "theme " + name, "is not there",
                      "use " + known + "the path of a file or the name of one in a themes folder");
}

}  // namespace ui
