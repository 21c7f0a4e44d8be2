#include "core/chat/conversation.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/error.h"

namespace chat {
namespace {

int64_t now_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace

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
    if (tip_ > size()) refuse("its tip " + std::to_string(tip_) + " is no turn");
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
    turn.created = now_ms();
    tip_ = turn.id;
    return turn;
}

void Conversation::set_system(std::string text) {
    if (text != *system_) system_ = std::make_shared<const std::string>(std::move(text));
}

TurnId Conversation::add_user(std::string text, TurnId parent) {
    Turn& added = add(parent, Role::user, TurnState::done);
    added.text = std::move(text);
    return added.id;
}

TurnId Conversation::add_edited(TurnId original, std::string text) {
    const Turn& before = turn(original);
    MOXIE_CHECK(before.role == Role::assistant);
    Turn& added = add(before.parent, Role::assistant, TurnState::edited);
    added.text = std::move(text);
    added.model = before.model;
    added.system = before.system;
    added.sampling = before.sampling;
    return added.id;
}

TurnId Conversation::begin_answer(TurnId parent, std::string model, const Sampling& sampling,
                                  uint32_t choice) {
    Turn& answer = add(parent, Role::assistant, TurnState::streaming);
    answer.model = std::move(model);
    answer.system = system_;
    answer.sampling = sampling;
    answer.choice = choice;
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
        answer.tokens.push_back(token.id);
    }
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

void Conversation::move_tip(TurnId id) {
    MOXIE_CHECK(id <= turns_.size());
    tip_ = id;
}

void Conversation::set_flags(TurnId id, TurnFlags flags) {
    MOXIE_CHECK(!flags.removed || !is_on_line(id));
    mutable_turn(id).flags = flags;
}

std::vector<TurnId> Conversation::line(TurnId last) const {
    std::vector<TurnId> line;
    for (TurnId id = last; id != 0; id = turn(id).parent)
        line.push_back(id);
    std::reverse(line.begin(), line.end());
    return line;
}

bool Conversation::is_on_line(TurnId id) const {
    TurnId at = tip_;
    while (at > id)
        at = turn(at).parent;
    return at == id;
}

std::vector<Message> Conversation::messages(TurnId last, std::string_view model) const {
    std::vector<Message> messages;
    if (!system_->empty()) messages.push_back({.role = Role::system, .text = *system_});
    for (const TurnId id : turns_sent(last)) {
        const Turn& said = turn(id);
        Message message{.role = said.role, .text = said.text};
        if (said.role == Role::assistant && said.model == model) message.tokens = said.tokens;
        messages.push_back(std::move(message));
    }
    return messages;
}

std::vector<TurnId> Conversation::turns_sent(TurnId last) const {
    std::vector<TurnId> sent = line(last);
    std::erase_if(sent, [&](TurnId id) {
        const Turn& said = turn(id);
        if (said.role == Role::assistant && said.text.empty()) return true;
        return (said.flags.excluded || said.flags.outside) && id != last;
    });
    return sent;
}

Conversation Conversation::fork(TurnId last) const {
    Conversation copy;
    copy.system_ = system_;
    for (const TurnId id : line(last)) {
        Turn& added = copy.turns_.emplace_back(turn(id));
        added.id = copy.size();
        added.parent = added.id - 1;
    }
    copy.tip_ = copy.size();
    return copy;
}

std::vector<TurnId> Conversation::siblings(TurnId id) const {
    std::vector<TurnId> found;
    const Turn& one = turn(id);
    for (const Turn& other : turns_)
        if (other.parent == one.parent && other.role == one.role &&
            (!other.flags.removed || other.id == id))
            found.push_back(other.id);
    return found;
}

TurnId Conversation::newest_leaf(TurnId id) const {
    std::vector<TurnId> newest(turns_.size() + 1, 0);
    for (const Turn& turn : turns_)
        if (!turn.flags.removed) newest[turn.parent] = turn.id;
    while (newest[id] != 0)
        id = newest[id];
    return id;
}

TurnId Conversation::newest_child(TurnId id) const {
    for (auto turn = turns_.rbegin(); turn != turns_.rend(); ++turn)
        if (turn->parent == id && !turn->flags.removed) return turn->id;
    return 0;
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

// One pass over the turns: a long conversation is asked this for every frame.
TurnId Conversation::last_branch() const {
    std::vector<uint32_t> children(2 * (turns_.size() + 1), 0);  // [parent][is an answer]
    const auto family = [](const Turn& turn) {
        return 2 * size_t{turn.parent} + (turn.role == Role::assistant ? 1 : 0);
    };
    for (const Turn& turn : turns_)
        if (!turn.flags.removed) ++children[family(turn)];
    TurnId id = tip_;
    while (id != 0 && children[family(turn(id))] < 2)
        id = turn(id).parent;
    return id;
}

TurnId Conversation::last_answer() const {
    TurnId id = tip_;
    while (id != 0 && turn(id).role != Role::assistant)
        id = turn(id).parent;
    return id;
}

}  // namespace chat
