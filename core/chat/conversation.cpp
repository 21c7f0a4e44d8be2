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
        link(turn);
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
    link(turn);
    return turn;
}

void Conversation::link(const Turn& turn) {
    ++revision_;
    links_.resize(size_t{turn.id} + 1);
    links_[turn.id].older_sibling = links_[turn.parent].newest_child;
    links_[turn.parent].newest_child = turn.id;
}

void Conversation::set_system(std::string text) {
    if (text == *system_) return;
    system_ = std::make_shared<const std::string>(std::move(text));
    ++revision_;
}

TurnId Conversation::add_user(Prompt prompt, TurnId parent) {
    Turn& added = add(parent, Role::user, TurnState::done);
    added.text = std::move(prompt.text);
    added.files = std::move(prompt.files);
    return added.id;
}

TurnId Conversation::add_edited(TurnId original, std::string text) {
    const Turn& before = turn(original);
    MOXIE_CHECK(before.role == Role::assistant);
    Turn& added = add(before.parent, Role::assistant, TurnState::edited);
    added.text = std::move(text);
    added.model = before.model;
    added.format = before.format;
    added.system = before.system;
    added.sampling = before.sampling;
    return added.id;
}

TurnId Conversation::begin_answer(TurnId parent, std::string model, const Sampling& sampling,
                                  uint32_t choice, std::string format) {
    Turn& answer = add(parent, Role::assistant, TurnState::streaming);
    answer.model = std::move(model);
    answer.format = std::move(format);
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
    ++revision_;
    Turn& answer = mutable_turn(id);
    answer.marks.push_back(
        {.change = {.at_token = static_cast<uint32_t>(answer.tokens.size()), .sampling = sampling},
         .text_bytes = answer.text.size()});
}

void Conversation::finish(TurnId id, const Finished& finished) {
    ++revision_;
    Turn& answer = mutable_turn(id);
    answer.state =
        finished.reason == FinishReason::cancelled ? TurnState::interrupted : TurnState::done;
    answer.reason = finished.reason;
    answer.usage = finished.usage;
    answer.seed = finished.seed;
}

void Conversation::fail(TurnId id, std::string sentence) {
    ++revision_;
    Turn& answer = mutable_turn(id);
    answer.state = TurnState::error;
    answer.error = std::move(sentence);
}

void Conversation::move_tip(TurnId id) {
    MOXIE_CHECK(id <= turns_.size());
    ++revision_;
    tip_ = id;
}

void Conversation::set_flags(TurnId id, TurnFlags flags) {
    MOXIE_CHECK(!flags.removed || !is_on_line(id));
    ++revision_;
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
        Message message{.role = said.role, .text = said.whole_text()};
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
        copy.link(added);
    }
    copy.tip_ = copy.size();
    return copy;
}

std::vector<TurnId> Conversation::siblings(TurnId id) const {
    std::vector<TurnId> found;
    const Turn& one = turn(id);
    TurnId child = links_[one.parent].newest_child;
    for (; child != 0; child = links_[child].older_sibling) {
        const Turn& other = turn(child);
        if (other.role == one.role && (!other.flags.removed || child == id)) found.push_back(child);
    }
    std::reverse(found.begin(), found.end());
    return found;
}

TurnId Conversation::newest_leaf(TurnId id) const {
    while (const TurnId child = newest_child(id))
        id = child;
    return id;
}

TurnId Conversation::newest_child(TurnId id) const {
    TurnId child = links_[id].newest_child;
    while (child != 0 && turn(child).flags.removed)
        child = links_[child].older_sibling;
    return child;
}

std::vector<TurnId> Conversation::leaves() const {
    std::vector<TurnId> found;
    for (const Turn& turn : turns_)
        if (links_[turn.id].newest_child == 0) found.push_back(turn.id);
    return found;
}

bool Conversation::show_sibling(TurnId id, int step) {
    const std::vector<TurnId> family = siblings(id);
    const auto count = static_cast<int>(family.size());
    if (count < 2) return false;
    const auto here = std::find(family.begin(), family.end(), id) - family.begin();
    const int next = ((static_cast<int>(here) + step) % count + count) % count;
    move_tip(newest_leaf(family[static_cast<size_t>(next)]));
    return true;
}

const Conversation::LineFacts& Conversation::facts() const {
    if (facts_.revision == revision_) return facts_;
    facts_ = {.revision = revision_};
    for (TurnId id = tip_; id != 0; id = turn(id).parent) {
        if (facts_.last_branch == 0 && siblings(id).size() > 1) facts_.last_branch = id;
        facts_.outside += turn(id).flags.outside ? 1 : 0;
    }
    return facts_;
}

TurnId Conversation::last_answer() const {
    TurnId id = tip_;
    while (id != 0 && turn(id).role != Role::assistant)
        id = turn(id).parent;
    return id;
}

}  // namespace chat
