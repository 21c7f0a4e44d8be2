#include "core/chat/conversation.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace chat {
namespace {

// The ids that stand for the text of an answer: a stop string that was cut off, and tokens after
// it, are no part of what the model is told it said. Empty when ids and text do not meet.
std::vector<TokenId> exact_ids(const Turn& answer) {
    std::string_view rest = answer.text;
    std::vector<TokenId> ids;
    bool first = true;
    for (const Token& token : answer.tokens) {
        std::string_view bytes = token.bytes;
        // The dummy space in front of an answer is in the first token, not in the text.
        if (std::exchange(first, false) && bytes.starts_with(' ') && !rest.starts_with(' '))
            bytes.remove_prefix(1);
        if (rest.empty() && !bytes.empty()) break;
        if (!rest.starts_with(bytes)) return {};
        rest.remove_prefix(bytes.size());
        ids.push_back(token.id);
    }
    if (!rest.empty()) ids.clear();
    return ids;
}

}  // namespace

const Turn& Conversation::turn(TurnId id) const {
    MOXIE_CHECK(id > 0 && id <= turns_.size());
    return turns_[id - 1];
}

Turn& Conversation::mutable_turn(TurnId id) {
    MOXIE_CHECK(id > 0 && id <= turns_.size());
    return turns_[id - 1];
}

Turn& Conversation::add(TurnId parent, Role role, TurnState state) {
    Turn& turn = turns_.emplace_back();
    turn.id = static_cast<TurnId>(turns_.size());
    turn.parent = parent;
    turn.role = role;
    turn.state = state;
    tip_ = turn.id;
    return turn;
}

TurnId Conversation::add_user(std::string text) {
    Turn& added = add(tip_, Role::user, TurnState::done);
    added.text = std::move(text);
    return added.id;
}

TurnId Conversation::begin_answer(TurnId parent, std::string model, const Sampling& sampling) {
    Turn& answer = add(parent, Role::assistant, TurnState::streaming);
    answer.model = std::move(model);
    answer.sampling = sampling;
    return answer.id;
}

void Conversation::append(TurnId id, const Delta& delta) {
    Turn& answer = mutable_turn(id);
    answer.text += delta.text;
    answer.tokens.insert(answer.tokens.end(), delta.tokens.begin(), delta.tokens.end());
}

void Conversation::mark_change(TurnId id, const Sampling& sampling, std::string label) {
    Turn& answer = mutable_turn(id);
    answer.marks.push_back(
        {.change = {.at_token = static_cast<uint32_t>(answer.tokens.size()), .sampling = sampling},
         .text_bytes = answer.text.size(),
         .label = std::move(label)});
}

void Conversation::finish(TurnId id, const Finished& finished) {
    Turn& answer = mutable_turn(id);
    answer.state =
        finished.reason == FinishReason::cancelled ? TurnState::interrupted : TurnState::done;
    answer.reason = finished.reason;
    answer.usage = finished.usage;
    answer.seed = finished.seed;
}

void Conversation::fail(TurnId id, std::string sentence) {
    Turn& answer = mutable_turn(id);
    answer.state = TurnState::error;
    answer.error = std::move(sentence);
}

std::vector<TurnId> Conversation::line() const {
    std::vector<TurnId> line;
    for (TurnId id = tip_; id != 0; id = turn(id).parent)
        line.push_back(id);
    std::reverse(line.begin(), line.end());
    return line;
}

std::vector<Message> Conversation::messages(TurnId last, std::string_view model) const {
    std::vector<Message> messages;
    for (TurnId id = last; id != 0; id = turn(id).parent) {
        const Turn& said = turn(id);
        if (said.role == Role::assistant && said.text.empty()) continue;
        Message message{.role = said.role, .text = said.text};
        if (said.role == Role::assistant && said.model == model) message.tokens = exact_ids(said);
        messages.push_back(std::move(message));
    }
    if (!system_.empty()) messages.push_back({.role = Role::system, .text = system_});
    std::reverse(messages.begin(), messages.end());
    return messages;
}

std::vector<TurnId> Conversation::siblings(TurnId id) const {
    std::vector<TurnId> found;
    for (const Turn& other : turns_)
        if (other.parent == turn(id).parent && other.role == turn(id).role)
            found.push_back(other.id);
    return found;
}

TurnId Conversation::newest_leaf(TurnId id) const {
    // A parent is older than its children, so one walk forward reaches the newest descendant.
    TurnId leaf = id;
    for (const Turn& other : turns_)
        if (other.parent == leaf && other.id > leaf) {
            const auto family = siblings(other.id);
            leaf = family.back();
        }
    return leaf;
}

bool Conversation::show_sibling(TurnId id, int step) {
    const std::vector<TurnId> family = siblings(id);
    const auto count = static_cast<int>(family.size());
    if (count < 2) return false;
    const auto here = std::find(family.begin(), family.end(), id) - family.begin();
    const int next = ((static_cast<int>(here) + step) % count + count) % count;
    tip_ = newest_leaf(family[static_cast<size_t>(next)]);
    return true;
}

TurnId Conversation::last_answer() const {
    TurnId id = tip_;
    while (id != 0 && turn(id).role != Role::assistant)
        id = turn(id).parent;
    return id;
}

}  // namespace chat
