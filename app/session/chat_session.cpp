#include "app/session/chat_session.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

#include "app/settings/parameters.h"
#include "core/base/utf8.h"

namespace app {
namespace {

double seconds_between(TimePoint from, TimePoint to) {
    return std::chrono::duration<double>(to - from).count();
}

uint64_t random_seed() {
    std::random_device device;
    // 32 bits are enough to be different and short enough to be typed again.
    return device();
}

}  // namespace

std::string_view activity_name(Activity activity) {
    constexpr std::array<std::string_view, 11> kNames = {
        "no model", "open",     "load",     "idle",       "saving", "prefill",
        "gen",      "stopping", "counting", "compacting", "naming"};
    return kNames.at(static_cast<size_t>(activity));
}

ChatSession::ChatSession(SessionOptions options, chat::Channel& channel, core::StoreChannel* store)
    : options_(std::move(options)),
      usual_stop_(options_.stop),
      channel_(channel),
      saver_(store),
      file_tokens_(channel) {
    conversation_.set_system(options_.system);
    saver_.begin(options_.temporary);
}

void ChatSession::start(TimePoint now) {
    load_model(options_.model_path, {}, options_.model_chosen ? Asked::by_user : Asked::by_itself,
               now);
}

void ChatSession::load(std::string path, TimePoint now) {
    context_wanted_.reset();
    load_model(std::move(path), {}, Asked::by_user, now);
}

void ChatSession::load_model(std::string path, std::string fallback, Asked asked, TimePoint now) {
    now_ = now;
    LoadPlan plan{.context = options_.context,
                  .kv = options_.kv,
                  .template_name = options_.template_name,
                  .refusal = {}};
    if (options_.plan_load) plan = options_.plan_load(path);
    if (context_wanted_) plan.context = *context_wanted_;
    if (asked == Asked::by_itself && !plan.refusal.empty()) {
        say(plan.refusal);
        if (!fallback.empty()) load_model(std::move(fallback), {}, asked, now);
        return;
    }
    save_waiting_pages();
    chat::LoadModel request{.id = channel_.next_id(),
                            .path = path,
                            .context = plan.context,
                            .kv_type = plan.kv,
                            .template_name = plan.template_name,
                            .threads = plan.threads};
    loading_ = Loading{.id = request.id,
                       .cancel = request.cancel,
                       .path = std::move(path),
                       .fallback = std::move(fallback)};
    progress_ = {.id = request.id};
    progress_started_ = now;
    progress_from_ = 0;
    channel_.submit(std::move(request));
}

void ChatSession::generate(const Attempt& attempt, TimePoint now) {
    chat::Sampling sampling = attempt.sampling.value_or(options_.sampling);
    if (!attempt.fixed_seed && !options_.fixed_seed) sampling.seed = random_seed();
    chat::Generate request{.id = channel_.next_id(),
                           .prompt = conversation_.messages(attempt.prompt, model_->name),
                           .forced_prefix = attempt.tokens,
                           .forced_text = attempt.text,
                           .sampling = sampling,
                           .stop = options_.stop,
                           .max_tokens = options_.max_tokens,
                           .choices = attempt.count,
                           .persist = !saver_.temporary()};
    saver_.keeping().apply_to(request);
    running_ = Running{.id = request.id, .cancel = request.cancel, .answers = {}, .started = now};
    for (uint32_t choice = 0; choice < attempt.count; ++choice)
        running_->answers.push_back(conversation_.begin_answer(attempt.prompt, model_->name,
                                                               sampling, choice, model_->format));
    conversation_.move_tip(running_->answers.front());
    compare_with_past(attempt.prompt, *running_);
    progress_ = {.id = request.id, .phase = chat::Phase::prefill};
    progress_started_ = now;
    progress_from_ = 0;
    tokens_per_second_ = 0;
    rate_tokens_ = 0;
    channel_.submit(std::move(request));
    save();
}

bool ChatSession::stop() {
    if (sending_) sending_->stopped = true;
    if (counting_) counting_->stopped = true;
    if (compacting_) compacting_->cancel->store(true);
    if (running_) {
        running_->cancel->store(true);
        running_->stopping = true;
    }
    if (loading_) {
        loading_->cancel->store(true);
        loading_->stopping = true;
    }
    return busy();
}

void ChatSession::restart(bool temporary) {
    std::string system = conversation_.system();
    conversation_ = {};
    ++conversation_number_;
    conversation_.set_system(std::move(system));
    saver_.begin(temporary || options_.temporary);
    residency_.forget();
    options_.stop = usual_stop_;
    title_.clear();
    redo_.clear();
    removed_.clear();
    bookmarks_.clear();
    notices_.clear();
    queue_.clear();
    question_.reset();
    context_used_ = 0;
    tokens_per_second_ = 0;
    first_token_seconds_ = 0;
}

void ChatSession::set_system(std::string text) {
    conversation_.set_system(std::move(text));
    save();
    ask_residency();
}

void ChatSession::set_sampling(const chat::Sampling& sampling, bool fixed_seed) {
    const chat::Sampling before = std::exchange(options_.sampling, sampling);
    options_.fixed_seed = fixed_seed;
    if (before.logit_bias != sampling.logit_bias && model_) bias_model_ = model_->name;
    save();
    if (!running_ || before == sampling) return;
    chat::UpdateSampling update{
        .id = channel_.next_id(), .target = running_->id, .sampling = sampling};
    // A seed that was drawn for this answer stays its seed.
    if (!fixed_seed)
        update.sampling.seed = conversation_.turn(running_->answers.front()).sampling.seed;
    updates_[update.id] = {
        .answers = running_->answers, .before = before, .after = update.sampling};
    channel_.submit(update);
}

void ChatSession::set_stop(std::vector<std::string> texts) {
    options_.stop = std::move(texts);
    save();
}

void ChatSession::say(std::string text, bool error) {
    say_after(conversation_.tip(), std::move(text), error);
}

void ChatSession::say_after(chat::TurnId turn, std::string text, bool error) {
    notices_.push_back(
        {.id = ++last_notice_, .after = turn, .text = std::move(text), .error = error});
}

bool ChatSession::drain(TimePoint now) {
    now_ = now;
    bool any = false;
    if (core::StoreChannel* store = saver_.store())
        while (auto event = store->events.pop()) {
            std::visit([this, now](auto& what) { on(what, now); }, *event);
            any = true;
        }
    while (const auto event = channel_.poll_event()) {
        std::visit([this, now](const auto& what) { on(what, now); }, *event);
        any = true;
    }
    return any;
}

void ChatSession::on(const chat::ModelReady& ready, TimePoint now) {
    if (!loading_ || ready.id != loading_->id) return;
    loaded_path_ = std::exchange(loading_, std::nullopt)->path;
    model_ = ready;
    load_failure_.reset();
    model_->name = core::sanitize(ready.name);
    line_states_.serve(&*model_);
    saved_state_news_ = true;
    drop_foreign_biases();
    if (std::exchange(prefetch_wanted_, false))
        ask_kv(chat::KvAction::prefetch, {conversation_.tip()}, false);
    else
        context_used_ = 0;
    ask_residency();
    if (when_loaded_) return answer(*std::exchange(when_loaded_, std::nullopt), now);
    send_next(now);
}

// The engine answers UpdateSampling between two tokens, so that the tokens seen so far are exactly
// those before the change.
void ChatSession::on(const chat::Done& done, TimePoint /*now*/) {
    if (const auto asked = kv_requests_.find(done.id); asked != kv_requests_.end()) {
        const KvRequest ended = asked->second;
        kv_requests_.erase(asked);
        return tell_kv(ended);
    }
    if (done.id == unloading_) {
        unloading_ = 0;
        model_.reset();
        residency_.forget();
        line_states_.serve(nullptr);
        return say("Unloaded. /reload brings the model back, /model another one.");
    }
    const auto update = updates_.find(done.id);
    if (update == updates_.end()) return;
    const Update& change = update->second;
    for (const chat::TurnId answer : change.answers)
        conversation_.mark_change(answer, change.after);
    updates_.erase(update);
}

void ChatSession::on(const chat::Progress& progress, TimePoint now) {
    if (const auto asked = kv_requests_.find(progress.id); asked != kv_requests_.end())
        asked->second.progress = progress;
    const bool known = (running_ && progress.id == running_->id) ||
                       (loading_ && progress.id == loading_->id) ||
                       (compacting_ && progress.id == compacting_->id);
    if (!known) return;
    // The first report of a phase may already have tokens from the cache in it.
    if (progress_.phase != progress.phase || progress_.total == 0) {
        progress_started_ = now;
        progress_from_ = progress.done;
    }
    progress_ = progress;
    if (progress.phase == chat::Phase::prefill)
        context_used_ = static_cast<uint32_t>(progress.total);
}

void ChatSession::on(const chat::Delta& delta, TimePoint now) {
    if (compacting_ && delta.id == compacting_->id) compacting_->summary += delta.text;
    if (!running_ || delta.id != running_->id || delta.choice >= running_->answers.size()) return;
    if (std::exchange(running_->reading, false)) {
        first_token_seconds_ = seconds_between(running_->started, now);
        rate_time_ = now;
        rate_tokens_ = 0;
    } else {
        note_rate(delta.tokens.size(), now);
    }
    if (delta.choice == 0) context_used_ += static_cast<uint32_t>(delta.tokens.size());
    conversation_.append(running_->answers[delta.choice], delta);
}

// Moving average over two seconds, sampled ten times a second: tokens are drained in bunches.
void ChatSession::note_rate(size_t tokens, TimePoint now) {
    constexpr double kWindow = 2.0;
    constexpr double kSample = 0.1;
    rate_tokens_ += tokens;
    const double elapsed = seconds_between(rate_time_, now);
    if (elapsed < kSample) return;
    const double rate = static_cast<double>(rate_tokens_) / elapsed;
    const double weight = tokens_per_second_ == 0 ? 1.0 : 1.0 - std::exp(-elapsed / kWindow);
    tokens_per_second_ += weight * (rate - tokens_per_second_);
    rate_tokens_ = 0;
    rate_time_ = now;
}

void ChatSession::on(const chat::Stats& stats, TimePoint /*now*/) {
    if (running_ && stats.context_used > 0) context_used_ = stats.context_used;
}

void ChatSession::on(const chat::Finished& finished, TimePoint now) {
    if (compacting_ && finished.id == compacting_->id) return compacted(finished.reason, now);
    if (!running_ || finished.id != running_->id || finished.choice >= running_->answers.size())
        return;
    conversation_.finish(running_->answers[finished.choice], finished);
    saver_.keep_line(running_->answers[finished.choice], finished);
    if (!finished.last_choice) return;
    const chat::Usage& usage = finished.usage;
    context_used_ = usage.prompt + usage.generated;
    if (usage.decode_seconds > 0 && usage.generated > 1)
        tokens_per_second_ = usage.generated / usage.decode_seconds;
    const Running ended = *std::exchange(running_, std::nullopt);
    tell_reading(ended, usage);
    save();
    ask_residency();
    send_next(now);
}

void ChatSession::on(const chat::Failed& failed, TimePoint now) {
    updates_.erase(failed.id);
    if (line_states_.on(failed)) return;
    if (file_tokens_.on(failed)) return;
    if (spellings_.erase(failed.id) > 0) return say(failed.sentence, true);
    if (const auto asked = kv_requests_.find(failed.id); asked != kv_requests_.end()) {
        if (asked->second.asked_for) say(failed.sentence, true);
        kv_requests_.erase(asked);
    } else if (failed.id == reported_listing_) {
        reported_listing_ = 0;
        say(failed.sentence, true);
    } else if (counting_ && failed.id == counting_->id) {
        // The engine says what is wrong with the prompt when it is asked to answer it.
        generate(std::exchange(counting_, std::nullopt)->attempt, now);
    } else if (compacting_ && failed.id == compacting_->id) {
        say(failed.sentence, true);
        compacted(chat::FinishReason::cancelled, now);
    } else if (running_ && failed.id == running_->id) {
        for (const chat::TurnId answer : running_->answers)
            if (conversation_.turn(answer).state == chat::TurnState::streaming)
                conversation_.fail(answer, failed.sentence);
        running_.reset();
        save();
        send_next(now);
    } else if (loading_ && failed.id == loading_->id) {
        const Loading ended = *std::exchange(loading_, std::nullopt);
        context_wanted_.reset();
        if (std::exchange(when_loaded_, std::nullopt))
            say("The message was not answered; C-x r asks again.");
        if (!ended.stopping && !ended.fallback.empty()) {
            say(failed.sentence + " Another model answers instead.", true);
            return load_model(ended.fallback, {}, Asked::by_itself, now);
        }
        if (ended.stopping) {
            say(model_ ? "Loading stopped; the model before it stays."
                       : "Loading stopped. /model PATH loads a model.");
        } else {
            say(failed.sentence, true);
            if (!model_) {
                load_failure_ = failed;
                say("No model is loaded. /model PATH loads one.");
            }
        }
        send_next(now);
    }
}

Activity ChatSession::activity() const {
    if (running_) {
        if (running_->stopping) return Activity::stopping;
        return running_->reading ? Activity::prefill : Activity::generating;
    }
    if (loading_) return loading_->stopping ? Activity::stopping : Activity::loading;
    if (compacting_) return compacting_->title ? Activity::naming : Activity::compacting;
    if (counting_) return counting_->stopped ? Activity::stopping : Activity::counting;
    if (opening_) return Activity::opening;
    if (sending_) return sending_->stopped ? Activity::stopping : Activity::saving;
    return model_ ? Activity::idle : Activity::no_model;
}

double ChatSession::progress_rate(TimePoint now) const {
    const double elapsed = seconds_between(progress_started_, now);
    if (elapsed < 0.2 || progress_.done <= progress_from_) return 0;
    return static_cast<double>(progress_.done - progress_from_) / elapsed;
}

uint32_t ChatSession::answer_tokens() const {
    const chat::TurnId answer = running_ ? running_->answers.front() : conversation_.last_answer();
    return answer == 0 ? 0 : static_cast<uint32_t>(conversation_.turn(answer).tokens.size());
}

}  // namespace app
