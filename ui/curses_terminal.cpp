#include "ui/curses_terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "ui/terminal_restore.h"

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>
// Macros of curses that would hit names of ours.
#undef lines
#undef columns
#undef cursor_visible
#undef erase
#undef clear

namespace ui {
namespace {

constexpr std::string_view kPasteOn = "\x1b[?2004h";
constexpr std::string_view kPasteOff = "\x1b[?2004l";
// Without mouse reports the wheel arrives as arrow keys; keys.h folds the bursts.
constexpr std::string_view kWheelOn = "\x1b[?1007h";
constexpr std::string_view kWheelOff = "\x1b[?1007l";
// Whether somebody looks at the window: CSI I and CSI O.
constexpr std::string_view kFocusOn = "\x1b[?1004h";
constexpr std::string_view kFocusOff = "\x1b[?1004l";
constexpr std::string_view kSynchronizeBegin = "\x1b[?2026h";
constexpr std::string_view kSynchronizeEnd = "\x1b[?2026l";
constexpr std::string_view kSynchronizeQuery = "\x1b[?2026$p";

// A frame must arrive whole even when the terminal is slow and the descriptor non-blocking.
void write_all(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) return;
        if (written > 0) bytes.remove_prefix(static_cast<size_t>(written));
    }
}

// RFC 4648, section 4.
std::string base64(std::string_view bytes) {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t at = 0; at < bytes.size(); at += 3) {
        uint32_t group = 0;
        for (size_t i = 0; i < 3; ++i)
            group =
                group << 8U | (at + i < bytes.size() ? static_cast<uint8_t>(bytes[at + i]) : 0U);
        for (size_t i = 0; i < 4; ++i)
            text += at + i > bytes.size() ? '=' : kDigits[group >> (18 - 6 * i) & 63U];
    }
    return text;
}

Size measured_size() {
    winsize size = {};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0)
        return {.rows = LINES, .columns = COLS};
    return {.rows = size.ws_row, .columns = size.ws_col};
}

std::wstring to_wide(std::string_view text) {
    std::wstring wide;
    while (!text.empty()) {
        const core::CodePoint point = core::decode_utf8(text);
        wide.push_back(static_cast<wchar_t>(point.value));
        text.remove_prefix(point.length);
    }
    return wide;
}

// The nearest of the 6x6x6 colour cube of 256-colour terminals.
uint8_t nearest_of_256(const Color& color) {
    const auto step = [](uint8_t value) {
        return value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40;
    };
    return static_cast<uint8_t>(16 + 36 * step(color.red) + 6 * step(color.green) +
                                step(color.blue));
}

// One of the eight basic colours by thresholds, plus 8 where it is bright.
uint8_t nearest_of_16(uint8_t index) {
    if (index < 16) return index;
    if (index >= 232) return index < 238 ? 0 : index < 250 ? 8 : 15;
    const int cube = index - 16;
    const std::array<int, 3> parts = {cube / 36, cube / 6 % 6, cube % 6};
    int bits = 0;
    int most = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
        if (parts.at(i) >= 3) bits |= 1 << i;
        most = std::max(most, parts.at(i));
    }
    return static_cast<uint8_t>(bits + (most > 3 ? 8 : 0));
}

}  // namespace

struct CursesTerminal::Impl {
    SCREEN* screen = nullptr;
    std::string replaced;
    std::optional<Surface> shown;  // what the terminal shows, as far as we know
    std::map<std::pair<int, int>, short> pairs;
    bool synchronized = false;
    bool cursor_visible = true;
    Size size;

    void open();
    void set_modes() const;
    int color_number(const Color& color) const;
    short pair_of(const Style& style);
    void set_style(const Style& style);
    void draw_cell(int row, int column, const Cell& cell, int width);
    void draw_row(const Surface& surface, int row);
    void resize_to(Size wanted);
};

void CursesTerminal::Impl::open() {
    // LINES and COLUMNS of the environment would freeze the size; the tty is asked instead.
    use_env(FALSE);
    use_tioctl(TRUE);
    // Before threads could read the environment.
    const char* term = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe)
    screen = newterm(term, stdout, stdin);
    if (screen == nullptr) {
        replaced = term != nullptr && *term != '\0' ? term : "(empty)";
        screen = newterm("xterm-256color", stdout, stdin);
    }
    if (screen == nullptr)
        throw core::Error(core::ErrorKind::terminal, "TERM " + replaced, "has no terminfo entry",
                          "set TERM=xterm-256color or install ncurses-term");
    const char* address = tigetstr("cup");
    if (address == nullptr || reinterpret_cast<intptr_t>(address) == -1) {
        endwin();
        throw core::Error(core::ErrorKind::terminal, "terminal",
                          "cannot address its cursor (TERM has no cup)",
                          "set TERM=xterm-256color, or pass the prompt as an argument");
    }
}

void CursesTerminal::Impl::set_modes() const {
    raw();
    noecho();
    nonl();
    keypad(stdscr, FALSE);
    scrollok(stdscr, FALSE);
    set_escdelay(static_cast<int>(30));
    if (has_colors()) {
        start_color();
        use_default_colors();
    }
    // newterm() took these; job control is the program's own (chat_app).
    std::signal(SIGTSTP, SIG_DFL);
}

int CursesTerminal::Impl::color_number(const Color& color) const {
    if (color.kind == ColorKind::terminal || COLORS < 8) return -1;
    const uint8_t index = color.kind == ColorKind::rgb ? nearest_of_256(color) : color.index;
    if (COLORS >= 256) return index;
    const uint8_t basic = nearest_of_16(index);
    return COLORS >= 16 ? basic : basic % 8;
}

short CursesTerminal::Impl::pair_of(const Style& style) {
    const std::pair wanted{color_number(style.foreground), color_number(style.background)};
    if (wanted == std::pair{-1, -1}) return 0;
    const auto found = pairs.find(wanted);
    if (found != pairs.end()) return found->second;
    const auto number = static_cast<short>(pairs.size() + 1);
    if (number >= COLOR_PAIRS) return 0;
    init_pair(number, static_cast<short>(wanted.first), static_cast<short>(wanted.second));
    pairs.emplace(wanted, number);
    return number;
}

void CursesTerminal::Impl::set_style(const Style& style) {
    attr_t attributes = A_NORMAL;
    if ((style.attributes & kBold) != 0) attributes |= A_BOLD;
    if ((style.attributes & kDim) != 0) attributes |= A_DIM;
    if ((style.attributes & kItalic) != 0) attributes |= A_ITALIC;
    if ((style.attributes & kUnderline) != 0) attributes |= A_UNDERLINE;
    if ((style.attributes & kReverse) != 0) attributes |= A_REVERSE;
    attr_set(attributes, pair_of(style), nullptr);
}

// ncurses counts columns by wcwidth(). Where the C library does not know a character (it is older
// than the Unicode of utf8proc), a question mark keeps the row in step.
void CursesTerminal::Impl::draw_cell(int row, int column, const Cell& cell, int width) {
    set_style(cell.style);
    const std::wstring wide = to_wide(cell.text);
    if (::wcswidth(wide.data(), wide.size()) == width) {
        mvaddnwstr(row, column, wide.data(), static_cast<int>(wide.size()));
        return;
    }
    const std::string blanks = "?" + std::string(static_cast<size_t>(width - 1), ' ');
    mvaddnstr(row, column, blanks.data(), width);
}

void CursesTerminal::Impl::draw_row(const Surface& surface, int row) {
    for (int column = 0; column < surface.size().columns;) {
        int width = 1;
        while (column + width < surface.size().columns &&
               surface.at(row, column + width).text.empty())
            ++width;
        draw_cell(row, column, surface.at(row, column), width);
        column += width;
    }
}

void CursesTerminal::Impl::resize_to(Size wanted) {
    size = wanted;
    if (wanted.rows == LINES && wanted.columns == COLS) return;
    resizeterm(wanted.rows, wanted.columns);
    shown.reset();
}

CursesTerminal::CursesTerminal() : impl_(std::make_unique<Impl>()) {
    impl_->open();
    impl_->set_modes();
    impl_->resize_to(measured_size());
    refresh();  // enters the alternate screen before we add modes to it
    write_all(kPasteOn);
    write_all(kWheelOn);
    write_all(kFocusOn);
}

CursesTerminal::~CursesTerminal() {
    // When the supervisor was killed we are in the background by now, where restoring the modes
    // would stop us instead; nobody else is left to do it.
    std::signal(SIGTTOU, SIG_IGN);
    endwin();
    write_all(kPasteOff);
    write_all(kWheelOff);
    write_all(kFocusOff);
    delscreen(impl_->screen);
}

Size CursesTerminal::size() const {
    return impl_->size;
}

void CursesTerminal::measure() {
    impl_->resize_to(measured_size());
}

void CursesTerminal::present(const Surface& surface, std::optional<Position> cursor) {
    Impl& self = *impl_;
    const bool fresh = !self.shown || self.shown->size() != surface.size();
    for (int row = 0; row < surface.size().rows; ++row) {
        bool differs = fresh;
        for (int column = 0; !differs && column < surface.size().columns; ++column)
            differs = self.shown->at(row, column) != surface.at(row, column);
        if (differs) self.draw_row(surface, row);
    }
    self.shown = surface;
    if (cursor.has_value() != self.cursor_visible) {
        curs_set(cursor ? 1 : 0);
        self.cursor_visible = cursor.has_value();
    }
    if (cursor) move(cursor->row, cursor->column);
    if (self.synchronized) write_all(kSynchronizeBegin);
    refresh();
    if (self.synchronized) write_all(kSynchronizeEnd);
}

void CursesTerminal::repaint() {
    impl_->shown.reset();
    clearok(curscr, TRUE);
}

void CursesTerminal::suspend() {
    write_all(kPasteOff);
    write_all(kWheelOff);
    write_all(kFocusOff);
    curs_set(1);
    impl_->cursor_visible = true;
    endwin();
}

void CursesTerminal::resume() {
    reset_prog_mode();
    impl_->resize_to(measured_size());
    repaint();
    refresh();
    write_all(kPasteOn);
    write_all(kWheelOn);
    write_all(kFocusOn);
}

void CursesTerminal::synchronize_updates(bool on) {
    impl_->synchronized = on;
}

void CursesTerminal::copy(std::string_view text) {
    // The most that xterm takes; what is longer it would drop whole.
    constexpr size_t kMostBytes = 74'994 / 4 * 3;
    write_all("\x1b]52;c;" + base64(text.substr(0, kMostBytes)) + "\x07");
}

void CursesTerminal::ring() {
    write_all("\a");
}

const std::string& CursesTerminal::replaced_term() const {
    return impl_->replaced;
}

void CursesTerminal::query_synchronized_updates() {
    // The Linux console prints what it does not understand.
    const std::string_view name = longname();
    if (name.find("linux console") == std::string_view::npos) write_all(kSynchronizeQuery);
}

}  // namespace ui
