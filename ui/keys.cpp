#include "ui/keys.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "core/base/utf8.h"

namespace ui {
namespace {

constexpr char kEscape = '\x1b';
constexpr std::string_view kPasteEnd = "\x1b[201~";
constexpr size_t kMaxSequence = 64;     // longer than any key; a reply we do not know is dropped
constexpr size_t kMaxPaste = 16 << 20;  // a paste without an end must not eat the memory
// A paste whose end got lost must not swallow the keyboard for ever.
constexpr std::chrono::milliseconds kPasteTimeout{1000};

constexpr size_t kIncomplete = 0;

struct CodeByNumber {
    int number;
    KeyCode code;
    char32_t character;
};

// CSI number ~ (VT220 and xterm).
constexpr std::array kTildeKeys = {
    CodeByNumber{1, KeyCode::home, 0},       CodeByNumber{2, KeyCode::insert, 0},
    CodeByNumber{3, KeyCode::remove, 0},     CodeByNumber{4, KeyCode::end, 0},
    CodeByNumber{5, KeyCode::page_up, 0},    CodeByNumber{6, KeyCode::page_down, 0},
    CodeByNumber{7, KeyCode::home, 0},       CodeByNumber{8, KeyCode::end, 0},
    CodeByNumber{11, KeyCode::function, 1},  CodeByNumber{12, KeyCode::function, 2},
    CodeByNumber{13, KeyCode::function, 3},  CodeByNumber{14, KeyCode::function, 4},
    CodeByNumber{15, KeyCode::function, 5},  CodeByNumber{17, KeyCode::function, 6},
    CodeByNumber{18, KeyCode::function, 7},  CodeByNumber{19, KeyCode::function, 8},
    CodeByNumber{20, KeyCode::function, 9},  CodeByNumber{21, KeyCode::function, 10},
    CodeByNumber{23, KeyCode::function, 11}, CodeByNumber{24, KeyCode::function, 12},
};

// CSI ... letter and SS3 letter.
constexpr std::array kLetterKeys = {
    CodeByNumber{'A', KeyCode::up, 0},       CodeByNumber{'B', KeyCode::down, 0},
    CodeByNumber{'C', KeyCode::right, 0},    CodeByNumber{'D', KeyCode::left, 0},
    CodeByNumber{'H', KeyCode::home, 0},     CodeByNumber{'F', KeyCode::end, 0},
    CodeByNumber{'P', KeyCode::function, 1}, CodeByNumber{'Q', KeyCode::function, 2},
    CodeByNumber{'R', KeyCode::function, 3}, CodeByNumber{'S', KeyCode::function, 4},
    CodeByNumber{'M', KeyCode::enter, 0},  // keypad
};

// CSI [ letter: the Linux console.
constexpr std::array kConsoleKeys = {
    CodeByNumber{'A', KeyCode::function, 1}, CodeByNumber{'B', KeyCode::function, 2},
    CodeByNumber{'C', KeyCode::function, 3}, CodeByNumber{'D', KeyCode::function, 4},
    CodeByNumber{'E', KeyCode::function, 5},
};

template <size_t kCount>
std::optional<Key> find_key(const std::array<CodeByNumber, kCount>& table, int number) {
    for (const CodeByNumber& entry : table)
        if (entry.number == number) return Key{.code = entry.code, .character = entry.character};
    return std::nullopt;
}

// xterm's encoding: 1 + bits of shift, alt, control (and meta, which is dropped).
uint8_t modifiers_of(int parameter) {
    return parameter <= 1 ? uint8_t{0} : static_cast<uint8_t>((parameter - 1) & 7);
}

Key control_key(unsigned char byte) {
    if (byte == '\r') return {.code = KeyCode::enter};
    if (byte == '\t') return {.code = KeyCode::tab};
    if (byte == 0x7F) return {.code = KeyCode::backspace};
    const char32_t letter = byte | 0x40U;
    const bool upper = letter >= 'A' && letter <= 'Z';
    return {.code = KeyCode::character,
            .character = upper ? letter | 0x20U : letter,
            .modifiers = kControl};
}

// A key given by its code point (CSI u and modifyOtherKeys).
Key code_point_key(int code_point, uint8_t modifiers) {
    Key key = code_point == kEscape ? Key{.code = KeyCode::escape}
              : code_point < 0x20 || code_point == 0x7F
                  ? control_key(static_cast<unsigned char>(code_point))
                  : Key{.character = static_cast<char32_t>(code_point)};
    key.modifiers |= modifiers;
    return key;
}

struct Parameters {
    std::array<int, 4> values = {};
    size_t count = 0;

    int operator[](size_t i) const { return i < count ? values.at(i) : 0; }
};

// Sub-parameters (after a colon) are skipped; numbers are capped well above any key's.
Parameters parse_parameters(std::string_view text) {
    Parameters parameters;
    bool in_sub = false;
    parameters.count = text.empty() ? 0 : 1;
    for (const char c : text) {
        if (c == ';') {
            in_sub = false;
            if (parameters.count == parameters.values.size()) break;
            ++parameters.count;
        } else if (c == ':') {
            in_sub = true;
        } else if (c >= '0' && c <= '9' && !in_sub) {
            int& value = parameters.values.at(parameters.count - 1);
            value = std::min(value * 10 + (c - '0'), 0x110000);
        }
    }
    return parameters;
}

std::optional<Input> decode_csi(std::string_view body, char final) {
    if (final == 'y' && body.size() > 2 && body.front() == '?' && body.back() == '$') {
        const Parameters report = parse_parameters(body.substr(1));
        return ModeReport{.mode = report[0], .value = report[1]};
    }
    if (!body.empty() && (body.front() < '0' || body.front() > '9') && body.front() != ';')
        return std::nullopt;  // private sequences are replies or mouse reports, never keys
    if (body.empty() && (final == 'I' || final == 'O')) return FocusReport{.focused = final == 'I'};
    const Parameters parameters = parse_parameters(body);
    std::optional<Key> key;
    if (final == 'u') {
        key = code_point_key(parameters[0], modifiers_of(parameters[1]));
    } else if (final == '~' && parameters[0] == 27) {
        key = code_point_key(parameters[2], modifiers_of(parameters[1]));
    } else if (final == '~') {
        key = find_key(kTildeKeys, parameters[0]);
        if (key) key->modifiers = modifiers_of(parameters[1]);
    } else if (final == 'Z') {
        key = Key{.code = KeyCode::tab, .modifiers = kShift};
    } else if (final != 'M') {  // CSI M opens an old mouse report
        key = find_key(kLetterKeys, final);
        if (key) key->modifiers = modifiers_of(parameters[1]);
    }
    if (!key) return std::nullopt;
    return *key;
}

bool is_final(char c) {
    return c >= 0x40 && c <= 0x7E;
}

void emit(std::vector<Input>& out, Key key, std::string_view bytes) {
    key.bytes = bytes;
    out.emplace_back(std::move(key));
}

void emit(std::vector<Input>& out, std::optional<Input> input, std::string_view bytes) {
    if (!input) return;
    if (auto* key = std::get_if<Key>(&*input)) key->bytes = bytes;
    out.push_back(*std::move(input));
}

// `bytes` begins with ESC [. Returns the bytes consumed, kIncomplete when more are needed.
size_t decode_control_sequence(std::string_view bytes, std::vector<Input>& out) {
    if (bytes.size() > 2 && bytes[2] == '[') {
        if (bytes.size() < 4) return kIncomplete;
        if (const auto key = find_key(kConsoleKeys, bytes[3])) emit(out, *key, bytes.substr(0, 4));
        return 4;
    }
    for (size_t i = 2; i < bytes.size() && i < kMaxSequence; ++i) {
        if (is_final(bytes[i])) {
            emit(out, decode_csi(bytes.substr(2, i - 2), bytes[i]), bytes.substr(0, i + 1));
            return i + 1;
        }
        if (bytes[i] < 0x20 || bytes[i] > 0x7E) return i;  // cut off by a control: dropped
    }
    return bytes.size() >= kMaxSequence ? kMaxSequence : kIncomplete;
}

// A character or control key without an Escape in front.
size_t decode_plain(std::string_view bytes, std::vector<Input>& out, bool final) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    if (first < 0x20 || first == 0x7F) {
        emit(out, control_key(first), bytes.substr(0, 1));
        return 1;
    }
    if (!final && core::whole_utf8(bytes.substr(0, 4)) == 0) return kIncomplete;
    const core::CodePoint point = core::decode_utf8(bytes);
    std::string text;
    core::append_utf8(text, point.value);
    emit(out, Key{.character = point.value}, text);
    return point.length;
}

// ESC and a key: the key with Alt.
size_t decode_meta(std::string_view bytes, std::vector<Input>& out, bool final) {
    std::vector<Input> inner;
    const size_t used = decode_plain(bytes.substr(1), inner, final);
    if (used == kIncomplete) return kIncomplete;
    Key key = std::get<Key>(std::move(inner.front()));
    key.modifiers |= kAlt;
    key.bytes.insert(0, 1, kEscape);
    out.emplace_back(std::move(key));
    return used + 1;
}

// Bytes at the end of a paste that may be the beginning of the mark that ends it.
size_t unfinished_paste_end(std::string_view text) {
    size_t count = std::min(text.size(), kPasteEnd.size() - 1);
    while (count > 0 && !text.ends_with(kPasteEnd.substr(0, count)))
        --count;
    return count;
}

void append_normalized(std::string& paste, std::string_view text) {
    for (const char c : text) {
        // Terminals send a newline in a paste as CR, some as CR LF.
        if (c == '\n' && !paste.empty() && paste.back() == '\r') {
            paste.back() = '\n';
        } else {
            if (!paste.empty() && paste.back() == '\r') paste.back() = '\n';
            paste.push_back(c);
        }
    }
}

}  // namespace

size_t KeyDecoder::decode_one(std::string_view bytes, std::vector<Input>& out, bool final) {
    if (bytes[0] != kEscape) return decode_plain(bytes, out, final);
    if (bytes.size() == 1) {
        if (!final) return kIncomplete;
        emit(out, Key{.code = KeyCode::escape}, bytes);
        return 1;
    }
    if (bytes[1] == '[') {
        if (bytes.starts_with("\x1b[200~")) {
            pasting_ = true;
            return 6;
        }
        const size_t used = decode_control_sequence(bytes, out);
        if (used != kIncomplete || !final) return used;
        if (bytes.size() == 2) emit(out, Key{.character = '[', .modifiers = kAlt}, bytes);
        return bytes.size();
    }
    if (bytes[1] == 'O') {
        if (bytes.size() > 2) {
            if (const auto key = find_key(kLetterKeys, bytes[2]))
                emit(out, *key, bytes.substr(0, 3));
            return 3;
        }
        if (!final) return kIncomplete;
    }
    if (bytes[1] == kEscape) {  // two Escapes, or Escape in front of a sequence
        emit(out, Key{.code = KeyCode::escape}, bytes.substr(0, 1));
        return 1;
    }
    return decode_meta(bytes, out, final);
}

// Moves pasted bytes out of `pending_`. Returns whether the paste has ended.
bool KeyDecoder::decode_paste(std::vector<Input>& out, bool final) {
    const size_t end = pending_.find(kPasteEnd);
    const bool found = end != std::string::npos;
    const size_t held_back = final ? 0 : unfinished_paste_end(pending_);
    const size_t take = found ? end : pending_.size() - held_back;
    append_normalized(paste_, std::string_view(pending_).substr(0, take));
    pending_.erase(0, found ? end + kPasteEnd.size() : take);
    if (!found && !final && paste_.size() <= kMaxPaste) return false;
    if (!paste_.empty() && paste_.back() == '\r') paste_.back() = '\n';
    out.emplace_back(Paste{.text = std::exchange(paste_, {})});
    pasting_ = false;
    return true;
}

void KeyDecoder::decode(std::vector<Input>& out, bool final) {
    while (!pending_.empty() || (final && pasting_)) {
        if (pasting_) {
            if (!decode_paste(out, final)) return;
            continue;
        }
        const size_t used = decode_one(pending_, out, final);
        if (used == kIncomplete) return;
        pending_.erase(0, used);
    }
}

std::vector<Input> KeyDecoder::feed(std::string_view bytes, TimePoint now) {
    std::vector<Input> out;
    pending_.append(bytes);
    last_byte_ = now;
    decode(out, false);
    return out;
}

std::optional<TimePoint> KeyDecoder::deadline() const {
    if (pasting_) return last_byte_ + kPasteTimeout;
    if (pending_.empty()) return std::nullopt;
    return last_byte_ + escape_timeout_;
}

std::vector<Input> KeyDecoder::expire(TimePoint now) {
    std::vector<Input> out;
    const auto due = deadline();
    if (due && now >= *due) decode(out, true);
    return out;
}

std::vector<Input> fold_wheel(std::vector<Input> events) {
    constexpr size_t kBurst = 3;
    std::vector<Input> out;
    for (size_t i = 0; i < events.size();) {
        const auto direction = [&events](size_t at) {
            const auto* key = std::get_if<Key>(&events[at]);
            if (key == nullptr) return 0;
            return key->is(KeyCode::down) ? 1 : key->is(KeyCode::up) ? -1 : 0;
        };
        size_t run = i + 1;
        while (direction(i) != 0 && run < events.size() && direction(run) == direction(i))
            ++run;
        if (direction(i) != 0 && run - i >= kBurst) {
            out.emplace_back(Wheel{.lines = direction(i) * static_cast<int>(run - i)});
        } else {
            std::move(events.begin() + static_cast<ptrdiff_t>(i),
                      events.begin() + static_cast<ptrdiff_t>(run), std::back_inserter(out));
        }
        i = run;
    }
    return out;
}

}  // namespace ui
