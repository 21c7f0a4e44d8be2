#include "core/chat/conversation.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"

namespace chat {

const std::shared_ptr<const std::string>& Turn::no_system() {
    static const auto none = std::make_shared<const std::string>();
    return none;
}

Conversation::Conversation(std::vector<Turn> turns, TurnId tip, std::string system) : tip_(tip) {
    set_system(std::move(system));
    const auto refuse = [](std::string problem) {
        throw core::Error(core::ErrorKind::storage, "conversation", std::move(problem));
    };
    for (Turn& turn : turns) {
        const TurnId expected = size() + 1;
        if (turn.id != expected) refuse("turn " + std::to_string(expected) + " is missing");
        if (turn.parent >= turn.id)
            refuse("turn " + std::to_string(turn.id) + " is older than its parent");
        turns_.push_back(std::move(turn));
    }
    if (tip_ > size() || (tip_ == 0 && size() != 0))
        refuse("its tip " + std::to_string(tip_) + " is no turn");
}

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

void Conversation::set_system(std::string text) {
    if (text != *system_) system_ = std::make_shared<const std::string>(std::move(text));
}

TurnId Conversation::add_user(std::string text) {
    Turn& added = add(tip_, Role::user, TurnState::done);
    added.text = std::move(text);
    return added.id;
}

TurnId Conversation::begin_answer(TurnId parent, std::string model, const Sampling& sampling) {
    Turn& answer = add(parent, Role::assistant, TurnState::streaming);
    answer.model = std::move(model);
    answer.system = system_;
    answer.sampling = sampling;
    return answer.id;
}

void Conversation::append(TurnId id, const Delta& delta) {
    Turn& answer = mutable_turn(id);
    // Several tokens of one Delta are told apart by their bytes, which may differ from the text at
    // its ends: a space that is no content, a stop string.
    size_t offset = answer.text.size();
    answer.text += delta.text;
    for (const Token& token : delta.tokens) {
        answer.text_offsets.push_back(static_cast<uint32_t>(std::min(offset, answer.text.size())));
        offset += token.bytes.size();
    }
    answer.tokens.insert(answer.tokens.end(), delta.tokens.begin(), delta.tokens.end());
}

void Conversation::mark_change(TurnId id, const Sampling& sampling) {
    Turn& answer = mutable_turn(id);
    answer.marks.push_back(
        {.change = {.at_token = static_cast<uint32_t>(answer.tokens.size()), .sampling = sampling},
         .text_bytes = answer.text.size()});
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
        if (said.role == Role::assistant && said.model == model)
            for (const Token& token : said.tokens)
                message.tokens.push_back(token.id);
        messages.push_back(std::move(message));
    }
    if (!system_->empty()) messages.push_back({.role = Role::system, .text = *system_});
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
    std::vector<TurnId> newest_child(turns_.size() + 1, 0);
    for (const Turn& turn : turns_)
        newest_child[turn.parent] = turn.id;
    while (newest_child[id] != 0)
        id = newest_child[id];
    return id;
}

std::vector<TurnId> Conversation::leaves() const {
    std::vector<bool> has_child(turns_.size() + 1, false);
    for (const Turn& turn : turns_)
        has_child[turn.parent] = true;
    std::vector<TurnId> found;
    for (const Turn& turn : turns_)
        if (!has_child[turn.id]) found.push_back(turn.id);
    return found;
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
