// The line that the user edits: GNU readline in callback mode, without its input and output.
//
// Keys come in as bytes that keys.h has decoded; text, cursor and prompt go out to the composer,
// which draws them. The user's inputrc, history, kill ring and searches work. The line may have
// several rows: newlines are characters of it. readline's state is global, so there is one editor
// at a time, on one thread. The only file that uses readline.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ui {

class LineEditor {
  public:
    // Possible completions of the last word of the line up to the cursor.
    using Completer = std::function<std::vector<std::string>(std::string_view line)>;

    // REQUIRES: no other LineEditor exists; constructed before CursesTerminal.
    LineEditor();
    ~LineEditor();
    LineEditor(const LineEditor&) = delete;
    LineEditor& operator=(const LineEditor&) = delete;

    // Bytes of whole keys, in order. Never blocks.
    void feed(std::string_view bytes);
    // A paste: goes in as it is, as one step of undo. Newlines do not submit.
    void paste(std::string_view text);
    void insert_newline();

    // True while readline is in a search, a numeric argument, a quoted insert or the middle of a
    // key sequence: then every key is for it.
    bool wants_all_keys() const;
    // Leaves such a state (C-g).
    void abort();
    // The user edits in vi mode, where Escape is a key.
    bool is_vi() const;

    std::string text() const;
    // Bytes of text() before the cursor.
    size_t cursor() const;
    void move_cursor(size_t byte);
    // What readline shows in front of the line in a search or an argument; empty otherwise.
    std::string prompt() const;

    // A line that was entered, once.
    std::optional<std::string> take_line();
    // Empties the line into the kill ring, from where C-y brings it back.
    void kill_line();
    void set_text(std::string_view text);
    void add_history(const std::string& line);
    // "emacs", "vi", or "inputrc": as the user's inputrc says.
    void set_mode(std::string_view mode);
    // Reads the prompts of earlier sessions, and writes each that is added from now on; the file
    // (mode 0600) keeps the newest `limit`. Where it cannot be read or written they are forgotten.
    void keep_history(const std::string& file, int limit);
    // Possible completions of the last Tab when there were several; cleared by the next key.
    const std::vector<std::string>& candidates() const;
    void set_completer(Completer completer);

  private:
    std::string pending_;  // bytes that readline has not read yet
    size_t read_ = 0;
    bool literal_next_ = false;
    bool stepping_ = false;  // the key before went to another completion
    bool stepped_ = false;   // this one did
    std::optional<std::string> line_;
    std::vector<std::string> candidates_;
    Completer completer_;
    std::string history_file_;

    static LineEditor* instance;
    friend struct ReadlineHooks;
};

}  // namespace ui
