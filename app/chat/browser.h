// What going through the transcript remembers beside the selected message: a search, and whether
// the next key is a part of one, or the letter of a bookmark.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/chat/conversation.h"
#include "ui/keys.h"

namespace app {

class ChatApp;

class Browser {
  public:
    // Whether the key was waited for: text of a search, the letter of a bookmark, rows that are
    // chosen. False: it means what it always does.
    bool on_key(ChatApp& app, const ui::Key& key, std::string_view name);

    // "/" and "?": the text comes with the next keys.
    void ask_search(bool backwards);
    // "n" and "N": the next place in the direction of the search, or against it.
    void search_on(ChatApp& app, bool against);
    // "m" and "'": the letter is the next key.
    void ask_bookmark() { waiting_ = Waiting::bookmark; }
    void ask_jump() { waiting_ = Waiting::jump; }
    // "Y": the next block of code of this message.
    void copy_code(ChatApp& app, chat::TurnId turn);

    // Leaves what is under way. The rest is kept for the next time.
    void leave(ChatApp& app);
    // What the status row tells of it; empty: nothing.
    std::string hint(const ChatApp& app) const;

  private:
    enum class Waiting : uint8_t { nothing, search, bookmark, jump };

    bool on_search_key(ChatApp& app, const ui::Key& key, std::string_view name);
    bool on_choice_key(ChatApp& app, std::string_view name);
    void letter(ChatApp& app, std::string_view name, Waiting what);

    struct Place {
        chat::TurnId turn = 0;
        size_t byte = 0;
    };
    // Of the line, behind a place or before it, around its ends.
    std::optional<Place> find(const ChatApp& app, Place from, bool backwards) const;

    Waiting waiting_ = Waiting::nothing;
    std::string input_;   // of the search that is typed
    std::string wanted_;  // searched for, in small letters
    bool backwards_ = false;
    std::optional<Place> found_;
    chat::TurnId code_of_ = 0;  // whose blocks are copied one after another
    size_t next_block_ = 0;
};

}  // namespace app
