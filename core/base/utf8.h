// Text as a terminal sees it: code points, graphemes, columns, and what must never reach a screen.
//
// One width policy, `safe`, is used everywhere: ambiguous characters are one column, and of a ZWJ
// sequence, an emoji with a modifier or a variation selector only the base is drawn, because
// terminals disagree about the rest (tmux 3.3a and glibc differ by two columns on one farmer).
// Graphemes are those of UAX #29. The only file that uses utf8proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace core {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

struct CodePoint {
    char32_t value = kReplacementCharacter;
    uint8_t length = 1;  // bytes consumed
    bool valid = false;  // false: not UTF-8 (overlong, surrogate, stray or cut off byte)
};

// The code point at the front. An invalid byte sequence is consumed up to its maximal valid part
// (Unicode 15, table 3-8), so that every replacement character stands for one error.
// REQUIRES: bytes is not empty.
CodePoint decode_utf8(std::string_view bytes);

void append_utf8(std::string& out, char32_t code_point);

bool is_utf8(std::string_view bytes);

// The text in normalization form C. What is not UTF-8 stays as it is.
std::string composed_utf8(std::string_view text);

// Bytes at the front that hold only whole code points: less than size() only when the text ends
// inside a sequence that more bytes could complete.
size_t whole_utf8(std::string_view bytes);

// One user-perceived character and how it is drawn.
struct Grapheme {
    size_t bytes = 0;   // of the source
    uint8_t width = 0;  // columns of `drawn`; 0 for lone controls and marks
    std::string drawn;  // what a terminal may be sent; empty when width is 0
};

// The grapheme at the front. REQUIRES: text is not empty. Control characters come out with width 0
// and nothing drawn: sanitize() first where they should be visible.
Grapheme next_grapheme(std::string_view text);

// Bytes of the grapheme at the front or at the end; 0 for empty text.
size_t first_grapheme_bytes(std::string_view text);
size_t last_grapheme_bytes(std::string_view text);

// Columns of one line of text.
size_t display_width(std::string_view text);

// The longest prefix of whole graphemes that fits into `columns`.
std::string_view fit_width(std::string_view text, size_t columns);

// Untrusted text (the model's, a file's, a server's) made inert: escape and other C0 controls and
// DEL become their pictures (U+241B ...), C1 controls the picture of the escape sequence that they
// abbreviate, bidirectional overrides and invalid UTF-8 U+FFFD, tabs four spaces, line and
// paragraph separators newlines; newlines stay. The result is valid UTF-8 and sanitize(sanitize(x))
// == sanitize(x). Piecewise equals whole where the pieces are cut between code points.
std::string sanitize(std::string_view untrusted);

}  // namespace core
