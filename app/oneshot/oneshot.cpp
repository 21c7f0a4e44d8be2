#include "app/oneshot/oneshot.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <random>
#include <string_view>
#include <utility>

#include "app/oneshot/oneshot_kept.h"
#include "app/oneshot/oneshot_output.h"
#include "app/session/title.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNobodyReads = 128 + SIGPIPE;
constexpr int kTimedOut = 124;

// A load or a prefill shorter than this is over before anybody wonders.
constexpr auto kProgressAfter = std::chrono::milliseconds(500);
// How long an engine may take to stop before nobody waits for it any more.
constexpr auto kPatience = std::chrono::seconds(2);

sigset_t oneshot_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
        sigaddset(&signals, signal);
    return signals;
}

double rate(uint32_t tokens, double seconds) {
    return seconds > 0 ? tokens / seconds : 0;
}

// "loading 41 %" on a terminal's standard error, wiped when something else is to be said.
class ProgressLine {
  public:
    explicit ProgressLine(bool wanted) : wanted_(wanted && ::isatty(STDERR_FILENO) == 1) {}

    void show(const chat::Progress& progress) {
        if (!wanted_ || progress.total == 0 || Clock::now() - start_ < kProgressAfter) return;
        const char* what = progress.phase == chat::Phase::loading ? "loading" : "reading";
        const auto percent = static_cast<unsigned>(progress.done * 100 / progress.total);
        std::fprintf(stderr, "\r%s %3u %%", what, percent);
        shown_ = true;
    }
    void wipe() {
        if (std::exchange(shown_, false)) std::fputs("\r              \r", stderr);
    }

  private:
    bool wanted_;
    bool shown_ = false;
    Clock::time_point start_ = Clock::now();
};

class OneShot {
  public:
    OneShot(const OneShotOptions& options, chat::Channel& channel, core::StoreChannel* store)
        : options_(options),
          channel_(channel),
          output_(make_output(options)),
          progress_(!options.quiet) {
        const sigset_t signals = oneshot_signals();
        signal_fd_ = ::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
        if (options.timeout_seconds > 0)
            deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(options.timeout_seconds));
        if (store != nullptr) kept_.emplace(*store, options.save, options.keeping);
    }
    ~OneShot() { ::close(signal_fd_); }
    OneShot(const OneShot&) = delete;
    OneShot& operator=(const OneShot&) = delete;

    int run();

  private:
    std::string prepare();
    void wait();
    void stop(int status);
    void on_deadline();

    void on(chat::ModelReady& ready);
    void on(chat::Progress& progress) { progress_.show(progress); }
    void on(chat::Delta& delta);
    void on(chat::Finished& finished);
    void on(chat::Failed& failed);
    void on(auto& /*event*/) {}

    std::vector<chat::Message> messages();
    void begin_turns();
    void print_summary(const chat::Finished& finished) const;

    const OneShotOptions& options_;
    chat::Channel& channel_;
    std::unique_ptr<AnswerOutput> output_;
    ProgressLine progress_;
    std::optional<KeptConversation> kept_;
    SamplingChoice choice_;
    chat::TurnId answer_ = 0;  // in kept_
    int signal_fd_ = -1;
    std::optional<Clock::time_point> deadline_;
    int stopped_ = 0;  // the status, once something has asked to stop
    chat::CancelFlag cancel_;
    chat::ModelReady model_;
    std::optional<int> status_;
};

// The conversation that is continued decides on model and parameters, where no flag does. Returns
// the model's path.
std::string OneShot::prepare() {
    SamplingLayers layers = options_.sampling;
    std::string path = options_.model_path;
    if (kept_ && options_.resume) {
        kept_->open(*options_.resume);
        const core::ConversationHead& head = kept_->head();
        layers.put(SamplingSource::conversation,
                   sampling_values({.sampling = head.sampling, .fixed_seed = head.fixed_seed}));
        if (!options_.model_chosen && !head.model.path.empty()) path = head.model.path;
    }
    choice_ = layers.choice();
    // 32 bits: every program that reads the JSON holds them exactly, and a person can copy them.
    if (!choice_.fixed_seed) choice_.sampling.seed = std::random_device{}();
    if (kept_ && !options_.system.empty()) kept_->conversation().set_system(options_.system);
    return path;
}

int OneShot::run() {
    const std::string path = prepare();
    chat::LoadModel load{.id = channel_.next_id(),
                         .path = path,
                         .context = options_.context,
                         .kv_type = options_.kv,
                         .template_name = options_.template_name};
    if (kept_) kept_->head().model.path = path;
    cancel_ = load.cancel;
    channel_.submit(std::move(load));
    while (!status_) {
        wait();
        while (!status_) {
            auto event = channel_.poll_event();
            if (!event) break;
            std::visit([this](auto& e) { on(e); }, *event);
        }
    }
    progress_.wipe();
    return *status_;
}

// Sleeps until the engine has something, a signal or the deadline came, or the reader of the output
// has gone.
void OneShot::wait() {
    std::array<pollfd, 3> fds{pollfd{.fd = channel_.event_fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                              pollfd{.fd = STDOUT_FILENO, .events = 0, .revents = 0}};
    int timeout = -1;
    if (deadline_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
        timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
    }
    const int ready = ::poll(fds.data(), fds.size(), timeout);
    if (deadline_ && Clock::now() >= *deadline_) on_deadline();
    if (ready <= 0) return;
    channel_.acknowledge_events();
    signalfd_siginfo info{};
    while (::read(signal_fd_, &info, sizeof info) == sizeof info)
        stop(128 + static_cast<int>(info.ssi_signo));
    if ((fds[2].revents & POLLERR) != 0) {
        cancel_->store(true);
        status_ = kNobodyReads;
    }
}

// The first asks the engine to stop, and what there is gets printed; the second does not wait.
void OneShot::stop(int status) {
    if (stopped_ != 0) status_ = status;
    stopped_ = status;
    cancel_->store(true);
}

void OneShot::on_deadline() {
    stop(kTimedOut);
    deadline_ = Clock::now() + kPatience;
}

void OneShot::on(chat::ModelReady& ready) {
    model_ = std::move(ready);
    progress_.wipe();
    if (options_.verbose)
        std::fprintf(stderr, "moxie: %s (%s, %s format), %u tokens of context, loaded in %.1f s\n",
                     core::sanitize(model_.name).c_str(), model_.family.c_str(),
                     model_.format.c_str(), model_.context, model_.seconds);
    if (!output_->model(model_)) {
        status_ = kNobodyReads;
        return;
    }
    chat::Generate request{
        .id = channel_.next_id(),
        .sampling = choice_.sampling,
        .stop = options_.stop.empty() && kept_ ? kept_->head().stop : options_.stop,
        .max_tokens = choice_.max_tokens,
        .detail = options_.logprobs ? chat::Detail::full : chat::Detail::text,
        // Where neither the conversation is kept nor a folder was named, the engine has no disk.
        .persist = !options_.temporary,
        .cancel = cancel_};
    options_.keeping.apply_to(request);
    if (options_.raw)
        request.prompt = options_.prompt;
    else
        request.prompt = messages();
    begin_turns();
    channel_.submit(std::move(request));
}

std::vector<chat::Message> OneShot::messages() {
    if (kept_) {
        chat::Conversation& conversation = kept_->conversation();
        return conversation.messages(conversation.add_user(options_.prompt), model_.name);
    }
    std::vector<chat::Message> messages;
    if (!options_.system.empty())
        messages.push_back({.role = chat::Role::system, .text = options_.system});
    messages.push_back({.role = chat::Role::user, .text = options_.prompt});
    return messages;
}

// The question is on the disk before it is answered.
void OneShot::begin_turns() {
    if (!kept_ || options_.raw) return;
    core::ConversationHead& head = kept_->head();
    head.model = {.name = core::sanitize(model_.name),
                  .path = head.model.path,
                  .family = model_.family,
                  .bytes = model_.weight_bytes};
    head.sampling = choice_.sampling;
    head.fixed_seed = choice_.fixed_seed;
    if (head.title.empty()) head.title = title_from(options_.prompt);
    kept_->save(true);
    answer_ = kept_->conversation().begin_answer(kept_->conversation().tip(), head.model.name,
                                                 choice_.sampling, 0, model_.format);
}

void OneShot::on(chat::Delta& delta) {
    progress_.wipe();
    if (answer_ != 0) kept_->conversation().append(answer_, delta);
    if (output_->delta(delta)) return;
    cancel_->store(true);
    status_ = kNobodyReads;
}

void OneShot::on(chat::Finished& finished) {
    progress_.wipe();
    const bool printed = output_->end(finished, choice_);
    if (options_.verbose) print_summary(finished);
    if (answer_ != 0) {
        kept_->conversation().finish(answer_, finished);
        kept_->save(false);
        kept_->keep_line(answer_, finished);
    }
    status_ = printed ? stopped_ : kNobodyReads;
}

void OneShot::on(chat::Failed& failed) {
    progress_.wipe();
    std::string_view problem = failed.sentence;  // in the form of all that is said on stderr
    if (problem.ends_with('.')) problem.remove_suffix(1);
    output_->fail(problem);
    if (answer_ != 0) {
        kept_->conversation().fail(answer_, failed.sentence);
        kept_->save(false);
    }
    status_ = stopped_ != 0 ? stopped_ : failed.exit_code;
    if (stopped_ == 0 && !options_.quiet)
        std::fprintf(stderr, "moxie: %s\n", core::sanitize(problem).c_str());
}

void OneShot::print_summary(const chat::Finished& finished) const {
    const chat::Usage& usage = finished.usage;
    std::fprintf(stderr,
                 "moxie: %u tokens read in %.2f s (%.1f/s), %u written in %.2f s (%.1f/s), "
                 "first after %.2f s, %s, seed %llu\n",
                 usage.recomputed, usage.prefill_seconds,
                 rate(usage.recomputed, usage.prefill_seconds), usage.generated,
                 usage.decode_seconds,
                 rate(usage.generated == 0 ? 0 : usage.generated - 1, usage.decode_seconds),
                 usage.first_token_seconds, std::string(reason_name(finished.reason)).c_str(),
                 static_cast<unsigned long long>(finished.seed));
}

}  // namespace

void block_oneshot_signals() {
    const sigset_t signals = oneshot_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

int run_oneshot(const OneShotOptions& options, chat::Channel& channel, core::StoreChannel* store) {
    return OneShot(options, channel, store).run();
}

}  // namespace app
