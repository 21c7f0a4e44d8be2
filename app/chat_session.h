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

#include "app/chat_saver.h"
#include "app/residency.h"
#include "core/chat/channel.h"
#include "core/chat/conversation.h"
#include "core/chat/protocol.h"
#include "core/store/records.h"

namespace app {

// `opening`: a saved conversation is read; `saving`: a prompt is on its way to the disk.
enum class Activity : uint8_t {
    no_model,
    opening,
    loading,
    idle,
    saving,
    prefill,
    generating,
    stopping,
};

// The word of an activity in the status row and on the control socket.
std::string_view activity_name(Activity activity);

struct SessionOptions {
    std::string model_path = {};
    bool model_chosen = false;  // else a conversation that is opened brings its own
    chat::Sampling sampling = {};
    bool fixed_seed = false;  // else every answer gets a seed of its own
    std::string system = {};
    bool temporary = false;  // no conversation of this session is kept
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
    // Without a store nothing is saved.
    ChatSession(SessionOptions options, chat::Channel& channel,
                core::StoreChannel* store = nullptr);

    // --- what the user does -------------------------------------------------------------------
    // Loads the model of the options.
    void start(TimePoint now);
    // Opens the saved conversation whose id begins with `prefix` (none: the last one), with the
    // model it had. Whatever goes wrong is told; then the conversation that was there stays.
    // REQUIRES: not busy().
    void open(std::string prefix);
    void load(std::string path, TimePoint now);
    // Sends a prompt, or queues it while something runs or no model is there.
    void send(std::string prompt, TimePoint now);
    // Answers the last prompt again, as a sibling. Returns why not, or nothing.
    std::optional<std::string> regenerate(TimePoint now);
    // Stops loading, reading or answering; what there is of an answer stays. False: nothing runs.
    bool stop();
    // Takes the prompts that wait, oldest first.
    std::vector<std::string> take_queue();
    // A new, empty conversation; a temporary one is kept nowhere. REQUIRES: not busy().
    void restart(bool temporary = false);
    bool show_sibling(int step);
    void set_sampling(const chat::Sampling& sampling, bool fixed_seed);
    void set_system(std::string text);
    void say(std::string text, bool error = false);
    // Asks about or changes what the KV cache has of the conversation: list tells, save and
    // prefetch act on the line that is shown, drop on all lines. Returns why not, or nothing.
    std::optional<std::string> manage_kv(chat::KvAction action);
    // Removes the saved conversation and begins a new one. `restore` takes back the last removal;
    // `purge` removes for ever, with what the KV cache has of it. Returns why not, or nothing.
    std::optional<std::string> remove(core::Removal how);
    // The end: what there is of a running answer is given to the store.
    void end(TimePoint now);

    // --- what the engine does -----------------------------------------------------------------
    // Takes all events that are there, the store's too. Returns whether there were any.
    bool drain(TimePoint now);
    // Time has passed: saves a running answer when that is due.
    void tick(TimePoint now);
    std::optional<TimePoint> next_wakeup() const;

    // --- what can be seen ---------------------------------------------------------------------
    Activity activity() const;
    bool busy() const { return running_ || loading_ || sending_ || opening_; }
    const chat::Conversation& conversation() const { return conversation_; }
    // Another number whenever another conversation is shown.
    uint32_t conversation_number() const { return conversation_number_; }
    const ChatSaver& saver() const { return saver_; }
    const Residency& residency() const { return residency_; }
    // The prompt that is on its way to the disk; null: none.
    const std::string* sending() const { return sending_ ? &sending_->text : nullptr; }
    // Share of a restore that was asked for in advance, 0..1; nothing: none is under way.
    std::optional<double> prefetched() const;
    // Why the past of the conversation is read again; empty: it is not, or nobody knows.
    std::string reread_reason() const;
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
        uint32_t past = 0;        // tokens that were read or written for the answer before
        std::string reason = {};  // why they cannot be reused
        size_t tokens_saved = 0;
        bool reading = true;  // before the first token
        bool stopping = false;
    };
    struct Loading {
        chat::RequestId id = 0;
        chat::CancelFlag cancel;
        std::string path;
        bool stopping = false;
        std::string fallback = {};  // loaded when this fails; empty: nothing
    };
    // A prompt that is not drawn as sent before it is on the disk.
    struct Sending {
        core::StoreRequestId id = 0;
        std::string text;
        bool stopped = false;
    };
    struct Opening {
        core::StoreRequestId id = 0;
        core::ConversationRef ref = 0;
        bool at_start = false;  // no model is there yet
    };
    struct KvRequest {
        chat::KvAction action = chat::KvAction::list;
        bool asked_for = false;  // by the user, who is told how it ended
        TimePoint started;
        chat::Progress progress = {};
    };
    struct Update {
        chat::TurnId answer = 0;
        chat::Sampling before;
        chat::Sampling after;
    };

    void load_model(std::string path, std::string fallback, TimePoint now);
    void answer(chat::TurnId prompt, TimePoint now);
    void send_next(TimePoint now);
    void send_now(std::string prompt, bool stopped, TimePoint now);
    void sent(TimePoint now);
    void note_rate(size_t tokens, TimePoint now);
    void compare_with_past(chat::TurnId prompt, Running& running) const;
    void tell_reading(const Running& ended, const chat::Usage& usage);

    void save();
    core::ConversationHead head(std::string_view first_prompt) const;
    void adopt(const Opening& opened, const core::StoredConversation& stored, TimePoint now);
    void take_parameters(const core::ConversationHead& stored);
    void ask_residency();
    void ask_kv(chat::KvAction action, const std::vector<chat::TurnId>& ends, bool asked_for);
    void tell_kv(const KvRequest& ended);
    void say_after(chat::TurnId turn, std::string text, bool error = false);

    void on(const core::StoreOpened& opened, TimePoint now);
    void on(const core::Saved& saved, TimePoint now);
    void on(const core::Loaded& loaded, TimePoint now);
    void on(const core::Removed& removed, TimePoint now);
    void on(const core::StoreFailed& failed, TimePoint now);

    void on(const chat::ModelReady& ready, TimePoint now);
    void on(const chat::KvListed& listed, TimePoint now);
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
    ChatSaver saver_;
    Residency residency_;
    chat::Conversation conversation_;
    uint32_t conversation_number_ = 0;
    std::vector<Notice> notices_;
    uint64_t last_notice_ = 0;
    std::deque<std::string> queue_;
    std::optional<chat::ModelReady> model_;
    std::optional<chat::Failed> load_failure_;
    std::optional<Running> running_;
    std::optional<Loading> loading_;
    std::optional<Sending> sending_;
    std::optional<Opening> opening_;
    std::string loaded_path_;       // of model_
    bool prefetch_wanted_ = false;  // when the model is there
    std::map<chat::RequestId, KvRequest> kv_requests_;
    chat::RequestId reported_listing_ = 0;  // a KvListed that the user asked for
    std::string deleted_id_;                // what /undelete brings back
    core::StoreRequestId restoring_ = 0;
    std::map<core::StoreRequestId, std::string> removals_;  // what to say when they are done
    TimePoint now_;
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
