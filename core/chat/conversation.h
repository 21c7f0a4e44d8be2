// A conversation: a tree of turns, of which one line, from a root to the tip, is shown and
// answered.
//
// Append-only: regenerate and edit add siblings and move the tip; nothing is overwritten. Answers
// keep what is needed to replay them: their token ids, parameters, changes of parameters and seed.
// One thread at a time. Invariants: (1) a parent is older than its children; (2) turns in the state
// `streaming` are siblings; (3) turns do not move in memory.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/chat/attachment.h"
#include "core/chat/protocol.h"

namespace chat {

// Numbers turns from 1 in order of creation; 0 is no turn.
using TurnId = uint32_t;

// `edited`: an answer in the user's words.
enum class TurnState : uint8_t { streaming, done, interrupted, error, edited };

// One change of the parameters, and where in the text it shows.
struct ParameterMark {
    SamplingChange change;
    size_t text_bytes = 0;  // of the answer when it took effect
};

// What a user decided about a turn; the only part of a finished one that changes.
struct TurnFlags {
    bool pinned = false;
    bool excluded = false;  // shown, and never sent to the model
    bool outside = false;   // the same, because the context window had no room for it
    bool removed =
        false;  // with all that follows it: neither shown nor counted, until it is taken back
    friend bool operator==(const TurnFlags&, const TurnFlags&) = default;
};

struct Turn {
    TurnId id = 0;
    TurnId parent = 0;
    Role role = Role::user;
    TurnState state = TurnState::done;
    TurnFlags flags = {};
    int64_t created = 0;  // milliseconds since 1970
    std::string text;     // as the model or the user wrote it: sanitize before it is shown
    Attachments files;    // sent with it; a user's turns only
    // Answers only.
    std::string model;
    std::string format;  // the chat format that its prompt was rendered in; empty: not known
    // What stood in front of the conversation; never null. All answers given under the same
    // instructions share one copy.
    std::shared_ptr<const std::string> system = no_system();
    Sampling sampling;
    std::vector<ParameterMark> marks;
    std::vector<TokenId> tokens;
    std::vector<uint32_t> text_offsets;  // of each token: bytes of text before it
    FinishReason reason = FinishReason::stop;
    Usage usage;
    uint64_t seed = 0;
    uint32_t choice = 0;   // which of the answers that were drawn together under that seed
    std::string error;     // a sentence, with TurnState::error
    bool cut_off = false;  // interrupted because the program ended

    static const std::shared_ptr<const std::string>& no_system();
    // What the model gets of it.
    std::string whole_text() const { return text_with_files(text, files); }
};

class Conversation {
  public:
    Conversation() = default;
    // From turns 1, 2, ... as they were. A tip of 0 is the beginning, before every turn. Throws
    // core::Error(storage) where they are no tree.
    Conversation(std::vector<Turn> turns, TurnId tip, std::string system);

    bool empty() const { return turns_.empty(); }
    // Turns are numbered 1..size().
    TurnId size() const { return static_cast<TurnId>(turns_.size()); }
    TurnId tip() const { return tip_; }
    // Another number whenever anything has changed but the text and tokens of a streaming answer.
    uint64_t revision() const { return revision_; }
    // REQUIRES: id is a turn of this conversation.
    const Turn& turn(TurnId id) const;

    // Instructions in front of every prompt; empty: none.
    const std::string& system() const { return *system_; }
    void set_system(std::string text);

    // A new child of the tip, which it becomes.
    TurnId add_user(std::string text) { return add_user({.text = std::move(text)}, tip_); }
    // A child of `parent` (0: a root); it becomes the tip.
    TurnId add_user(Prompt prompt, TurnId parent);
    // A sibling of the answer `original` with a text that the user wrote; it becomes the tip.
    TurnId add_edited(TurnId original, std::string text);
    // A streaming answer to `parent`, a user turn; it becomes the tip.
    TurnId begin_answer(TurnId parent, std::string model, const Sampling& sampling,
                        uint32_t choice = 0, std::string format = {});
    // Appends to the streaming answer `id`.
    void append(TurnId id, const Delta& delta);
    void mark_change(TurnId id, const Sampling& sampling);
    void finish(TurnId id, const Finished& finished);
    void fail(TurnId id, std::string sentence);

    // Shows the line that ends with `id`; 0: none of it.
    void move_tip(TurnId id);
    // REQUIRES: no turn that is removed by it is on the line to the tip.
    void set_flags(TurnId id, TurnFlags flags);

    // From the root to the tip, or to `last`.
    std::vector<TurnId> line() const { return line(tip_); }
    std::vector<TurnId> line(TurnId last) const;
    bool is_on_line(TurnId id) const;
    // The prompt that ends with `last`: what Generate carries. Answers of `model` go with their
    // exact ids, never to be tokenized again; failed, empty and excluded ones, and those outside
    // the window, are left out.
    std::vector<Message> messages(TurnId last, std::string_view model) const;
    // The turns that are in it, in order; the system text, which comes before them, is none.
    std::vector<TurnId> turns_sent(TurnId last) const;
    // The line to `last` as a conversation of its own, its turns numbered anew.
    Conversation fork(TurnId last) const;

    // Turns with the same parent and role, oldest first, itself included.
    std::vector<TurnId> siblings(TurnId id) const;
    // Shows the sibling `step` places further (wrapping around), with its newest descendants.
    // Returns false where there is none.
    bool show_sibling(TurnId id, int step);
    // The turn of the line that has siblings and is nearest to the tip; 0: the line has no branch.
    TurnId last_branch() const { return facts().last_branch; }
    // Turns of the line that the context window has no room for.
    uint32_t turns_outside() const { return facts().outside; }
    // The newest answer on the line, or 0.
    TurnId last_answer() const;
    // The turn in which a line through `id` ends: itself, or its newest descendant.
    TurnId newest_leaf(TurnId id) const;
    // The newest turn behind the line, one step on; 0: the line ends here.
    TurnId newest_child(TurnId id) const;
    // Turns without children, removed ones too: one for each line of the tree.
    std::vector<TurnId> leaves() const;

  private:
    // Of a turn, or of the place before all (0): so that walking the tree costs what is walked.
    struct Links {
        TurnId newest_child = 0;
        TurnId older_sibling = 0;  // the child of the same parent before it
    };

    // Of the line that is shown, at some revision: they are asked for every frame.
    struct LineFacts {
        uint64_t revision = 0;
        TurnId last_branch = 0;
        uint32_t outside = 0;
    };

    const LineFacts& facts() const;
    Turn& mutable_turn(TurnId id);
    Turn& add(TurnId parent, Role role, TurnState state);
    void link(const Turn& turn);

    std::deque<Turn> turns_;                            // turns_[id - 1]
    std::vector<Links> links_ = std::vector<Links>(1);  // by id
    uint64_t revision_ = 1;
    TurnId tip_ = 0;
    mutable LineFacts facts_;
    std::shared_ptr<const std::string> system_ = Turn::no_system();
};

}  // namespace chat
