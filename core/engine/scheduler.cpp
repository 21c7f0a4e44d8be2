#include "core/engine/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/model/identity.h"

namespace core {
namespace {

constexpr auto kStatsInterval = std::chrono::milliseconds(250);

// Tokens after which what was measured of reading counts half.
constexpr double kReadingMemory = 4096;

// Alternatives that a preview shows.
constexpr uint32_t kPreviewed = 20;

std::vector<TokenId> never_sampled(const ServedModel& model) {
    return model.tokenizer->never_sampled(model.vocab);
}

}  // namespace

Scheduler::Scheduler(const ServedModel& model, uint32_t prefill_chunk,
                     std::function<Clock::time_point()> now, DiskThread* disk)
    : model_(&model),
      now_(std::move(now)),
      prefill_pace_(prefill_chunk),
      store_(*model.pages,
             {.model = model.identity,
              .type = model.pages->layout().type(),
              .numerics_version = kNumericsVersion},
             disk),
      sampler_(model.vocab, never_sampled(model)) {}

void Scheduler::generate(chat::Channel& channel, chat::Generate request) {
    if (idle()) pace_ = {.last_told = now_()};
    sessions_.emplace_back(channel, std::move(request), *model_, store_);
}

void Scheduler::prefill(chat::Channel& channel, chat::Prefill request) {
    sessions_.emplace_back(channel, std::move(request), *model_, store_);
}

Session* Scheduler::find(const chat::Channel& channel, chat::RequestId id) {
    const auto session = std::ranges::find_if(
        sessions_, [&](const Session& s) { return &s.channel() == &channel && s.id() == id; });
    return session == sessions_.end() ? nullptr : &*session;
}

void Scheduler::update_sampling(const chat::Channel& channel, const chat::UpdateSampling& request) {
    if (Session* session = find(channel, request.target))
        session->update_sampling(request.sampling);
}

std::vector<chat::Alternative> Scheduler::preview(const chat::Channel& channel,
                                                  const chat::Preview& request) {
    std::optional<LastChoice> last;
    if (const Session* session = find(channel, request.target))
        last = session->last_choice();
    else if (ended_ && ended_->channel == &channel && ended_->id == request.target)
        last = ended_->choice;
    if (!last) throw Error(ErrorKind::usage, "preview", "that answer has no token at hand");
    auto alternatives =
        sampler_.preview(last->logits, request.sampling,
                         {.prompt = last->prompt, .answer = last->answer}, kPreviewed);
    for (chat::Alternative& alternative : alternatives)
        alternative.bytes = model_->tokenizer->bytes(alternative.id);
    return alternatives;
}

double Scheduler::reading_rate() const {
    return reading_seconds_ > 0 ? tokens_read_ / reading_seconds_ : 0;
}

bool Scheduler::ready() const {
    return !out_of_pages_ &&
           std::ranges::any_of(sessions_, [](const Session& s) { return !s.restoring(); });
}

void Scheduler::follow_disk() {
    if (!store_.poll()) return;
    out_of_pages_ = false;
    for (Session& session : sessions_)
        session.follow_restore();
}

void Scheduler::step() {
    for (Session& session : sessions_)
        if (session.cancelled()) session.cancel();
    remove_ended();
    if (!ready()) return;
    const auto start = now_();
    const Composition pass = fill_batch();
    if (batch_.empty()) return;
    const auto committed = run_pass();
    if (!committed) return;
    const auto seconds = std::chrono::duration<double>(now_() - start).count();
    prefill_pace_.passed(pass.answers, pass.prompt_tokens, seconds);
    note_reading(pass, seconds);

    const auto total = [&] {
        uint64_t tokens = 0;
        for (const Session& session : sessions_)
            tokens += session.tokens_chosen();
        return tokens;
    };
    const uint64_t before = total();
    distribute(pass.shares, *committed);
    const uint64_t chosen = total() - before;
    if (chosen > 0) {
        pace_.seconds += std::chrono::duration<double>(now_() - start).count();
        pace_.tokens += chosen;
        pace_.bytes += model_->decode_bytes;
    }
    tell_stats();
    remove_ended();
}

void Scheduler::cancel(const chat::Channel* channel) {
    for (Session& session : sessions_)
        if (channel == nullptr || &session.channel() == channel) session.cancel();
    remove_ended();
    if (channel == nullptr || (ended_ && ended_->channel == channel)) ended_.reset();
}

void Scheduler::fail(const Error& error) {
    for (Session& session : sessions_)
        session.fail(error);
    remove_ended();
}

void Scheduler::remove_ended() {
    for (auto session = sessions_.begin(); session != sessions_.end();) {
        if (!session->over()) {
            ++session;
            continue;
        }
        if (auto last = session->last_choice())
            ended_ = {
                .channel = &session->channel(), .id = session->id(), .choice = std::move(*last)};
        session->leave();
        session = sessions_.erase(session);
    }
}

Scheduler::Composition Scheduler::fill_batch() {
    batch_.clear();
    Composition pass;
    std::vector<uint32_t> left;
    for (const Session& session : sessions_) {
        pass.answers += session.answers_running();
        left.push_back(session.left_to_read());
    }
    const auto tokens = share_allowance(prefill_pace_.allowance(pass.answers), left);
    auto own = tokens.begin();
    for (Session& session : sessions_) {
        const size_t first = batch_.size();
        pass.prompt_tokens += session.add_slices(batch_, *own++);
        if (batch_.size() > first)
            pass.shares.push_back(
                {.session = &session, .first_slice = first, .slices = batch_.size() - first});
    }
    return pass;
}

// Nothing has changed when forward() finds no page: those that were not used for the longest time
// make room, then those that are being written as soon as they are. When none is left the youngest
// session gives up, so that the others can go on.
std::optional<std::vector<bool>> Scheduler::run_pass() {
    while (true) {
        try {
            return model_->forward(batch_, logits_);
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::memory && store_.evict()) continue;
            if (error.kind() == ErrorKind::memory && store_.writing()) {
                out_of_pages_ = true;
                return std::nullopt;
            }
            if (error.kind() == ErrorKind::memory) {
                fail_youngest();
            } else {
                for (Session& session : sessions_)
                    session.fail(error);
            }
            remove_ended();
            return std::nullopt;
        }
    }
}

void Scheduler::fail_youngest() {
    Session& youngest = sessions_.back();
    youngest.fail(Error(ErrorKind::memory, "",
                        "ran out of memory growing the context at " +
                            std::to_string(youngest.context_used()) + " tokens",
                        "what was written so far is kept; use a smaller --ctx or --kv q8"));
}

void Scheduler::distribute(const std::vector<Share>& shares, const std::vector<bool>& committed) {
    size_t row = 0;
    for (const Share& share : shares) {
        const auto slices = std::span(batch_).subspan(share.first_slice, share.slices);
        const auto rows = static_cast<size_t>(std::ranges::count_if(
            slices, [](const Slice& slice) { return slice.logits != LogitRows::none; }));
        const auto first = committed.begin() + static_cast<std::ptrdiff_t>(share.first_slice);
        const std::vector<bool> own(first, first + static_cast<std::ptrdiff_t>(share.slices));
        const auto logits =
            std::span<const float>(logits_).subspan(row * model_->vocab, rows * model_->vocab);
        row += rows;
        try {
            share.session->take_results(own, logits, sampler_);
            if (share.session->undrained())
                throw Error(ErrorKind::backend, "",
                            "the client left too many events unread, so its answer was stopped");
        } catch (const Error& error) {
            share.session->fail(error);
        }
    }
}

void Scheduler::note_reading(const Composition& pass, double seconds) {
    if (pass.answers > 0) return;
    if (tokens_read_ > kReadingMemory) {
        tokens_read_ /= 2;
        reading_seconds_ /= 2;
    }
    tokens_read_ += pass.prompt_tokens;
    reading_seconds_ += seconds;
}

void Scheduler::tell_stats() {
    if (now_() - pace_.last_told < kStatsInterval) return;
    chat::Stats stats{.weight_bytes = model_->weight_bytes,
                      .kv_bytes_in_use = model_->pages->bytes_in_use(),
                      .kv_bytes_budget = model_->kv_budget,
                      .running = static_cast<uint32_t>(sessions_.size())};
    if (pace_.seconds > 0) {
        stats.tokens_per_second = static_cast<double>(pace_.tokens) / pace_.seconds;
        stats.bytes_per_second = static_cast<double>(pace_.bytes) / pace_.seconds;
    }
    for (const Session& session : sessions_) {
        if (session.over()) continue;
        stats.context_used = session.context_used();
        session.channel().emit(stats);
    }
    pace_ = {.last_told = now_()};
}

}  // namespace core
