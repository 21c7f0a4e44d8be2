#include "app/oneshot.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace app {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kNobodyReads = 128 + SIGPIPE;

// A load or a prefill shorter than this is over before anybody wonders.
constexpr auto kProgressAfter = std::chrono::milliseconds(500);

sigset_t oneshot_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        sigaddset(&signals, signal);
    return signals;
}

// Reads until the end of standard input. Throws Error(storage).
std::string read_input() {
    std::string text;
    std::array<char, 65536> buffer{};
    while (true) {
        const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (count == 0) return text;
        if (count > 0)
            text.append(buffer.data(), static_cast<size_t>(count));
        else if (errno != EINTR)
            throw core::Error(core::ErrorKind::storage, "standard input",
                              "cannot be read: errno " + std::to_string(errno));
    }
}

std::string_view reason_name(chat::FinishReason reason) {
    switch (reason) {
        case chat::FinishReason::stop: return "stop";
        case chat::FinishReason::length: return "length";
        case chat::FinishReason::context_full: return "context_full";
        case chat::FinishReason::cancelled: break;
    }
    return "cancelled";
}

double rate(uint32_t tokens, double seconds) {
    return seconds > 0 ? tokens / seconds : 0;
}

// The answer on standard output. The newlines at its end are held back: there will be exactly one.
class AnswerWriter {
  public:
    AnswerWriter() : terminal_(::isatty(STDOUT_FILENO) == 1) {}

    // All of these return false when nobody reads any more.
    bool write(std::string_view text) {
        std::string out = std::exchange(held_, {});
        out += terminal_ ? core::sanitize(text) : std::string(text);
        const size_t end = out.find_last_not_of('\n') + 1;
        held_ = out.substr(end);
        out.resize(end);
        started_ = started_ || !out.empty();
        return flush(out);
    }
    bool finish() { return flush("\n"); }
    bool started() const { return started_; }

    static bool flush(std::string_view text) {
        while (!text.empty()) {
            const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
            if (count >= 0)
                text.remove_prefix(static_cast<size_t>(count));
            else if (errno == EPIPE)
                return false;
            else if (errno != EINTR)
                throw core::Error(core::ErrorKind::storage, "standard output",
                                  "cannot be written: errno " + std::to_string(errno));
        }
        return true;
    }

  private:
    bool terminal_;
    bool started_ = false;
    std::string held_;
};

// "loading 41 %" on a terminal's standard error, wiped when something else is to be said.
class ProgressLine {
  public:
    void show(const chat::Progress& progress) {
        if (!terminal_ || progress.total == 0 || Clock::now() - start_ < kProgressAfter) return;
        const char* what = progress.phase == chat::Phase::loading ? "loading" : "reading";
        const auto percent = static_cast<unsigned>(progress.done * 100 / progress.total);
        std::fprintf(stderr, "\r%s %3u %%", what, percent);
        shown_ = true;
    }
    void wipe() {
        if (std::exchange(shown_, false)) std::fputs("\r              \r", stderr);
    }

  private:
    bool terminal_ = ::isatty(STDERR_FILENO) == 1;
    bool shown_ = false;
    Clock::time_point start_ = Clock::now();
};

class OneShot {
  public:
    OneShot(const OneShotOptions& options, chat::Channel& channel)
        : options_(options), channel_(channel) {
        const sigset_t signals = oneshot_signals();
        signal_fd_ = ::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    }
    ~OneShot() { ::close(signal_fd_); }
    OneShot(const OneShot&) = delete;
    OneShot& operator=(const OneShot&) = delete;

    int run();

  private:
    void wait();
    void on_signal(int signal);
    void on_closed_output();

    void on(chat::ModelReady& ready);
    void on(chat::Progress& progress) { progress_.show(progress); }
    void on(chat::Delta& delta);
    void on(chat::Finished& finished);
    void on(chat::Failed& failed);
    void on(auto& /*event*/) {}

    bool print_json(const chat::Finished& finished);
    void print_summary(const chat::Finished& finished) const;
    int status_of_signal() const { return signal_ == 0 ? 0 : 128 + signal_; }

    const OneShotOptions& options_;
    chat::Channel& channel_;
    int signal_fd_ = -1;
    int signal_ = 0;  // that interrupted
    chat::CancelFlag cancel_;
    chat::ModelReady model_;
    std::string text_;  // of the answer, for --json
    AnswerWriter writer_;
    ProgressLine progress_;
    std::optional<int> status_;
};

int OneShot::run() {
    chat::LoadModel load{.id = channel_.next_id(),
                         .path = options_.model_path,
                         .context = options_.context,
                         .kv_type = options_.kv,
                         .template_name = options_.template_name};
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

// Sleeps until the engine has something, a signal came or the reader of the output has gone.
void OneShot::wait() {
    std::array<pollfd, 3> fds{pollfd{.fd = channel_.event_fd(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                              pollfd{.fd = STDOUT_FILENO, .events = 0, .revents = 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) return;
    channel_.acknowledge_events();
    signalfd_siginfo info{};
    while (::read(signal_fd_, &info, sizeof info) == sizeof info)
        on_signal(static_cast<int>(info.ssi_signo));
    if ((fds[2].revents & POLLERR) != 0) on_closed_output();
}

// The first asks the engine to stop, and what there is gets printed; the second does not wait.
void OneShot::on_signal(int signal) {
    if (signal_ != 0) status_ = 128 + signal;
    signal_ = signal;
    cancel_->store(true);
}

void OneShot::on_closed_output() {
    cancel_->store(true);
    status_ = kNobodyReads;
}

void OneShot::on(chat::ModelReady& ready) {
    model_ = std::move(ready);
    progress_.wipe();
    if (options_.verbose)
        std::fprintf(stderr, "moxie: %s (%s, %s format), %u tokens of context, loaded in %.1f s\n",
                     core::sanitize(model_.name).c_str(), model_.family.c_str(),
                     model_.format.c_str(), model_.context, model_.seconds);
    chat::Generate request{.id = channel_.next_id(),
                           .sampling = options_.sampling,
                           .stop = options_.stop,
                           .max_tokens = options_.max_tokens,
                           .detail = chat::Detail::text,
                           .cancel = cancel_};
    if (options_.raw) {
        request.prompt = options_.prompt;
    } else {
        std::vector<chat::Message> messages;
        if (!options_.system.empty())
            messages.push_back({.role = chat::Role::system, .text = options_.system});
        messages.push_back({.role = chat::Role::user, .text = options_.prompt});
        request.prompt = std::move(messages);
    }
    channel_.submit(std::move(request));
}

void OneShot::on(chat::Delta& delta) {
    progress_.wipe();
    if (options_.json)
        text_ += delta.text;
    else if (!writer_.write(delta.text))
        on_closed_output();
}

void OneShot::on(chat::Finished& finished) {
    progress_.wipe();
    const bool printed = options_.json ? print_json(finished) : writer_.finish();
    if (options_.verbose) print_summary(finished);
    status_ = printed ? status_of_signal() : kNobodyReads;
}

void OneShot::on(chat::Failed& failed) {
    progress_.wipe();
    if (writer_.started()) writer_.finish();
    status_ = signal_ != 0 ? status_of_signal() : failed.exit_code;
    if (signal_ != 0) return;
    std::string_view problem = failed.sentence;  // in the form of all that is said on stderr
    if (problem.ends_with('.')) problem.remove_suffix(1);
    std::fprintf(stderr, "moxie: %s\n", core::sanitize(problem).c_str());
}

bool OneShot::print_json(const chat::Finished& finished) {
    const chat::Usage& usage = finished.usage;
    const nlohmann::ordered_json object = {
        {"text", text_},
        {"finish_reason", reason_name(finished.reason)},
        {"usage",
         {{"prompt_tokens", usage.prompt},
          {"reused_tokens", usage.reused},
          {"recomputed_tokens", usage.recomputed},
          {"completion_tokens", usage.generated},
          {"total_tokens", usage.prompt + usage.generated}}},
        {"timings",
         {{"load_seconds", model_.seconds},
          {"prefill_seconds", usage.prefill_seconds},
          {"first_token_seconds", usage.first_token_seconds},
          {"decode_seconds", usage.decode_seconds},
          {"prefill_tokens_per_second", rate(usage.recomputed, usage.prefill_seconds)},
          {"decode_tokens_per_second",
           rate(usage.generated == 0 ? 0 : usage.generated - 1, usage.decode_seconds)}}},
        {"seed", finished.seed}};
    return AnswerWriter::flush(object.dump() + "\n");
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

// Beside a question, what is piped in is its material: fenced.
std::string complete_prompt(const OneShotOptions& options) {
    std::string input = options.read_input ? read_input() : "";
    std::string prompt = options.prompt;
    if (options.raw) {
        prompt += input;
    } else {
        while (input.ends_with('\n'))
            input.pop_back();
        if (prompt.empty())
            prompt = input;
        else if (!input.empty())
            prompt += "\n\n```\n" + input + "\n```";
    }
    if (prompt.empty())
        throw core::Error(core::ErrorKind::usage, "", "there is no prompt",
                          "give one as an argument or on standard input, or see moxie --help");
    return prompt;
}

void block_oneshot_signals() {
    const sigset_t signals = oneshot_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

int run_oneshot(const OneShotOptions& options, chat::Channel& channel) {
    return OneShot(options, channel).run();
}

}  // namespace app
