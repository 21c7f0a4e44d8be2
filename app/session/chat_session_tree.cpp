// The part of ChatSession that grows and walks the tree of turns.
#include <algorithm>
#include <utility>

#include "app/session/chat_session.h"
#include "core/base/units.h"

namespace app {
namespace {

using chat::Role;
using chat::TurnId;
using chat::TurnState;

constexpr std::string_view kStopFirst = "Stop the answer first (C-c).";

}  // namespace

// Why nothing can be asked of the engine now.
std::optional<std::string> ChatSession::not_now() const {
    if (busy()) return std::string(kStopFirst);
    if (!model_) return "No model is loaded; /model PATH loads one.";
    return std::nullopt;
}

std::optional<std::string> ChatSession::regenerate(Attempt attempt, TimePoint now) {
    if (auto trouble = not_now()) return trouble;
    TurnId& prompt = attempt.prompt;
    if (prompt == 0) prompt = conversation_.tip();
    while (prompt != 0 && conversation_.turn(prompt).role != Role::user)
        prompt = conversation_.turn(prompt).parent;
    if (prompt == 0) return "There is no answer to make again.";
    answer(attempt, now);
    return std::nullopt;
}

std::optional<std::string> ChatSession::edit(TurnId id, chat::Prompt prompt, TimePoint now) {
    if (conversation_.turn(id).role == Role::assistant) {
        if (busy()) return std::string(kStopFirst);
        conversation_.add_edited(id, std::move(prompt.text));
        moved();
        return std::nullopt;
    }
    if (auto trouble = not_now()) return trouble;
    send_after(conversation_.turn(id).parent, std::move(prompt), now);
    return std::nullopt;
}

// The ids of an answer without those that stand for no text: the one that ended it, what a stop
// string cut off. Another model's, and those of an edited answer, say nothing here.
void ChatSession::begin_with(const chat::Turn& answer, Attempt& attempt) const {
    if (answer.model != model_->name || answer.tokens.empty()) {
        attempt.text = answer.text;
        return;
    }
    size_t kept = answer.tokens.size();
    while (kept > 0 && answer.text_offsets[kept - 1] >= answer.text.size())
        --kept;
    attempt.tokens.assign(answer.tokens.begin(),
                          answer.tokens.begin() + static_cast<std::ptrdiff_t>(kept));
    // Under the same seed it becomes what it would have been without the interruption. One that
    // ended by itself would end there again.
    const bool ended_itself =
        answer.state == TurnState::done && answer.reason == chat::FinishReason::stop;
    if (ended_itself || options_.fixed_seed) return;
    attempt.sampling = options_.sampling;
    attempt.sampling->seed = answer.seed != 0 ? answer.seed : answer.sampling.seed;
    attempt.fixed_seed = true;
}

std::optional<std::string> ChatSession::resume_answer(TurnId id, const std::string& text,
                                                      TimePoint now) {
    if (auto trouble = not_now()) return trouble;
    if (id == 0) id = conversation_.tip();
    if (id == 0) return "There is nothing to continue yet.";
    const chat::Turn& turn = conversation_.turn(id);
    Attempt attempt{.prompt = id};
    if (turn.role == Role::assistant) {
        attempt.prompt = turn.parent;
        begin_with(turn, attempt);
    } else if (text.empty()) {
        return "There is no answer to continue; C-x r makes one.";
    }
    attempt.text += text;
    answer(attempt, now);
    return std::nullopt;
}

// Another line is shown.
void ChatSession::moved() {
    question_.reset();
    const TurnId last = conversation_.last_answer();
    if (!running_) context_used_ = 0;
    if (last != 0 && !running_) {
        const chat::Usage& usage = conversation_.turn(last).usage;
        context_used_ = usage.prompt + usage.generated;
    }
    save();
    ask_residency();
}

std::optional<std::string> ChatSession::undo(uint32_t prompts) {
    if (busy()) return std::string(kStopFirst);
    const TurnId before = conversation_.tip();
    for (; prompts > 0 && conversation_.tip() != 0; --prompts) {
        TurnId id = conversation_.tip();
        redo_.push_back(id);
        while (conversation_.turn(id).role != Role::user && conversation_.turn(id).parent != 0)
            id = conversation_.turn(id).parent;
        conversation_.move_tip(conversation_.turn(id).parent);
    }
    if (conversation_.tip() == before) return "There is nothing to undo.";
    moved();
    return std::nullopt;
}

// Back to where undo left; without that, a prompt and its answer along the newest line; 0: nowhere.
TurnId ChatSession::next_redo() {
    const TurnId tip = conversation_.tip();
    if (!redo_.empty()) {
        const TurnId left = redo_.back();
        redo_.pop_back();
        const std::vector<TurnId> line = conversation_.line(left);
        if (tip == 0 || std::find(line.begin(), line.end(), tip) != line.end()) return left;
        redo_.clear();  // another line was shown meanwhile
    }
    const TurnId next = conversation_.newest_child(tip);
    if (next == 0 || conversation_.turn(next).role != Role::user) return next;
    const TurnId reply = conversation_.newest_child(next);
    return reply != 0 ? reply : next;
}

std::optional<std::string> ChatSession::redo(uint32_t prompts) {
    if (busy()) return std::string(kStopFirst);
    const TurnId before = conversation_.tip();
    for (; prompts > 0; --prompts) {
        const TurnId next = next_redo();
        if (next == 0) break;
        conversation_.move_tip(next);
    }
    if (conversation_.tip() == before) return "There is nothing to redo.";
    moved();
    return std::nullopt;
}

std::optional<std::string> ChatSession::show_turn(TurnId id) {
    if (busy()) return std::string(kStopFirst);
    if (!conversation_.is_on_line(id)) conversation_.move_tip(conversation_.newest_leaf(id));
    moved();
    return std::nullopt;
}

// Between answers that are being written, too.
std::optional<std::string> ChatSession::show_sibling(int step, TurnId of) {
    if (busy() && !running_) return std::string(kStopFirst);
    if (of == 0) of = conversation_.last_branch();
    if (of == 0 || !conversation_.show_sibling(of, step))
        return "No other answer here; C-x r makes one.";
    moved();
    return std::nullopt;
}

std::optional<std::string> ChatSession::fork(TurnId last, std::string title) {
    if (busy()) return std::string(kStopFirst);
    if (last == 0) return "There is nothing to fork yet.";
    const core::ForkOrigin origin{.conversation = saver_.conversation_id(), .turn = last};
    const std::string old_title = this->title();
    conversation_ = conversation_.fork(last);
    ++conversation_number_;
    saver_.begin(saver_.temporary(), origin);
    residency_.forget();
    notices_.clear();
    redo_.clear();
    removed_.clear();
    bookmarks_.clear();  // of the other conversation
    title_ = title.empty() ? old_title + " (fork)" : std::move(title);
    say("A fork of \"" + old_title + "\"" +
        (origin.conversation.empty() ? "."
                                     : "; /open " + origin.conversation + " goes back to it."));
    moved();
    return std::nullopt;
}

std::optional<std::string> ChatSession::set_flags(TurnId id, chat::TurnFlags flags) {
    if (busy()) return std::string(kStopFirst);
    const chat::TurnFlags before = conversation_.turn(id).flags;
    conversation_.set_flags(id, flags);
    library_.flag(id, flags);
    if (before.excluded != flags.excluded && conversation_.is_on_line(id)) {
        rewritten_ = "turns were left out of the context, or taken back in";
        reread_wanted_ = model_.has_value();
    }
    ask_residency();
    return std::nullopt;
}

// What a changed past costs, once the engine has said what it has of the line.
void ChatSession::tell_reread() {
    const chat::KvEntry* entry = residency_.current();
    if (entry == nullptr) return;
    say("The next answer: " + residency_label(*entry) + ", of " + core::with_commas(entry->tokens) +
        " tokens.");
}

std::optional<std::string> ChatSession::remove_subtree(TurnId id) {
    if (busy()) return std::string(kStopFirst);
    removed_.push_back({.turn = id, .tip = conversation_.tip()});
    if (conversation_.is_on_line(id) && !conversation_.show_sibling(id, -1))
        conversation_.move_tip(conversation_.turn(id).parent);
    chat::TurnFlags flags = conversation_.turn(id).flags;
    flags.removed = true;
    conversation_.set_flags(id, flags);
    library_.flag(id, flags);
    moved();
    return std::nullopt;
}

std::optional<std::string> ChatSession::restore_subtree() {
    if (busy()) return std::string(kStopFirst);
    if (removed_.empty()) return "Nothing of this conversation was removed in this session.";
    const Cut last = removed_.back();
    removed_.pop_back();
    chat::TurnFlags flags = conversation_.turn(last.turn).flags;
    flags.removed = false;
    conversation_.set_flags(last.turn, flags);
    library_.flag(last.turn, flags);
    conversation_.move_tip(last.tip);
    moved();
    return std::nullopt;
}

}  // namespace app
