#include "app/chat_view.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <map>
#include <utility>

#include "app/parameters.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using chat::Conversation;
using chat::FinishReason;
using chat::Turn;
using chat::TurnId;
using chat::TurnState;
using ui::StyleName;

// Keys of the transcript's items: turns by their number, the rest above.
constexpr uint64_t kNoticeKeys = uint64_t{1} << 32U;
constexpr uint64_t kQueueKeys = uint64_t{1} << 33U;
constexpr uint64_t kDividerKeys = kNoticeKeys / 2;
constexpr size_t kLabelColumns = 12;

// "950", "3.1k", "1.2M"
std::string short_count(uint64_t count) {
    if (count < 1000) return std::to_string(count);
    const double thousands = static_cast<double>(count) / 1e3;
    const bool millions = thousands >= 1e3;
    std::array<char, 32> text = {};
    const double value = millions ? thousands / 1e3 : thousands;
    std::snprintf(text.data(), text.size(), value < 100 ? "%.1f%c" : "%.0f%c", value,
                  millions ? 'M' : 'k');
    return text.data();
}

std::string one_decimal(double value) {
    std::array<char, 32> text = {};
    std::snprintf(text.data(), text.size(), value < 100 ? "%.1f" : "%.0f", value);
    return text.data();
}

std::string short_time(double seconds) {
    if (seconds < 1) return std::to_string(static_cast<int>(seconds * 1e3)) + "ms";
    if (seconds < 60) return one_decimal(seconds) + "s";
    return std::to_string(static_cast<int>(seconds / 60)) + "m";
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

// Which of how many siblings a turn is.
struct Place {
    uint32_t number = 1;
    uint32_t count = 1;
};

// Of every turn that is not removed. One pass: a long conversation is drawn often.
std::vector<Place> places_of(const Conversation& conversation) {
    std::vector<uint32_t> counts(2 * (size_t{conversation.size()} + 1), 0);  // [parent][is answer]
    const auto family = [](const Turn& turn) {
        return 2 * size_t{turn.parent} + (turn.role == chat::Role::assistant ? 1 : 0);
    };
    std::vector<Place> places(size_t{conversation.size()} + 1);
    for (TurnId id = 1; id <= conversation.size(); ++id)
        if (const Turn& turn = conversation.turn(id); !turn.flags.removed)
            places[id].number = ++counts[family(turn)];
    for (TurnId id = 1; id <= conversation.size(); ++id)
        places[id].count = counts[family(conversation.turn(id))];
    return places;
}

// "pinned ┊2/3┊ 845t"
std::string aside_of(const Turn& turn, const Place& place) {
    std::string aside;
    const auto add = [&aside](std::string_view part) {
        aside += (aside.empty() ? "" : " ") + std::string(part);
    };
    if (turn.flags.pinned) add("pinned");
    if (turn.flags.excluded) add("left out");
    if (turn.flags.outside) add("outside");
    if (turn.state == TurnState::edited) add("edited");
    if (place.count > 1)
        add("┊" + std::to_string(place.number) + "/" + std::to_string(place.count) + "┊");
    if (turn.state != TurnState::streaming && !turn.tokens.empty())
        add(std::to_string(turn.tokens.size()) + "t");
    return aside;
}

Block block_of(const Turn& turn, const Place& place) {
    const bool user = turn.role == chat::Role::user;
    return {.item = {.key = turn.id,
                     .label = label_of(turn),
                     .aside = aside_of(turn, place),
                     .label_style = user ? StyleName::role_user : StyleName::role_assistant,
                     .text_style = turn.flags.excluded || turn.flags.outside
                                       ? StyleName::outside_context
                                       : StyleName::text},
            .text = turn.text,
            .marks = turn.marks,
            .sampling = &turn.sampling,
            .trailer = trailer_of(turn),
            .trailer_style = turn.state == TurnState::error ? StyleName::error : StyleName::notice};
}

Block block_of(const Notice& notice) {
    return {.item = {.key = kNoticeKeys + notice.id,
                     .text_style = notice.error ? StyleName::error : StyleName::notice},
            .text = notice.text};
}

// Before turn `next`.
Block divider(size_t outside, TurnId next) {
    return {.item = {.key = kDividerKeys + next,
                     .label = "╌╌╌ " + std::to_string(outside) +
                              (outside == 1 ? " turn above is" : " turns above are") +
                              " outside the context window ╌╌╌",
                     .label_style = StyleName::outside_context},
            .text = {}};
}

std::string percent(const chat::Progress& progress) {
    if (progress.total == 0) return "";
    return " " + std::to_string(progress.done * 100 / progress.total) + "%";
}

std::string loading_text(const ChatSession& session, TimePoint now) {
    const chat::Progress& progress = session.progress();
    std::string text = progress.phase == chat::Phase::restoring ? "restoring" : "load";
    text += percent(progress);
    const double rate = session.progress_rate(now);
    if (rate > 0 && progress.total > progress.done) {
        text += " " + one_decimal(rate / 1e9) + " GB/s eta " +
                short_time(static_cast<double>(progress.total - progress.done) / rate);
    }
    return text;
}

std::string prefill_text(const ChatSession& session, TimePoint now) {
    const chat::Progress& progress = session.progress();
    std::string text = progress.phase == chat::Phase::restoring ? "restoring" : "prefill";
    text += percent(progress);
    const double rate = session.progress_rate(now);
    if (rate > 0 && progress.total > progress.done)
        text += " " + short_count(static_cast<uint64_t>(rate)) + " t/s eta " +
                short_time(static_cast<double>(progress.total - progress.done) / rate);
    std::string reason = core::sanitize(progress.reason);
    if (reason.empty()) reason = session.reread_reason();
    if (!reason.empty()) text += " - " + reason;
    return text;
}

std::string state_text(const ChatSession& session, TimePoint now) {
    switch (session.activity()) {
        case Activity::loading: return loading_text(session, now);
        case Activity::prefill: return prefill_text(session, now);
        default: break;
    }
    // The pages of a conversation come from the disk while its next prompt is typed.
    if (const auto share = session.prefetched(); share && !session.busy())
        return "restoring " + std::to_string(static_cast<int>(*share * 100)) + "%";
    return std::string(activity_name(session.activity()));
}

ui::StatusSegment residency_segment(const ChatSession& session) {
    const chat::KvEntry* entry = session.residency().current();
    if (entry == nullptr || session.busy()) return {};
    return {.text = residency_label(*entry), .priority = 40};
}

ui::StatusSegment context_segment(const ChatSession& session, double warn_share) {
    const auto& model = session.model();
    if (!model || model->context == 0) return {};
    const uint32_t used = session.context_used();
    const uint64_t share = uint64_t{used} * 100 / model->context;
    return {.text = "ctx " + short_count(used) + "/" + short_count(model->context) + " " +
                    std::to_string(share) + "%",
            .priority = 70,
            .style = share >= 95                                      ? StyleName::status_error
                     : static_cast<double>(share) >= warn_share * 100 ? StyleName::status_warn
                                                                      : StyleName::status};
}

}  // namespace

std::vector<Block> blocks_of(const ChatSession& session) {
    const Conversation& conversation = session.conversation();
    const std::vector<Place> places = places_of(conversation);
    std::multimap<TurnId, const Notice*> notices;
    for (const Notice& notice : session.notices())
        notices.emplace(notice.after, &notice);
    std::vector<Block> blocks;
    const auto add_notices = [&](TurnId after) {
        const auto [begin, end] = notices.equal_range(after);
        for (auto it = begin; it != end; ++it)
            blocks.push_back(block_of(*it->second));
    };
    add_notices(0);
    size_t outside = 0;
    for (const TurnId id : conversation.line()) {
        const Turn& turn = conversation.turn(id);
        if (outside > 0 && !turn.flags.outside)
            blocks.push_back(divider(std::exchange(outside, 0), id));
        outside += turn.flags.outside ? 1 : 0;
        blocks.push_back(block_of(turn, places[id]));
        add_notices(id);
    }
    if (session.sending() != nullptr)
        blocks.push_back({.item = {.key = kQueueKeys,
                                   .label = "saving ▸",
                                   .label_style = StyleName::queue,
                                   .text_style = StyleName::queue},
                          .text = *session.sending()});
    for (const std::string& prompt : session.queue())
        blocks.push_back({.item = {.key = kQueueKeys + std::hash<std::string>()(prompt) / 2,
                                   .label = "queued ▸",
                                   .label_style = StyleName::queue,
                                   .text_style = StyleName::queue},
                          .text = prompt});
    return blocks;
}

void show_block(ui::Transcript& transcript, size_t index, const Block& block) {
    const auto text_to = [&](size_t end) {
        const size_t begin = transcript.text_bytes(index);
        transcript.append_text(index, block.text.substr(begin, end - begin));
    };
    // Marks are made at the end of what was there, so that earlier text never changes.
    for (size_t i = transcript.marks(index); i < block.marks.size(); ++i) {
        const chat::ParameterMark& mark = block.marks[i];
        text_to(mark.text_bytes);
        const chat::Sampling& before =
            i == 0 ? *block.sampling : block.marks[i - 1].change.sampling;
        transcript.append_mark(index, "┊" + change_label(before, mark.change.sampling) + " @" +
                                          std::to_string(mark.change.at_token) + "┊");
    }
    text_to(block.text.size());
    transcript.set_trailer(index, block.trailer, block.trailer_style);
    transcript.set_aside(index, block.item.aside);
}

std::string title_of(const ChatSession& session) {
    std::string title = session.model() ? session.model()->name : "moxie";
    std::string subject = core::sanitize(session.title());
    if (subject.empty()) subject = "new chat";
    std::replace(subject.begin(), subject.end(), '\n', ' ');
    constexpr size_t kSubjectColumns = 40;
    const std::string_view shown = core::fit_width(subject, kSubjectColumns);
    if (session.saver().temporary()) title += " · temporary";
    return title + " · " + std::string(shown) + (shown.size() < subject.size() ? "…" : "");
}

std::string branch_of(const ChatSession& session) {
    const TurnId turn = session.conversation().last_branch();
    if (turn == 0) return {};
    const std::vector<TurnId> family = session.conversation().siblings(turn);
    const auto place = std::find(family.begin(), family.end(), turn) - family.begin() + 1;
    std::string text = "branch " + std::to_string(place) + "/" + std::to_string(family.size());
    std::string glyphs;
    for (const TurnId sibling : family)
        if (const chat::KvEntry* entry = session.residency().of(sibling))
            glyphs += residency_glyph(*entry);
    return text + " " + (glyphs.empty() ? "⑂" : glyphs);
}

std::vector<ui::StatusSegment> status_segments(const ChatSession& session, TimePoint now,
                                               const std::string& differences, double warn_share) {
    std::vector<ui::StatusSegment> segments;
    const bool busy = session.busy();
    segments.push_back({.text = state_text(session, now),
                        .priority = 100,
                        .style = busy ? StyleName::progress : StyleName::status});
    segments.push_back(context_segment(session, warn_share));
    if (const uint32_t outside = session.turns_outside(); outside > 0)
        segments.push_back({.text = "shifted −" + std::to_string(outside), .priority = 65});
    if (session.tokens_per_second() > 0)
        segments.push_back(
            {.text = one_decimal(session.tokens_per_second()) + " t/s", .priority = 60});
    if (session.first_token_seconds() > 0)
        segments.push_back(
            {.text = "ttft " + short_time(session.first_token_seconds()), .priority = 30});
    segments.push_back({.text = differences, .priority = 50});
    segments.push_back(residency_segment(session));
    if (!session.queue().empty())
        segments.push_back({.text = "q" + std::to_string(session.queue().size()),
                            .priority = 80,
                            .style = StyleName::status_warn});
    return segments;
}

}  // namespace app
