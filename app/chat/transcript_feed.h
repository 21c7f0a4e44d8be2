// Keeps the transcript in step with the session: turns of the line with the notices between them,
// then what waits. Here it is known which items there are; what is in one is worked out when the
// transcript is about to show it, so that a long conversation costs no more than a short one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/chat/attachments.h"
#include "app/session/chat_session.h"
#include "app/session/thinking.h"
#include "ui/transcript.h"

namespace app {

// Of the reasoning in front of an answer: how long it was, all of it, or nothing.
enum class ThinkingView : uint8_t { fold, show, hide };
// "fold", "show" or "hide"; nothing: there is no such one.
std::optional<ThinkingView> thinking_view_named(std::string_view name);

class TranscriptFeed {
  public:
    // All must outlive the feed. Nobody else writes to the transcript.
    TranscriptFeed(ChatSession& session, const MessageFiles& message_files,
                   ui::Transcript& transcript);
    TranscriptFeed(const TranscriptFeed&) = delete;
    TranscriptFeed& operator=(const TranscriptFeed&) = delete;

    // To be called when something may have changed. While an answer is written that costs the same
    // whatever stands above it.
    void sync();

    void set_thinking(ThinkingView view) { thinking_ = view; }
    ThinkingView thinking() const { return thinking_; }
    // The view moves to the first row of what the program said last, where not all of it fits.
    void show_last_notice();
    // The same to a place in the text of a turn.
    void show(chat::TurnId turn, size_t byte);

  private:
    // What an item shows; borrows from the session until its next change.
    struct Block {
        ui::TranscriptItem item;
        std::string_view text = {};  // untrusted
        size_t text_begin = 0;       // of it in the turn's, to which marks refer
        std::span<const chat::ParameterMark> marks = {};
        const chat::Sampling* sampling = nullptr;  // before the marks, where there are any
        std::string trailer = {};
        ui::StyleName trailer_style = ui::StyleName::notice;
        const chat::Attachments* files = nullptr;
    };
    struct Entry {
        uint64_t key = 0;
        size_t bytes = 0;                   // of text, about
        std::function<Block()> block = {};  // valid until the next change
        bool grows = false;                 // changes without a change of the state below
    };
    // Of two equal ones the entries are the same.
    struct State {
        uint32_t conversation = 0;
        uint64_t revision = 0;
        size_t notices = 0;
        uint64_t last_notice = 0;
        ThinkingView thinking = ThinkingView::fold;
        bool tip_thinks = false;  // an answer that is being written has reasoning
        std::vector<uint64_t> waiting = {};
        friend bool operator==(const State&, const State&) = default;
    };

    State state() const;
    void rebuild();
    std::vector<Entry> entries() const;
    Entry entry_of(chat::TurnId id) const;
    Entry entry_of(const Notice& notice) const;
    Entry thinking_entry(chat::TurnId id) const;
    std::vector<Entry> waiting() const;
    Block block_of(const chat::Turn& turn) const;
    Block thinking_block(const chat::Turn& turn) const;
    Block waiting_block(const chat::Prompt& prompt, const char* label) const;
    std::string files_text(const chat::Attachments& files) const;
    void fill(size_t index);

    ChatSession& session_;
    const MessageFiles& message_files_;
    ui::Transcript& transcript_;
    ThinkingView thinking_ = ThinkingView::fold;
    std::optional<State> shown_;
    std::vector<Entry> entries_;   // in step with the transcript's items
    std::vector<size_t> growing_;  // indices of those that do
};

}  // namespace app
