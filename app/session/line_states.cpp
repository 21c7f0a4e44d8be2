#include "app/session/line_states.h"

#include <algorithm>
#include <utility>

#include "app/session/residency.h"

namespace app {
namespace {

// So that one answer of the engine never waits for many lines to be rendered.
constexpr size_t kMostUnderWay = 4;

// No vocabulary has so many bytes for each token of a text; what has more fits no window of so many
// tokens, and rendering it only to see that would hold up the engine.
constexpr size_t kMostBytesOfToken = 64;

size_t byte_count(const std::vector<chat::Message>& messages) {
    size_t bytes = 0;
    for (const chat::Message& message : messages)
        bytes += message.text.size();
    return bytes;
}

}  // namespace

void LineStates::serve(const chat::ModelReady* model) {
    ++changes_;
    known_.clear();
    under_way_.clear();  // their answers are of the model before
    model_ = model != nullptr ? model->name : "";
    context_ = model != nullptr ? model->context : 0;
    cache_changed();
}

bool LineStates::wants(const Key& key, int64_t updated) const {
    if (under_way_.size() >= kMostUnderWay) return false;
    if (std::ranges::any_of(under_way_, [&](const UnderWay& line) { return line.key == key; }))
        return false;
    const auto known = known_.find(key);
    return known == known_.end() || known->second.epoch != epoch_ ||
           known->second.updated != updated;
}

void LineStates::look_at(const std::vector<const core::ConversationHead*>& conversations) {
    core::StoreChannel* store = saver_.store();
    if (store == nullptr) return;
    for (const core::ConversationHead* head : conversations) {
        if (!wants({.conversation = head->id}, head->updated)) continue;
        const core::StoreRequestId id = saver_.next_request();
        under_way_.push_back({.key = {.conversation = head->id},
                              .epoch = epoch_,
                              .updated = head->updated,
                              .reading = id});
        if (model_.empty())
            store->requests.push(core::LookForPages{.id = id, .conversation = head->id});
        else
            store->requests.push(
                core::ReadLine{.id = id, .conversation = head->id, .model = model_});
    }
}

void LineStates::look_at(const chat::Conversation& tree, uint32_t number,
                         const std::vector<chat::TurnId>& ends) {
    if (model_.empty()) return;
    for (const chat::TurnId end : ends) {
        const Key key{.number = number, .end = end};
        if (!wants(key, 0)) continue;
        UnderWay& line = under_way_.emplace_back(UnderWay{.key = key, .epoch = epoch_});
        ask(line, tree.messages(end, model_));
    }
}

void LineStates::ask(UnderWay& line, std::vector<chat::Message> messages) {
    line.reading = 0;
    line.asked = channel_.next_id();
    chat::Kv question{.id = line.asked, .action = chat::KvAction::list};
    question.lines.push_back(std::move(messages));
    channel_.submit(std::move(question));
}

void LineStates::settle(UnderWay line, std::string label) {
    ++changes_;
    known_[std::move(line.key)] = {
        .label = std::move(label), .epoch = line.epoch, .updated = line.updated};
}

template <class Which>
std::vector<LineStates::UnderWay>::iterator LineStates::find(Which&& which) {
    return std::find_if(under_way_.begin(), under_way_.end(), which);
}

bool LineStates::on(const core::LineRead& read) {
    const auto line = find([&](const UnderWay& each) { return each.reading == read.id; });
    if (read.id == 0 || line == under_way_.end()) return false;
    const std::vector<chat::Message>& messages = read.lines.front();
    if (!messages.empty() && byte_count(messages) <= size_t{context_} * kMostBytesOfToken) {
        ask(*line, messages);
        return true;
    }
    settle(std::move(*line), messages.empty() ? "" : "○ longer than the context window");
    under_way_.erase(line);
    return true;
}

bool LineStates::on(const core::PagesFound& found) {
    const auto line = find([&](const UnderWay& each) { return each.reading == found.id; });
    if (found.id == 0 || line == under_way_.end()) return false;
    settle(std::move(*line), found.pages ? residency_label(*found.pages) : "-");
    under_way_.erase(line);
    return true;
}

bool LineStates::on(const core::StoreFailed& failed) {
    const auto line = find([&](const UnderWay& each) { return each.reading == failed.id; });
    if (failed.id == 0 || line == under_way_.end()) return false;
    settle(std::move(*line), {});
    under_way_.erase(line);
    return true;
}

bool LineStates::on(const chat::KvListed& listed) {
    const auto line = find([&](const UnderWay& each) { return each.asked == listed.id; });
    if (listed.id == 0 || line == under_way_.end()) return false;
    settle(std::move(*line),
           listed.entries.empty() ? std::string() : residency_label(listed.entries.front()));
    under_way_.erase(line);
    return true;
}

// A line that this model cannot read: ids that it does not have.
bool LineStates::on(const chat::Failed& failed) {
    const auto line = find([&](const UnderWay& each) { return each.asked == failed.id; });
    if (failed.id == 0 || line == under_way_.end()) return false;
    settle(std::move(*line), {});
    under_way_.erase(line);
    return true;
}

std::string LineStates::label(const Key& key) const {
    const auto known = known_.find(key);
    return known == known_.end() ? "" : known->second.label;
}

std::string LineStates::label(const core::ConversationHead& conversation) const {
    return label(Key{.conversation = conversation.id});
}

std::string LineStates::label(uint32_t number, chat::TurnId end) const {
    return label(Key{.number = number, .end = end});
}

}  // namespace app
