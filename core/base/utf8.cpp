#include "core/base/utf8.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>

#include <utf8proc.h>

namespace core {
namespace {

struct Range {
    char32_t first;
    char32_t last;
};

// Where utf8proc 2.8 and glibc's wcwidth (by which ncurses counts) disagree: conjoining jamo take
// no column of their own, two blocks of symbols take two, and prepended marks take one.
constexpr std::array kNoColumn = {Range{0x1160, 0x11FF}, Range{0xD7B0, 0xD7FB}};
constexpr std::array kTwoColumns = {Range{0x3248, 0x324F}, Range{0x4DC0, 0x4DFF}};
constexpr std::array kOneColumn = {
    Range{0x0600, 0x0605}, Range{0x06DD, 0x06DD},   Range{0x070F, 0x070F},  Range{0x0890, 0x0891},
    Range{0x08E2, 0x08E2}, Range{0x110BD, 0x110BD}, Range{0x110CD, 0x110CD}};

template <size_t kCount>
bool contains(const std::array<Range, kCount>& ranges, char32_t c) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [c](Range range) { return c >= range.first && c <= range.last; });
}

constexpr char32_t kZeroWidthJoiner = 0x200D;
constexpr char32_t kEmojiModifierFirst = 0x1F3FB;
constexpr char32_t kEmojiModifierLast = 0x1F3FF;

bool is_variation_selector(char32_t c) {
    return c >= 0xFE00 && c <= 0xFE0F;
}

bool is_emoji_modifier(char32_t c) {
    return c >= kEmojiModifierFirst && c <= kEmojiModifierLast;
}

bool is_tag(char32_t c) {
    return c >= 0xE0000 && c <= 0xE01EF;
}

// Columns of a code point drawn alone.
int code_point_width(char32_t c) {
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return 0;
    if (c < 0x300) return 1;
    if (contains(kNoColumn, c)) return 0;
    if (contains(kTwoColumns, c)) return 2;
    if (contains(kOneColumn, c)) return 1;
    const auto point = static_cast<utf8proc_int32_t>(c);
    // Spacing marks advance the cursor of every terminal that draws code point by code point.
    if (utf8proc_category(point) == UTF8PROC_CATEGORY_MC) return 1;
    return utf8proc_charwidth(point);
}

// Lead byte -> sequence length and the range of the second byte (Unicode 15, table 3-7).
struct Lead {
    uint8_t length;
    uint8_t second_first;
    uint8_t second_last;
};

Lead classify(uint8_t byte) {
    if (byte < 0x80) return {1, 0, 0};
    if (byte < 0xC2) return {0, 0, 0};
    if (byte < 0xE0) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte < 0xF0) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte < 0xF4) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

// Appends the inert form of a control character of 0x00..0x1F or 0x7F.
void append_picture(std::string& out, char32_t control) {
    append_utf8(out, control == 0x7F ? 0x2421 : 0x2400 + control);
}

bool is_bidi_override(char32_t c) {
    return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

bool is_bidi_mark(char32_t c) {
    return c == 0x200E || c == 0x200F || c == 0x061C;
}

void append_inert(std::string& out, const CodePoint& point) {
    const char32_t c = point.value;
    if (!point.valid || is_bidi_override(c)) return append_utf8(out, kReplacementCharacter);
    if (c == '\n' || c == 0x2028 || c == 0x2029) return out.push_back('\n');
    if (c == '\t') {
        out += "    ";
    } else if (c < 0x20 || c == 0x7F) {
        append_picture(out, c);
    } else if (c >= 0x80 && c < 0xA0) {
        append_picture(out, 0x1B);  // U+009B is ESC [, and so on.
        out.push_back(static_cast<char>(c - 0x40));
    } else if (!is_bidi_mark(c)) {
        append_utf8(out, c);
    }
}

bool is_plain(char c) {
    return c >= 0x20 && c < 0x7F;
}

// Decides, code point by code point, what of a grapheme is drawn under the policy `safe`.
class SafeDrawing {
  public:
    void add(char32_t c, std::string_view bytes, Grapheme& grapheme) {
        if (joined_ || c == kZeroWidthJoiner) {
            joined_ = true;  // Everything after the first joiner belongs to the picture we avoid.
            return;
        }
        if (is_variation_selector(c) || is_tag(c)) return;
        if (grapheme.width > 0 && is_emoji_modifier(c)) return;
        const int width = code_point_width(c);
        if (width == 0 && (grapheme.width == 0 || ++marks_ > kMaxMarks)) return;
        grapheme.width = static_cast<uint8_t>(std::min(grapheme.width + width, 255));
        grapheme.drawn.append(bytes);
    }

  private:
    // A cell of ncurses holds one character and four marks (CCHARW_MAX).
    static constexpr int kMaxMarks = 4;
    bool joined_ = false;
    int marks_ = 0;
};

bool breaks_between(char32_t left, char32_t right, utf8proc_int32_t& state) {
    return utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(left),
                                            static_cast<utf8proc_int32_t>(right), &state) != 0;
}

}  // namespace

CodePoint decode_utf8(std::string_view bytes) {
    const auto byte_at = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    const Lead lead = classify(byte_at(0));
    if (lead.length == 1) return {static_cast<char32_t>(byte_at(0)), 1, true};
    if (lead.length == 0) return {};
    char32_t value = byte_at(0) & (0x7FU >> lead.length);
    for (uint8_t i = 1; i < lead.length; ++i) {
        const uint8_t low = i == 1 ? lead.second_first : uint8_t{0x80};
        const uint8_t high = i == 1 ? lead.second_last : uint8_t{0xBF};
        if (i >= bytes.size() || byte_at(i) < low || byte_at(i) > high)
            return {kReplacementCharacter, i, false};
        value = (value << 6U) | (byte_at(i) & 0x3FU);
    }
    return {value, lead.length, true};
}

void append_utf8(std::string& out, char32_t code_point) {
    const auto push = [&out](char32_t bits) { out.push_back(static_cast<char>(bits)); };
    if (code_point < 0x80) {
        push(code_point);
    } else if (code_point < 0x800) {
        push(0xC0U | (code_point >> 6U));
        push(0x80U | (code_point & 0x3FU));
    } else if (code_point < 0x10000) {
        push(0xE0U | (code_point >> 12U));
        push(0x80U | ((code_point >> 6U) & 0x3FU));
        push(0x80U | (code_point & 0x3FU));
    } else {
        push(0xF0U | (code_point >> 18U));
        push(0x80U | ((code_point >> 12U) & 0x3FU));
        push(0x80U | ((code_point >> 6U) & 0x3FU));
        push(0x80U | (code_point & 0x3FU));
    }
}

bool is_utf8(std::string_view bytes) {
    while (!bytes.empty()) {
        const CodePoint point = decode_utf8(bytes);
        if (!point.valid) return false;
        bytes.remove_prefix(point.length);
    }
    return true;
}

std::string composed_utf8(std::string_view text) {
    const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::ranges::all_of(text, is_ascii)) return std::string(text);
    utf8proc_uint8_t* composed = nullptr;
    const utf8proc_ssize_t length =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(text.size()), &composed,
                     static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (length < 0) return std::string(text);
    const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> owner(composed, std::free);
    return {reinterpret_cast<const char*>(composed), static_cast<size_t>(length)};
}

size_t whole_utf8(std::string_view bytes) {
    // Only the last three bytes can begin a sequence that does not end yet.
    for (size_t back = 1; back <= std::min<size_t>(3, bytes.size()); ++back) {
        const size_t start = bytes.size() - back;
        const Lead lead = classify(static_cast<uint8_t>(bytes[start]));
        if (lead.length == 0) continue;
        const CodePoint point = decode_utf8(bytes.substr(start));
        return lead.length > back && point.length == back ? start : bytes.size();
    }
    return bytes.size();
}

Grapheme next_grapheme(std::string_view text) {
    Grapheme grapheme;
    // Two ASCII characters in a row always break, except CR LF.
    if (is_plain(text[0]) && (text.size() == 1 || (text[1] > 0 && text[1] < 0x7F)))
        return {.bytes = 1, .width = 1, .drawn = std::string(1, text[0])};
    SafeDrawing drawing;
    utf8proc_int32_t state = 0;
    char32_t previous = 0;
    while (grapheme.bytes < text.size()) {
        const std::string_view rest = text.substr(grapheme.bytes);
        const CodePoint point = decode_utf8(rest);
        if (grapheme.bytes > 0 && breaks_between(previous, point.value, state)) break;
        std::string replacement;
        if (!point.valid) append_utf8(replacement, point.value);
        drawing.add(point.value, point.valid ? rest.substr(0, point.length) : replacement,
                    grapheme);
        previous = point.value;
        grapheme.bytes += point.length;
    }
    return grapheme;
}

size_t first_grapheme_bytes(std::string_view text) {
    return text.empty() ? 0 : next_grapheme(text).bytes;
}

size_t last_grapheme_bytes(std::string_view text) {
    // Segmentation is defined forwards only; start far enough back to be sure of a break.
    size_t start = text.size() - std::min<size_t>(text.size(), 256);
    while (start > 0 && start < text.size() && text[start - 1] != '\n' && text[start - 1] != ' ')
        --start;
    size_t last = 0;
    while (start < text.size()) {
        last = next_grapheme(text.substr(start)).bytes;
        start += last;
    }
    return last;
}

size_t display_width(std::string_view text) {
    size_t columns = 0;
    while (!text.empty()) {
        const Grapheme grapheme = next_grapheme(text);
        columns += grapheme.width;
        text.remove_prefix(grapheme.bytes);
    }
    return columns;
}

std::string_view fit_width(std::string_view text, size_t columns) {
    size_t bytes = 0;
    while (bytes < text.size()) {
        const Grapheme grapheme = next_grapheme(text.substr(bytes));
        if (grapheme.width > columns) break;
        columns -= grapheme.width;
        bytes += grapheme.bytes;
    }
    return text.substr(0, bytes);
}

std::string sanitize(std::string_view untrusted) {
    std::string out;
    out.reserve(untrusted.size());
    while (!untrusted.empty()) {
        const auto* special = std::find_if_not(untrusted.begin(), untrusted.end(), is_plain);
        out.append(untrusted.begin(), special);
        untrusted.remove_prefix(static_cast<size_t>(std::distance(untrusted.begin(), special)));
        if (untrusted.empty()) break;
        const CodePoint point = decode_utf8(untrusted);
        append_inert(out, point);
        untrusted.remove_prefix(point.length);
    }
    return out;
}

}  // namespace core
