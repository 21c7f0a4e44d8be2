#include "app/chat/chat_view.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "core/base/utf8.h"

namespace app {
namespace {

using chat::TurnId;
using ui::StyleName;

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
