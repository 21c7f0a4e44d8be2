#include "ui/line_editor.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <readline/history.h>
#include <readline/readline.h>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace ui {

LineEditor* LineEditor::instance = nullptr;

// The functions that readline calls. Everything else is in the class.
struct ReadlineHooks {
    static LineEditor& editor() { return *LineEditor::instance; }

    static int get_byte(FILE* /*stream*/) {
        LineEditor& self = editor();
        if (self.read_ >= self.pending_.size()) return EOF;
        return static_cast<unsigned char>(self.pending_[self.read_++]);
    }
    static int input_available() { return editor().read_ < editor().pending_.size() ? 1 : 0; }
    static void redisplay() {}
    static void accept(char* line) {
        if (line == nullptr) return;
        editor().line_ = line;
        std::free(line);
    }

    static int newline(int /*count*/, int /*key*/) { return rl_insert_text("\n"), 0; }
    // readline's own quoted insert waits inside of itself, where a state cannot be seen.
    static int literal_next(int /*count*/, int /*key*/) {
        editor().literal_next_ = true;
        return 0;
    }

    static size_t line_begin() {
        const std::string_view text(rl_line_buffer, static_cast<size_t>(rl_point));
        const size_t newline = text.rfind('\n');
        return newline == std::string_view::npos ? 0 : newline + 1;
    }
    static size_t line_end() {
        const std::string_view text(rl_line_buffer, static_cast<size_t>(rl_end));
        return std::min(text.find('\n', static_cast<size_t>(rl_point)), text.size());
    }
    // C-a, C-e, C-k and C-u of a line with several rows mean its row.
    static int to_begin(int /*count*/, int /*key*/) {
        return rl_point = static_cast<int>(line_begin()), 0;
    }
    static int to_end(int /*count*/, int /*key*/) {
        return rl_point = static_cast<int>(line_end()), 0;
    }
    static int kill_to_end(int /*count*/, int /*key*/) {
        auto end = static_cast<int>(line_end());
        if (end == rl_point && end < rl_end) ++end;  // at the end of a row: join with the next
        return rl_kill_text(rl_point, end);
    }
    static int kill_to_begin(int /*count*/, int /*key*/) {
        const int end = rl_point;
        rl_point = static_cast<int>(line_begin());
        return rl_kill_text(rl_point, end);
    }

    // Tab completes as far as it is certain and shows what there is. With S-Tab, and from then on
    // with Tab too, the line gets one completion after another.
    static int tab(int count, int key) {
        if (editor().stepping_) return step(count, key);
        if (rl_last_func == tab) rl_last_func = rl_complete;  // the second one shows what there is
        return rl_complete(count, key);
    }
    static int step_back(int count, int key) { return step(-count, key); }
    static int step(int count, int key) {
        // By the function before readline sees whether its list is still good.
        rl_last_func = editor().stepping_ ? rl_menu_complete : nullptr;
        const int result = rl_menu_complete(count, key);
        editor().stepped_ = true;
        if (matches().size() > 1) {
            editor().candidates_ = matches();
            std::ranges::sort(editor().candidates_);  // as readline goes through them
        }
        return result;
    }

    static char** complete(const char* word, int /*start*/, int end) {
        rl_attempted_completion_over = 1;  // never file names
        LineEditor& self = editor();
        if (!self.completer_) return nullptr;
        matches() = self.completer_(std::string_view(rl_line_buffer, static_cast<size_t>(end)));
        if (matches().empty()) return nullptr;
        // Within a folder it goes on.
        const bool folder = matches().size() == 1 && matches().front().ends_with('/');
        rl_completion_suppress_append = folder ? 1 : 0;
        return rl_completion_matches(word, next_match);
    }
    static char* next_match(const char* /*word*/, int state) {
        static size_t next = 0;
        if (state == 0) next = 0;
        return next < matches().size() ? ::strdup(matches()[next++].c_str()) : nullptr;
    }
    static std::vector<std::string>& matches() {
        static std::vector<std::string> found;
        return found;
    }
    static void show_matches(char** list, int count, int /*longest*/) {
        // list[0] is what they have in common.
        editor().candidates_.assign(list + 1, list + 1 + count);
    }
};

namespace {

// An unchanged default is replaced; what the user's inputrc says stays.
void replace_default(const char* keys, rl_command_func_t* standard, rl_command_func_t* ours) {
    int type = 0;
    if (rl_function_of_keyseq(keys, nullptr, &type) == standard && type == ISFUNC)
        rl_bind_keyseq(keys, ours);
}

void bind_keys() {
    // Both Enter and C-j accept by default; C-j is our newline, as M-Enter is.
    rl_bind_keyseq("\n", ReadlineHooks::newline);
    rl_bind_keyseq("\x1b\r", ReadlineHooks::newline);
    rl_bind_keyseq("\x1b\n", ReadlineHooks::newline);
    replace_default("\t", rl_complete, ReadlineHooks::tab);
    replace_default("\x1b[Z", nullptr, ReadlineHooks::step_back);
    replace_default("\x16", rl_quoted_insert, ReadlineHooks::literal_next);
    replace_default("\x11", rl_quoted_insert, ReadlineHooks::literal_next);
    replace_default("\x01", rl_beg_of_line, ReadlineHooks::to_begin);
    replace_default("\x05", rl_end_of_line, ReadlineHooks::to_end);
    replace_default("\x0b", rl_kill_line, ReadlineHooks::kill_to_end);
    replace_default("\x15", rl_unix_line_discard, ReadlineHooks::kill_to_begin);
}

// Everything by which readline would touch the terminal or the process.
void fence_readline() {
    rl_readline_name = "moxie";
    rl_change_environment = 0;  // else LINES and COLUMNS are exported and ncurses ignores resizes
    rl_catch_signals = 0;
    rl_catch_sigwinch = 0;
    rl_prep_term_function = nullptr;
    rl_deprep_term_function = nullptr;
    rl_getc_function = ReadlineHooks::get_byte;
    rl_input_available_hook = ReadlineHooks::input_available;
    rl_redisplay_function = ReadlineHooks::redisplay;
    rl_attempted_completion_function = ReadlineHooks::complete;
    rl_completion_display_matches_hook = ReadlineHooks::show_matches;
    rl_completion_append_character = ' ';
    rl_basic_word_break_characters = " \n";
    static FILE* nowhere = std::fopen("/dev/null", "we");
    rl_outstream = nowhere;
}

}  // namespace

LineEditor::LineEditor() {
    MOXIE_CHECK(instance == nullptr);
    instance = this;
    fence_readline();
    rl_initialize();
    rl_variable_bind("bell-style", "none");
    rl_variable_bind("bind-tty-special-chars", "off");
    rl_variable_bind("enable-bracketed-paste", "off");  // pastes are decoded before readline
    using_history();
    rl_callback_handler_install("", ReadlineHooks::accept);
    bind_keys();
}

LineEditor::~LineEditor() {
    rl_callback_handler_remove();
    clear_history();
    instance = nullptr;
}

void LineEditor::feed(std::string_view bytes) {
    candidates_.clear();
    stepping_ = std::exchange(stepped_, false);
    if (std::exchange(literal_next_, false)) {
        rl_insert_text(std::string(bytes).c_str());
        return;
    }
    pending_.assign(bytes);
    read_ = 0;
    while (read_ < pending_.size()) {
        rl_callback_read_char();
        if (literal_next_ && read_ < pending_.size()) {
            feed(std::string(pending_).substr(read_));
            return;
        }
    }
}

void LineEditor::paste(std::string_view text) {
    if (wants_all_keys()) abort();
    candidates_.clear();
    // NUL ends readline's text; everything else may stand in a line and is made visible by the
    // composer.
    std::string clean(text);
    std::erase(clean, '\0');
    rl_begin_undo_group();
    rl_insert_text(clean.c_str());
    rl_end_undo_group();
}

void LineEditor::insert_newline() {
    rl_insert_text("\n");
}

bool LineEditor::wants_all_keys() const {
    constexpr unsigned long kStates = RL_STATE_ISEARCH | RL_STATE_NSEARCH | RL_STATE_NUMERICARG |
                                      RL_STATE_MULTIKEY | RL_STATE_METANEXT | RL_STATE_MOREINPUT |
                                      RL_STATE_VIMOTION | RL_STATE_CHARSEARCH;
    return literal_next_ || (rl_readline_state & kStates) != 0;
}

void LineEditor::abort() {
    literal_next_ = false;
    feed("\x07");
}

bool LineEditor::is_vi() const {
    return rl_editing_mode == 0;
}

std::string LineEditor::text() const {
    return {rl_line_buffer, static_cast<size_t>(rl_end)};
}

size_t LineEditor::cursor() const {
    return static_cast<size_t>(rl_point);
}

void LineEditor::move_cursor(size_t byte) {
    rl_point = static_cast<int>(std::min(byte, static_cast<size_t>(rl_end)));
}

std::string LineEditor::prompt() const {
    return rl_display_prompt == nullptr || rl_display_prompt == rl_prompt ? "" : rl_display_prompt;
}

std::optional<std::string> LineEditor::take_line() {
    return std::exchange(line_, std::nullopt);
}

void LineEditor::kill_line() {
    if (wants_all_keys()) abort();
    rl_kill_text(0, rl_end);
    // A line of the history that was emptied gets its text back, and the next search or Up begins
    // at the newest line again.
    if (where_history() < history_length) {
        rl_revert_line(1, 0);
        rl_end_of_history(1, 0);
    }
    rl_replace_line("", 1);
    rl_point = 0;
}

void LineEditor::set_text(std::string_view text) {
    rl_replace_line(std::string(text).c_str(), 0);
    rl_point = rl_end;
}

void LineEditor::add_history(const std::string& line) {
    const HIST_ENTRY* last =
        history_length > 0 ? history_get(history_base + history_length - 1) : nullptr;
    if (last == nullptr || line != last->line) {
        ::add_history(line.c_str());
        if (!history_file_.empty()) append_history(1, history_file_.c_str());
    }
    using_history();
}

void LineEditor::set_mode(std::string_view mode) {
    if (mode == "emacs" || mode == "vi")
        rl_variable_bind("editing-mode", std::string(mode).c_str());
}

void LineEditor::keep_history(const std::string& file, int limit) {
    // Times between the lines tell where one of several rows ends.
    history_comment_char = '#';
    history_write_timestamps = 1;
    history_multiline_entries = 1;
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    ::close(fd);
    read_history(file.c_str());
    stifle_history(limit);
    history_truncate_file(file.c_str(), limit);
    history_file_ = file;
    using_history();
}

const std::vector<std::string>& LineEditor::candidates() const {
    return candidates_;
}

void LineEditor::set_completer(Completer completer) {
    completer_ = std::move(completer);
}

}  // namespace ui
