#include "app/chat/transcript_feed.h"

#include <algorithm>
#include <map>
#include <utility>

#include "app/settings/parameters.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using chat::FinishReason;
using chat::Turn;
using chat::TurnId;
using chat::TurnState;
using ui::StyleName;

// Keys of the transcript's items: turns by their number, the rest above.
constexpr uint64_t kNoticeKeys = uint64_t{1} << 32U;
constexpr uint64_t kQueueKeys = uint64_t{1} << 33U;
constexpr uint64_t kAttachedKey = kQueueKeys - 1;
constexpr uint64_t kDividerKeys = kNoticeKeys / 2;
constexpr uint64_t kThinkingKeys = uint64_t{3} << 62U;
constexpr size_t kLabelColumns = 12;

uint64_t queue_key(const chat::Prompt& prompt) {
    return kQueueKeys + std::hash<std::string>()(prompt.text) / 2;
}

std::string label_of(const Turn& turn) {
    if (turn.role == chat::Role::user) return "you ▸";
    const std::string_view name = core::fit_width(turn.model, kLabelColumns);
    return std::string(name.empty() ? "model" : name) + " ▾";
}

std::string trailer_of(const Turn& turn) {
    switch (turn.state) {
        case TurnState::error: return turn.error;
        case TurnState::interrupted:
            return turn.cut_off ? "interrupted: the program ended here" : "stopped";
        case TurnState::streaming:
        case TurnState::edited: return {};
        case TurnState::done: break;
    }
    if (turn.reason == FinishReason::length)
        return "cut off by --max-tokens " + std::to_string(turn.tokens.size());
    if (turn.reason == FinishReason::context_full)
        return "stopped: context full. /compact makes room, /continue goes on.";
    if (turn.role == chat::Role::assistant && turn.text.empty()) return "(an empty answer)";
    return {};
}

// "pinned ┊2/3┊ 845t"
std::string aside_of(const Turn& turn, const chat::Conversation& conversation) {
    std::string aside;
    const auto add = [&aside](std::string_view part) {
        aside += (aside.empty() ? "" : " ") + std::string(part);
    };
    if (turn.flags.pinned) add("pinned");
    if (turn.flags.excluded) add("left out");
    if (turn.flags.outside) add("outside");
    if (turn.state == TurnState::edited) add("edited");
    const std::vector<TurnId> family = conversation.siblings(turn.id);
    const auto place = std::find(family.begin(), family.end(), turn.id) - family.begin() + 1;
    if (family.size() > 1)
        add("┊" + std::to_string(place) + "/" + std::to_string(family.size()) + "┊");
    if (turn.state != TurnState::streaming && !turn.tokens.empty())
        add(std::to_string(turn.tokens.size()) + "t");
    return aside;
}

Reasoning reasoning_in(const Turn& turn) {
    if (turn.role == chat::Role::user) return {};
    return reasoning_of(turn.text, turn.state != TurnState::streaming);
}

// "412 tokens, 9.1 s": the share that they have of the time in which the answer was written.
std::string thinking_figures(const Turn& turn, const Reasoning& reasoning) {
    const auto count = static_cast<uint64_t>(
        std::ranges::lower_bound(turn.text_offsets, reasoning.end) - turn.text_offsets.begin());
    if (count == 0) return {};
    std::string text = core::with_commas(count) + (count == 1 ? " token" : " tokens");
    const chat::Usage& usage = turn.usage;
    if (usage.generated > 0 && usage.decode_seconds > 0)
        text += ", " + core::human_seconds(usage.decode_seconds * static_cast<double>(count) /
                                           usage.generated);
    return text;
}

// Of the divider before the first turn that is inside.
std::string divider_text(size_t outside) {
    return "╌╌╌ " + std::to_string(outside) +
           (outside == 1 ? " turn above is" : " turns above are") +
           " outside the context window ╌╌╌";
}

}  // namespace

std::optional<ThinkingView> thinking_view_named(std::string_view name) {
    if (name == "fold") return ThinkingView::fold;
    if (name == "show") return ThinkingView::show;
    if (name == "hide") return ThinkingView::hide;
    return std::nullopt;
}

TranscriptFeed::TranscriptFeed(ChatSession& session, const MessageFiles& message_files,
                               ui::Transcript& transcript)
    : session_(session), message_files_(message_files), transcript_(transcript) {
    transcript_.set_fill([this](size_t index) { fill(index); });
}

void TranscriptFeed::sync() {
    State now = state();
    if (!shown_ || shown_->conversation != now.conversation) {
        transcript_.truncate(0);
        transcript_.to_end();
    }
    if (shown_ != now) {
        shown_ = std::move(now);
        return rebuild();
    }
    for (const size_t index : growing_)
        transcript_.touch(index);
}

void TranscriptFeed::show_last_notice() {
    if (!session_.notices().empty())
        transcript_.show_from_top(kNoticeKeys + session_.notices().back().id);
}

void TranscriptFeed::show(TurnId turn, size_t byte) {
    const std::string_view text = session_.conversation().turn(turn).text;
    const size_t begin = reasoning_in(session_.conversation().turn(turn)).answer;
    transcript_.show(turn,
                     byte < begin ? 0 : core::sanitize(text.substr(begin, byte - begin)).size());
}

TranscriptFeed::State TranscriptFeed::state() const {
    const chat::Conversation& conversation = session_.conversation();
    State state{.conversation = session_.conversation_number(),
                .revision = conversation.revision(),
                .notices = session_.notices().size(),
                .thinking = thinking_};
    if (const TurnId tip = conversation.tip();
        tip != 0 && conversation.turn(tip).state == TurnState::streaming)
        state.tip_thinks = reasoning_in(conversation.turn(tip)).there;
    if (!session_.notices().empty()) state.last_notice = session_.notices().back().id;
    for (const Entry& entry : waiting())
        state.waiting.push_back(entry.key);
    return state;
}

// What is shown already only grows: items whose keys are the same stay.
void TranscriptFeed::rebuild() {
    entries_ = entries();
    growing_.clear();
    size_t same = 0;
    while (same < entries_.size() && same < transcript_.size() &&
           transcript_.item(same).key == entries_[same].key)
        ++same;
    transcript_.truncate(same);
    for (size_t i = 0; i < entries_.size(); ++i) {
        if (i >= same) transcript_.add({.key = entries_[i].key}, entries_[i].bytes);
        if (entries_[i].grows) growing_.push_back(i);
    }
    transcript_.touch_all();
}

std::vector<TranscriptFeed::Entry> TranscriptFeed::entries() const {
    const chat::Conversation& conversation = session_.conversation();
    std::multimap<TurnId, const Notice*> notices;
    for (const Notice& notice : session_.notices())
        notices.emplace(notice.after, &notice);
    std::vector<Entry> entries;
    const auto add_notices = [&](TurnId after) {
        const auto [begin, end] = notices.equal_range(after);
        for (auto it = begin; it != end; ++it)
            entries.push_back(entry_of(*it->second));
    };
    add_notices(0);
    size_t outside = 0;
    for (const TurnId id : conversation.line()) {
        const bool leaves = conversation.turn(id).flags.outside;
        if (outside > 0 && !leaves) {
            const uint64_t key = kDividerKeys + id;
            entries.push_back({.key = key, .block = [outside] {
                                   return Block{.item = {.label = divider_text(outside),
                                                         .label_style = StyleName::outside_context},
                                                .text = {}};
                               }});
            outside = 0;
        }
        outside += leaves ? 1 : 0;
        if (thinking_ != ThinkingView::hide && reasoning_in(conversation.turn(id)).there)
            entries.push_back(thinking_entry(id));
        entries.push_back(entry_of(id));
        add_notices(id);
    }
    for (Entry& entry : waiting())
        entries.push_back(std::move(entry));
    return entries;
}

TranscriptFeed::Entry TranscriptFeed::entry_of(TurnId id) const {
    const Turn& turn = session_.conversation().turn(id);
    return {.key = id,
            .bytes = turn.text.size(),
            .block = [this, id] { return block_of(session_.conversation().turn(id)); },
            .grows = turn.state == TurnState::streaming || !turn.files.empty()};
}

TranscriptFeed::Entry TranscriptFeed::thinking_entry(TurnId id) const {
    const Turn& turn = session_.conversation().turn(id);
    const bool shown = thinking_ == ThinkingView::show;
    return {.key = kThinkingKeys + uint64_t{id} * 2 + (shown ? 1 : 0),
            .bytes = shown ? turn.text.size() : 0,
            .block = [this, id] { return thinking_block(session_.conversation().turn(id)); },
            .grows = turn.state == TurnState::streaming};
}

TranscriptFeed::Entry TranscriptFeed::entry_of(const Notice& notice) const {
    return {.key = kNoticeKeys + notice.id, .bytes = notice.text.size(), .block = [&notice] {
                return Block{
                    .item = {.text_style = notice.error ? StyleName::error : StyleName::notice},
                    .text = notice.text};
            }};
}

// Below the conversation: the prompt on its way to the disk, those in the queue, and the files of
// the message that is being written.
std::vector<TranscriptFeed::Entry> TranscriptFeed::waiting() const {
    std::vector<Entry> entries;
    const auto add = [&](uint64_t key, const chat::Prompt& prompt, const char* label) {
        entries.push_back({.key = key,
                           .bytes = prompt.text.size(),
                           .block = [this, &prompt, label] { return waiting_block(prompt, label); },
                           .grows = !prompt.files.empty()});
    };
    if (const chat::Prompt* sending = session_.sending()) add(kQueueKeys, *sending, "saving ▸");
    for (const chat::Prompt& prompt : session_.queue())
        add(queue_key(prompt), prompt, "queued ▸");
    if (!message_files_.attached().empty())
        entries.push_back(
            {.key = kAttachedKey,
             .block =
                 [this] {
                     const chat::Attachments& files = message_files_.attached();
                     return Block{.item = {.label = "attached ▸", .label_style = StyleName::queue},
                                  .text = {},
                                  .trailer = files_text(files),
                                  .trailer_style = StyleName::queue,
                                  .files = &files};
                 },
             .grows = true});
    return entries;
}

TranscriptFeed::Block TranscriptFeed::block_of(const Turn& turn) const {
    const bool user = turn.role == chat::Role::user;
    const size_t begin = reasoning_in(turn).answer;
    return {.item = {.label = label_of(turn),
                     .aside = aside_of(turn, session_.conversation()),
                     .label_style = user ? StyleName::role_user : StyleName::role_assistant,
                     .text_style = turn.flags.excluded || turn.flags.outside
                                       ? StyleName::outside_context
                                       : StyleName::text},
            .text = std::string_view(turn.text).substr(begin),
            .text_begin = begin,
            .marks = turn.marks,
            .sampling = &turn.sampling,
            .trailer = turn.files.empty() ? trailer_of(turn) : files_text(turn.files),
            .trailer_style = turn.state == TurnState::error ? StyleName::error : StyleName::notice,
            .files = &turn.files};
}

// Folded it is a row by itself; what grows there stands below the text, of which there is none.
TranscriptFeed::Block TranscriptFeed::thinking_block(const Turn& turn) const {
    const Reasoning reasoning = reasoning_in(turn);
    const std::string figures = thinking_figures(turn, reasoning);
    if (thinking_ == ThinkingView::fold)
        return {.item = {},
                .trailer = "▸ thinking" + (figures.empty() ? "" : " (" + figures + ")"),
                .trailer_style = StyleName::thinking};
    return {.item = {.label = "▾ thinking",
                     .aside = figures,
                     .label_style = StyleName::thinking,
                     .text_style = StyleName::thinking},
            .text = std::string_view(turn.text).substr(reasoning.begin,
                                                       reasoning.end - reasoning.begin)};
}

TranscriptFeed::Block TranscriptFeed::waiting_block(const chat::Prompt& prompt,
                                                    const char* label) const {
    return {
        .item = {.label = label, .label_style = StyleName::queue, .text_style = StyleName::queue},
        .text = prompt.text,
        .trailer = files_text(prompt.files),
        .files = &prompt.files};
}

// "▪ main.cpp:10-25 · 16 lines · 312t", a row for each.
std::string TranscriptFeed::files_text(const chat::Attachments& files) const {
    std::string text;
    for (const auto& file : files) {
        if (!text.empty()) text += "\n";
        const uint32_t lines = chat::lines_of(*file);
        text += "▪ " + chat::label_of(*file) + " · " + core::with_commas(lines) +
                (lines == 1 ? " line" : " lines");
        if (const auto count = session_.file_tokens().of(file))
            text += " · " + std::to_string(*count) + "t";
    }
    return text;
}

void TranscriptFeed::fill(size_t index) {
    Block block = entries_.at(index).block();
    if (block.files != nullptr) session_.count_files(*block.files);
    transcript_.set_item(index, std::move(block.item));
    const auto text_to = [&](size_t end) {
        const size_t begin = transcript_.text_bytes(index);
        transcript_.append_text(index, block.text.substr(begin, end - begin));
    };
    // Marks are made at the end of what was there, so that earlier text never changes.
    for (size_t i = transcript_.marks(index); i < block.marks.size(); ++i) {
        const chat::ParameterMark& mark = block.marks[i];
        text_to(mark.text_bytes - std::min(mark.text_bytes, block.text_begin));
        const chat::Sampling& before =
            i == 0 ? *block.sampling : block.marks[i - 1].change.sampling;
        transcript_.append_mark(index, "┊" + change_label(before, mark.change.sampling) + " @" +
                                           std::to_string(mark.change.at_token) + "┊");
    }
    text_to(block.text.size());
    transcript_.set_trailer(index, block.trailer, block.trailer_style);
}

}  // namespace app
