// Raw bytes of a terminal in raw mode -> keys, pastes and replies.
//
// Every key keeps its bytes, so that what the program does not take goes on to readline unchanged.
// The events do not depend on how the bytes were cut into reads, except for a lone Escape: it is an
// Escape key when nothing follows within kEscapeTimeout (our own clock: terminals and ncurses wait
// up to a second). Sources: ECMA-48 5.4, xterm's ctlseqs, the fixterms proposal (CSI u).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ui {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;

inline constexpr std::chrono::milliseconds kEscapeTimeout{30};

enum class KeyCode : uint8_t {
    character,  // Key::character, control and meta as modifiers
    enter,
    tab,
    backspace,
    escape,
    up,
    down,
    left,
    right,
    home,
    end,
    page_up,
    page_down,
    insert,
    remove,
    function,  // Key::character is its number
};

inline constexpr uint8_t kShift = 1U << 0U;
inline constexpr uint8_t kAlt = 1U << 1U;
inline constexpr uint8_t kControl = 1U << 2U;

struct Key {
    KeyCode code = KeyCode::character;
    char32_t character = 0;  // lower case with kControl
    uint8_t modifiers = 0;
    std::string bytes = {};

    bool is(KeyCode wanted, uint8_t with = 0) const { return code == wanted && modifiers == with; }
    bool is_control(char letter) const {
        return code == KeyCode::character && modifiers == kControl &&
               character == static_cast<char32_t>(letter);
    }
};

// Bracketed paste; line ends are newlines.
struct Paste {
    std::string text;
};

// The wheel, which terminals without mouse reports send as a burst of arrow keys.
struct Wheel {
    int lines = 0;  // down is positive
};

// Answer to a query of a private mode (DECRPM): 1 set, 2 reset, 0 unknown.
struct ModeReport {
    int mode = 0;
    int value = 0;
};

// The terminal's window is looked at, or not any more (mode 1004).
struct FocusReport {
    bool focused = true;
};

using Input = std::variant<Key, Paste, Wheel, ModeReport, FocusReport>;

class KeyDecoder {
  public:
    explicit KeyDecoder(std::chrono::milliseconds escape_timeout = kEscapeTimeout)
        : escape_timeout_(escape_timeout) {}

    // What these bytes complete. Sequences that nothing here knows are dropped: as keys they would
    // reach the text.
    std::vector<Input> feed(std::string_view bytes, TimePoint now);
    // When an unfinished sequence is to be taken for what it is so far; nothing: nothing pending.
    std::optional<TimePoint> deadline() const;
    // Gives out what is pending when its deadline has passed.
    std::vector<Input> expire(TimePoint now);

  private:
    void decode(std::vector<Input>& out, bool final);
    size_t decode_one(std::string_view bytes, std::vector<Input>& out, bool final);
    bool decode_paste(std::vector<Input>& out, bool final);

    std::chrono::milliseconds escape_timeout_;
    std::string pending_;
    bool pasting_ = false;
    std::string paste_;
    TimePoint last_byte_ = {};
};

// Runs of at least three equal plain Up or Down keys that arrived in one read are the wheel.
std::vector<Input> fold_wheel(std::vector<Input> events);

}  // namespace ui
