#include "app/chat_session.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

#include "app/parameters.h"
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
    constexpr std::array<std::string_view, 6> kNames = {"no model", "load", "idle",
                                                        "prefill",  "gen",  "stopping"};
    return kNames.at(static_cast<size_t>(activity));
}

ChatSession::ChatSession(SessionOptions options, chat::Channel& channel)
    : options_(std::move(options)), channel_(channel) {
    conversation_.set_system(options_.system);
}

void ChatSession::load(std::string path, TimePoint now) {
    chat::LoadModel request{.id = channel_.next_id(),
                            .path = path,
                            .context = options_.context,
                            .kv_type = options_.kv,
                            .template_name = options_.template_name};
    loading_ = Loading{.id = request.id, .cancel = request.cancel, .path = std::move(path)};
    progress_ = {.id = request.id};
    progress_started_ = now;
    progress_from_ = 0;
    channel_.submit(std::move(request));
}

void ChatSession::send(std::string prompt, TimePoint now) {
    queue_.push_back(std::move(prompt));
    send_next(now);
}

void ChatSession::send_next(TimePoint now) {
    if (busy() || !model_ || queue_.empty()) return;
    std::string prompt = std::move(queue_.front());
    queue_.pop_front();
    answer(conversation_.add_user(std::move(prompt)), now);
}

std::optional<std::string> ChatSession::regenerate(TimePoint now) {
    if (busy()) return "Stop the answer first (C-c).";
    if (!model_) return "No model is loaded; /model PATH loads one.";
    chat::TurnId prompt = conversation_.tip();
    while (prompt != 0 && conversation_.turn(prompt).role != chat::Role::user)
        prompt = conversation_.turn(prompt).parent;
    if (prompt == 0) return "There is no answer to make again.";
    answer(prompt, now);
    return std::nullopt;
}

void ChatSession::answer(chat::TurnId prompt, TimePoint now) {
    if (!options_.fixed_seed) options_.sampling.seed = random_seed();
    chat::Generate request{.id = channel_.next_id(),
                           .prompt = conversation_.messages(prompt, model_->name),
                           .sampling = options_.sampling,
                           .stop = options_.stop,
                           .max_tokens = options_.max_tokens};
    running_ = Running{
        .id = request.id,
        .cancel = request.cancel,
        .answer = conversation_.begin_answer(prompt, model_->name, options_.sampling),
        .started = now,
    };
    progress_ = {.id = request.id, .phase = chat::Phase::prefill};
    progress_started_ = now;
    progress_from_ = 0;
    tokens_per_second_ = 0;
    rate_tokens_ = 0;
    channel_.submit(std::move(request));
}

bool ChatSession::stop() {
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

std::vector<std::string> ChatSession::take_queue() {
    std::vector<std::string> prompts(queue_.begin(), queue_.end());
    queue_.clear();
    return prompts;
}

void ChatSession::restart() {
    std::string system = conversation_.system();
    conversation_ = {};
    conversation_.set_system(std::move(system));
    notices_.clear();
    queue_.clear();
    context_used_ = 0;
    tokens_per_second_ = 0;
    first_token_seconds_ = 0;
}

bool ChatSession::show_sibling(int step) {
    const chat::TurnId answer = conversation_.last_answer();
    return !busy() && answer != 0 && conversation_.show_sibling(answer, step);
}

void ChatSession::set_sampling(const chat::Sampling& sampling, bool fixed_seed) {
    const chat::Sampling before = std::exchange(options_.sampling, sampling);
    options_.fixed_seed = fixed_seed;
    if (!running_ || before == sampling) return;
    const chat::UpdateSampling update{
        .id = channel_.next_id(), .target = running_->id, .sampling = sampling};
    updates_[update.id] = {.answer = running_->answer, .before = before, .after = sampling};
    channel_.submit(update);
}

void ChatSession::say(std::string text, bool error) {
    notices_.push_back({.id = ++last_notice_,
                        .after = conversation_.tip(),
                        .text = std::move(text),
                        .error = error});
}

bool ChatSession::drain(TimePoint now) {
    bool any = false;
    while (const auto event = channel_.poll_event()) {
        std::visit([this, now](const auto& what) { on(what, now); }, *event);
        any = true;
    }
    return any;
}

void ChatSession::on(const chat::ModelReady& ready, TimePoint now) {
    if (!loading_ || ready.id != loading_->id) return;
    loading_.reset();
    model_ = ready;
    load_failure_.reset();
    model_->name = core::sanitize(ready.name);
    context_used_ = 0;
    send_next(now);
}

// The engine answers UpdateSampling between two tokens, so that the tokens seen so far are exactly
// those before the change.
void ChatSession::on(const chat::Done& done, TimePoint /*now*/) {
    const auto update = updates_.find(done.id);
    if (update == updates_.end()) return;
    const Update& change = update->second;
    conversation_.mark_change(change.answer, change.after,
                              change_label(change.before, change.after));
    updates_.erase(update);
}

void ChatSession::on(const chat::Progress& progress, TimePoint now) {
    const bool known =
        (running_ && progress.id == running_->id) || (loading_ && progress.id == loading_->id);
    if (!known) return;
    // The first report of a phase may already have tokens from the cache in it.
    if (progress_.phase != progress.phase || progress_.total == 0) {
        progress_started_ = now;
        progress_from_ = progress.done;
    }
    progress_ = progress;
    if (progress.phase != chat::Phase::loading)
        context_used_ = static_cast<uint32_t>(progress.total);
}

void ChatSession::on(const chat::Delta& delta, TimePoint now) {
    if (!running_ || delta.id != running_->id) return;
    if (std::exchange(running_->reading, false)) {
        first_token_seconds_ = seconds_between(running_->started, now);
        rate_time_ = now;
        rate_tokens_ = 0;
    } else {
        note_rate(delta.tokens.size(), now);
    }
    context_used_ += static_cast<uint32_t>(delta.tokens.size());
    conversation_.append(running_->answer, delta);
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
    if (!running_ || finished.id != running_->id || !finished.last_choice) return;
    conversation_.finish(running_->answer, finished);
    const chat::Usage& usage = finished.usage;
    context_used_ = usage.prompt + usage.generated;
    if (usage.decode_seconds > 0 && usage.generated > 1)
        tokens_per_second_ = usage.generated / usage.decode_seconds;
    running_.reset();
    send_next(now);
}

void ChatSession::on(const chat::Failed& failed, TimePoint now) {
    updates_.erase(failed.id);
    if (running_ && failed.id == running_->id) {
        conversation_.fail(running_->answer, failed.sentence);
        running_.reset();
        send_next(now);
    } else if (loading_ && failed.id == loading_->id) {
        const bool stopped = loading_->stopping;
        loading_.reset();
        if (stopped) {
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
    return model_ ? Activity::idle : Activity::no_model;
}

double ChatSession::progress_rate(TimePoint now) const {
    const double elapsed = seconds_between(progress_started_, now);
    if (elapsed < 0.2 || progress_.done <= progress_from_) return 0;
    return static_cast<double>(progress_.done - progress_from_) / elapsed;
}

uint32_t ChatSession::answer_tokens() const {
    const chat::TurnId answer = running_ ? running_->answer : conversation_.last_answer();
    return answer == 0 ? 0 : static_cast<uint32_t>(conversation_.turn(answer).tokens.size());
}

}  // namespace app
