// A conversation: a tree of turns, of which one line, from a root to the tip, is shown and
// answered.
//
// Append-only: regenerate and edit add siblings and move the tip; nothing is overwritten. Answers
// keep what is needed to replay them: their token ids, parameters, changes of parameters and seed.
// One thread at a time. Invariants: (1) a parent is older than its children; (2) at most the tip is
// in the state `streaming`; (3) turns do not move in memory.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/chat/protocol.h"

namespace chat {

// Numbers turns from 1 in order of creation; 0 is no turn.
using TurnId = uint32_t;

enum class TurnState : uint8_t { streaming, done, interrupted, error };

// One change of the parameters, and where in the text it shows.
struct ParameterMark {
    SamplingChange change;
    size_t text_bytes = 0;  // of the answer when it took effect
    std::string label;      // "T 0.7→1.1"
};

struct Turn {
    TurnId id = 0;
    TurnId parent = 0;
    Role role = Role::user;
    TurnState state = TurnState::done;
    std::string text;  // as the model or the user wrote it: sanitize before it is shown
    // Answers only.
    std::string model;
    Sampling sampling;
    std::vector<ParameterMark> marks;
    std::vector<Token> tokens;
    FinishReason reason = FinishReason::stop;
    Usage usage;
    uint64_t seed = 0;
    std::string error;  // a sentence, with TurnState::error
};

class Conversation {
  public:
    bool empty() const { return turns_.empty(); }
    // Turns are numbered 1..size().
    TurnId size() const { return static_cast<TurnId>(turns_.size()); }
    TurnId tip() const { return tip_; }
    // REQUIRES: id is a turn of this conversation.
    const Turn& turn(TurnId id) const;

    // Instructions in front of every prompt; empty: none.
    const std::string& system() const { return system_; }
    void set_system(std::string text) { system_ = std::move(text); }

    // A new child of the tip, which it becomes.
    TurnId add_user(std::string text);
    // A streaming answer to `parent`, a user turn; it becomes the tip.
    TurnId begin_answer(TurnId parent, std::string model, const Sampling& sampling);
    // Appends to the streaming answer `id`.
    void append(TurnId id, const Delta& delta);
    void mark_change(TurnId id, const Sampling& sampling, std::string label);
    void finish(TurnId id, const Finished& finished);
    void fail(TurnId id, std::string sentence);

    // From the root to the tip.
    std::vector<TurnId> line() const;
    // The prompt that ends with `last` (a turn of the line): what Generate carries. Answers of
    // `model` go with their exact ids; failed and empty answers are left out.
    std::vector<Message> messages(TurnId last, std::string_view model) const;

    // Turns with the same parent and role, oldest first, itself included.
    std::vector<TurnId> siblings(TurnId id) const;
    // Shows the sibling `step` places further (wrapping around), with its newest descendants.
    // Returns false where there is none.
    bool show_sibling(TurnId id, int step);
    // The newest answer on the line, or 0.
    TurnId last_answer() const;

  private:
    Turn& mutable_turn(TurnId id);
    Turn& add(TurnId parent, Role role, TurnState state);
    TurnId newest_leaf(TurnId id) const;

    std::deque<Turn> turns_;  // turns_[id - 1]
    TurnId tip_ = 0;
    std::string system_;
};

}  // namespace chat
