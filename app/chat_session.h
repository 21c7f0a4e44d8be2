// One conversation with one engine: what was said, what is running, what is waiting.
//
// The client's side of the protocol, without a screen: requests go out, events change the state,
// whoever wants to show it reads it. UI thread only; nothing here waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat/channel.h"
#include "core/chat/conversation.h"
#include "core/chat/protocol.h"

namespace app {

using TimePoint = std::chrono::steady_clock::time_point;

enum class Activity : uint8_t { no_model, loading, idle, prefill, generating, stopping };

// The word of an activity in the status row and on the control socket.
std::string_view activity_name(Activity activity);

struct SessionOptions {
    chat::Sampling sampling;
    bool fixed_seed = false;  // else every answer gets a seed of its own
    std::string system = {};
    std::string template_name = {};
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    uint32_t max_tokens = 0;
    std::vector<std::string> stop = {};
};

// Something the program says in the transcript, after a turn (0: at the top).
struct Notice {
    uint64_t id = 0;
    chat::TurnId after = 0;
    std::string text;
    bool error = false;
};

class ChatSession {
  public:
    ChatSession(SessionOptions options, chat::Channel& channel);

    // --- what the user does -------------------------------------------------------------------
    void load(std::string path, TimePoint now);
    // Sends a prompt, or queues it while something runs or no model is there.
    void send(std::string prompt, TimePoint now);
    // Answers the last prompt again, as a sibling. Returns why not, or nothing.
    std::optional<std::string> regenerate(TimePoint now);
    // Stops loading, reading or answering; what there is of an answer stays. False: nothing runs.
    bool stop();
    // Takes the prompts that wait, oldest first.
    std::vector<std::string> take_queue();
    // A new, empty conversation. REQUIRES: not busy().
    void restart();
    bool show_sibling(int step);
    void set_sampling(const chat::Sampling& sampling, bool fixed_seed);
    void set_system(std::string text) { conversation_.set_system(std::move(text)); }
    void say(std::string text, bool error = false);

    // --- what the engine does -----------------------------------------------------------------
    // Takes all events that are there. Returns whether there were any.
    bool drain(TimePoint now);

    // --- what can be seen ---------------------------------------------------------------------
    Activity activity() const;
    bool busy() const { return running_.has_value() || loading_.has_value(); }
    const chat::Conversation& conversation() const { return conversation_; }
    const std::vector<Notice>& notices() const { return notices_; }
    const std::deque<std::string>& queue() const { return queue_; }
    const chat::Sampling& sampling() const { return options_.sampling; }
    bool fixed_seed() const { return options_.fixed_seed; }
    const std::optional<chat::ModelReady>& model() const { return model_; }
    // Why there is no model, when the last load has failed and none was there before.
    const std::optional<chat::Failed>& load_failure() const { return load_failure_; }
    // Of loading or reading, where that is what happens.
    const chat::Progress& progress() const { return progress_; }
    // Units of progress per second, 0 while unknown.
    double progress_rate(TimePoint now) const;
    uint32_t context_used() const { return context_used_; }
    double tokens_per_second() const { return tokens_per_second_; }
    double first_token_seconds() const { return first_token_seconds_; }
    // Tokens of the answer that runs, or of the last one.
    uint32_t answer_tokens() const;

  private:
    struct Running {
        chat::RequestId id = 0;
        chat::CancelFlag cancel;
        chat::TurnId answer = 0;
        TimePoint started;
        bool reading = true;  // before the first token
        bool stopping = false;
    };
    struct Loading {
        chat::RequestId id = 0;
        chat::CancelFlag cancel;
        std::string path;
        bool stopping = false;
    };
    struct Update {
        chat::TurnId answer = 0;
        chat::Sampling before;
        chat::Sampling after;
    };

    void answer(chat::TurnId prompt, TimePoint now);
    void send_next(TimePoint now);
    void note_rate(size_t tokens, TimePoint now);

    void on(const chat::ModelReady& ready, TimePoint now);
    void on(const chat::Done& done, TimePoint now);
    void on(const chat::Progress& progress, TimePoint now);
    void on(const chat::Delta& delta, TimePoint now);
    void on(const chat::Stats& stats, TimePoint now);
    void on(const chat::Finished& finished, TimePoint now);
    void on(const chat::Failed& failed, TimePoint now);
    template <typename Other>
    void on(const Other& /*event*/, TimePoint /*now*/) {}

    SessionOptions options_;
    chat::Channel& channel_;
    chat::Conversation conversation_;
    std::vector<Notice> notices_;
    uint64_t last_notice_ = 0;
    std::deque<std::string> queue_;
    std::optional<chat::ModelReady> model_;
    std::optional<chat::Failed> load_failure_;
    std::optional<Running> running_;
    std::optional<Loading> loading_;
    std::map<chat::RequestId, Update> updates_;
    chat::Progress progress_;
    TimePoint progress_started_;
    uint64_t progress_from_ = 0;
    uint32_t context_used_ = 0;
    double tokens_per_second_ = 0;
    double first_token_seconds_ = 0;
    size_t rate_tokens_ = 0;  // since rate_time_
    TimePoint rate_time_;
};

}  // namespace app
