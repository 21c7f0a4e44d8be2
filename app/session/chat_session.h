// One conversation with one engine: what was said, what is running, what is waiting.
//
// The client's side of the protocol, without a screen: requests go out, events change the state,
// whoever wants to show it reads it. UI thread only; nothing here waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/session/chat_saver.h"
#include "app/session/context_plan.h"
#include "app/session/file_tokens.h"
#include "app/session/library.h"
#include "app/session/line_states.h"
#include "app/session/residency.h"
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
    counting,    // whether a prompt fits
    compacting,  // turns that leave the context are being summed up
    naming,      // the model is asked for a title
};

// The word of an activity in the status row and on the control socket.
std::string_view activity_name(Activity activity);

// How a model is loaded, and whether it is without being asked for.
struct LoadPlan {
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    std::string template_name = {};
    unsigned threads = 0;      // 0 = as before
    std::string refusal = {};  // why it is not loaded by itself; empty: it is
};

struct SessionOptions {
    std::string model_path = {};
    bool model_chosen = false;  // else a conversation that is opened brings its own
    // Null: as the options below say.
    std::function<LoadPlan(const std::string& path)> plan_load = {};
    chat::Sampling sampling = {};
    bool fixed_seed = false;  // else every answer gets a seed of its own
    std::string system = {};
    bool system_chosen = false;  // else a conversation that is opened keeps its own
    bool titles = true;          // from the first words, where the user gives none
    bool temporary = false;      // no conversation of this session is kept
    std::string template_name = {};
    uint32_t context = 0;
    chat::KvTypeChoice kv = chat::KvTypeChoice::f16;
    uint32_t max_tokens = 0;
    std::vector<std::string> stop = {};
    ContextPolicy context_policy = ContextPolicy::stop;
    uint32_t context_reserve = 1024;  // tokens kept for an answer without a limit
};

// A question of the program, answered with one key.
enum class Offer : uint8_t { none, continue_or_regenerate, read_only_or_temporary };

// An answer that is asked for.
struct Attempt {
    chat::TurnId prompt = 0;  // the user's turn
    uint32_t count = 1;       // so many at once, as siblings
    // For these answers alone; nothing: those of the session.
    std::optional<chat::Sampling> sampling = {};
    bool fixed_seed = false;  // that of `sampling`
    // What the answer begins with: exact ids, then text.
    std::vector<chat::TokenId> tokens = {};
    std::string text = {};
};

// What can be done for a prompt that does not fit the context.
enum class ContextChoice : uint8_t { leave_out, compact, enlarge, fork, cancel };

// The question in front of an answer whose prompt does not fit.
struct ContextQuestion {
    Attempt attempt;
    ContextPlan plan;
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
    // The last conversation; where there is none, a new one, and nothing is said about it.
    void open_last();
    void load(std::string path, TimePoint now);
    // Sends a prompt, or queues it while something runs or no model is there.
    void send(chat::Prompt prompt, TimePoint now);
    // Stops loading, reading or answering; what there is of an answer stays. False: nothing runs.
    bool stop();
    // Takes the prompts that wait, oldest first.
    std::vector<chat::Prompt> take_queue();
    // One of them. REQUIRES: index < queue().size().
    chat::Prompt take_queued(size_t index);
    // A new, empty conversation; a temporary one is kept nowhere. REQUIRES: not busy().
    void restart(bool temporary = false);
    void set_sampling(const chat::Sampling& sampling, bool fixed_seed);
    void set_stop(std::vector<std::string> texts);
    const std::vector<std::string>& stop_texts() const { return options_.stop; }
    void set_max_tokens(uint32_t tokens) { options_.max_tokens = tokens; }
    void set_system(std::string text);
    // What goes to the disk from now on, beside texts.
    void set_keeping(const Keeping& keeping) { saver_.set_keeping(keeping); }
    // The engine lets go of the model. Returns why not, or nothing.
    std::optional<std::string> unload();
    void say(std::string text, bool error = false);
    // Asks about or changes what the KV cache has of the conversation: list tells, save and
    // prefetch act on the line that is shown, drop on all lines. Returns why not, or nothing.
    std::optional<std::string> manage_kv(chat::KvAction action);
    // The same for a saved conversation, by its whole id (chat_session_library.cpp).
    std::optional<std::string> manage_kv(chat::KvAction action, const std::string& conversation);
    // Asks the engine about tokens; `then` gets what it says, unless it fails, which is told.
    void spell(chat::Spell question, std::function<void(const chat::Spelled& spelled)> then);
    // --- the tree: nothing is overwritten. What is said no to is said why; nothing: it is done.
    // Answers again, as siblings: the prompt of the attempt, 0: the last one on the line.
    std::optional<std::string> regenerate(Attempt attempt, TimePoint now);
    // Sends another text in place of the user's turn `id`, as its sibling, and answers it; or puts
    // one in place of an answer, as a sibling that is marked edited.
    std::optional<std::string> edit(chat::TurnId id, chat::Prompt prompt, TimePoint now);
    // Goes on with an answer (0: the last turn), in a sibling that begins with what is there and
    // then `text`. To a prompt without an answer: an answer that begins with `text`.
    std::optional<std::string> resume_answer(chat::TurnId id, const std::string& text,
                                             TimePoint now);
    // Takes prompts with their answers off the end of the line, and puts them back.
    std::optional<std::string> undo(uint32_t prompts);
    std::optional<std::string> redo(uint32_t prompts);
    // Shows the line that `id` is on, down to its newest end.
    std::optional<std::string> show_turn(chat::TurnId id);
    // The sibling `step` places on, of a turn of the line (0: of the branch nearest to its end).
    std::optional<std::string> show_sibling(int step, chat::TurnId of = 0);
    // A new conversation that begins with the line up to `last`.
    std::optional<std::string> fork(chat::TurnId last, std::string title);
    std::optional<std::string> set_flags(chat::TurnId id, chat::TurnFlags flags);

    // --- the context window (chat_session_context.cpp) ----------------------------------------
    // Nothing leaves it silently: what to do is asked, or told. Null: nothing is asked.
    const ContextQuestion* context_question() const { return question_ ? &*question_ : nullptr; }
    // The window that `enlarge` asks for, and what its pages cost more, in bytes.
    std::pair<uint32_t, uint64_t> larger_context() const;
    // REQUIRES: context_question().
    void decide(ContextChoice choice, TimePoint now);
    // Sums up all but the last exchanges; `preview` only tells the summary.
    std::optional<std::string> compact(uint32_t keep, bool preview, TimePoint now);
    // Asks the model for a title.
    std::optional<std::string> name_by_model(TimePoint now);
    // Loads the model anew with another window. Returns why not, or nothing.
    std::optional<std::string> set_context(uint32_t tokens, TimePoint now);
    void set_context_policy(ContextPolicy policy) { options_.context_policy = policy; }
    ContextPolicy context_policy() const { return options_.context_policy; }
    // Tokens that are kept free for the answer.
    uint32_t reserved() const;
    // Turns of the line that the window has no room for.
    uint32_t turns_outside() const { return conversation_.turns_outside(); }
    // Letters for turns of this conversation, kept with it.
    const std::map<std::string, chat::TurnId>& bookmarks() const { return bookmarks_; }
    void set_bookmark(const std::string& letter, chat::TurnId turn);
    // A turn with all that follows it is not shown any more; the newest removal is taken back.
    std::optional<std::string> remove_subtree(chat::TurnId id);
    std::optional<std::string> restore_subtree();

    // --- saved conversations
    // Title, pin, archive; without an id of the one that is shown.
    std::optional<std::string> change(core::ChangeConversation wanted);
    // Removes a conversation by the beginning of its id; without one that which is shown, and
    // begins a new one. `restore` takes back a removal, the newest without an id; `purge` removes
    // what is shown for ever, with what the KV cache has of it.
    std::optional<std::string> remove(core::Removal how, const std::string& conversation = {});
    std::optional<std::string> export_to(std::string path, bool whole_tree);
    Library& library() { return library_; }
    const Library& library() const { return library_; }
    // Where lines of saved conversations and of branches are in the KV cache.
    LineStates& line_states() { return line_states_; }
    const LineStates& line_states() const { return line_states_; }
    // What the user may choose now; he is asked in the transcript. Once.
    Offer take_offer() { return std::exchange(offer_, Offer::none); }
    Offer offer() const { return offer_; }

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
    bool busy() const {
        return running_ || loading_ || sending_ || opening_ || counting_ || compacting_;
    }
    const chat::Conversation& conversation() const { return conversation_; }
    // Another number whenever another conversation is shown.
    uint32_t conversation_number() const { return conversation_number_; }
    // What the user called it, else the first words of its first message; empty without any.
    std::string title() const;
    const ChatSaver& saver() const { return saver_; }
    const Residency& residency() const { return residency_; }
    // The prompt that is on its way to the disk; null: none.
    const chat::Prompt* sending() const { return sending_ ? &sending_->prompt : nullptr; }
    // Share of a restore that was asked for in advance, 0..1; nothing: none is under way.
    std::optional<double> prefetched() const;
    // Why the past of the conversation is read again; empty: it is not, or nobody knows.
    std::string reread_reason() const;
    const std::vector<Notice>& notices() const { return notices_; }
    const std::deque<chat::Prompt>& queue() const { return queue_; }
    // Asks for what the files of messages have in tokens, as far as nobody did.
    void count_files(const chat::Attachments& files);
    const FileTokens& file_tokens() const { return file_tokens_; }
    const chat::Sampling& sampling() const { return options_.sampling; }
    bool fixed_seed() const { return options_.fixed_seed; }
    const std::optional<chat::ModelReady>& model() const { return model_; }
    // Of the model that was loaded last.
    const std::string& loaded_path() const { return loaded_path_; }
    bool opening() const { return opening_.has_value(); }
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
        std::vector<chat::TurnId> answers;  // by choice
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
        chat::Prompt prompt;
        chat::TurnId parent = 0;
        bool stopped = false;
    };
    struct Opening {
        core::StoreRequestId id = 0;
        core::ConversationRef ref = 0;
        bool at_start = false;  // no model is there yet
        bool quiet = false;     // nothing is said when there is none
    };
    struct KvRequest {
        chat::KvAction action = chat::KvAction::list;
        bool asked_for = false;  // by the user, who is told how it ended
        TimePoint started;
        chat::Progress progress = {};
        std::string of = {};  // the title of another conversation; empty: this one's
    };
    // An answer that waits for the exact size of its prompt.
    struct Counting {
        chat::RequestId id = 0;
        Attempt attempt;
        bool stopped = false;
    };
    // A question of ours about the conversation, which does not become a part of it.
    struct Compacting {
        chat::RequestId id = 0;
        chat::CancelFlag cancel = {};
        ContextPlan plan = {};
        std::optional<Attempt> then = {};  // the answer it is for
        bool preview = false;
        bool title = false;  // that is what is asked for, and nothing leaves
        std::string summary = {};
    };
    struct Update {
        std::vector<chat::TurnId> answers;
        chat::Sampling before;
        chat::Sampling after;
    };

    // A subtree that was removed, and where the line ended before.
    struct Cut {
        chat::TurnId turn = 0;
        chat::TurnId tip = 0;
    };

    enum class Asked : uint8_t { by_user, by_itself };
    void load_model(std::string path, std::string fallback, Asked asked, TimePoint now);
    void open(std::string prefix, bool quiet);
    void answer(const Attempt& attempt, TimePoint now);
    void generate(const Attempt& attempt, TimePoint now);
    std::vector<CountedTurn> counted_turns(chat::TurnId last,
                                           const std::vector<uint32_t>& tokens) const;
    void settle(const Attempt& attempt, const ContextPlan& plan, TimePoint now);
    void leave_out(const ContextPlan& plan, std::string_view how);
    void start_compacting(const ContextPlan& plan, std::optional<Attempt> then, bool preview,
                          TimePoint now);
    void ask_aside(chat::TurnId last, std::string_view question, uint32_t most_tokens,
                   Compacting aside, TimePoint now);
    void compacted(chat::FinishReason reason, TimePoint now);
    void named(const std::string& answer, TimePoint now);
    void fork_without(const ContextQuestion& question, TimePoint now);
    void send_next(TimePoint now);
    void send_after(chat::TurnId parent, chat::Prompt prompt, TimePoint now);
    void send_now(Sending sending, TimePoint now);
    void sent(TimePoint now);
    std::optional<std::string> not_now() const;
    void tell(const std::optional<std::string>& text);
    const std::string& conversation_id() const { return saver_.conversation_id(); }
    void begin_with(const chat::Turn& answer, Attempt& attempt) const;
    void moved();
    chat::TurnId next_redo();
    void tell_reread();
    void tell_saved_state();
    const chat::Turn* answered_before(chat::TurnId id) const;
    size_t running_tokens() const;
    void note_rate(size_t tokens, TimePoint now);
    void compare_with_past(chat::TurnId prompt, Running& running);
    void tell_reading(const Running& ended, const chat::Usage& usage);

    void save();
    core::ConversationHead head(const chat::Prompt& first) const;
    void adopt(const Opening& opened, core::StoredConversation stored, TimePoint now);
    void take_parameters(const core::ConversationHead& stored);
    void drop_foreign_biases();
    void ask_residency();
    void save_waiting_pages();
    void ask_kv(chat::KvAction action, const std::vector<chat::TurnId>& ends, bool asked_for);
    void tell_kv(const KvRequest& ended);
    bool ask_kv_of(const core::LineRead& read);
    void say_after(chat::TurnId turn, std::string text, bool error = false);

    void on(const core::StoreOpened& opened, TimePoint now);
    void on(const core::Saved& saved, TimePoint now);
    void on(core::Loaded& loaded, TimePoint now);
    void on(const core::LineRead& read, TimePoint now);
    void on(const core::PagesFound& found, TimePoint now);
    void on(const core::Changed& changed, TimePoint now);
    void on(const core::Listed& listed, TimePoint now);
    void on(const core::Found& found, TimePoint now);
    void on(const core::Removed& removed, TimePoint now);
    void on(const core::Exported& exported, TimePoint now);
    void on(const core::Imported& imported, TimePoint now);
    void on(const core::Checked& checked, TimePoint now);
    void on(const core::StoreFailed& failed, TimePoint now);

    void on(const chat::Counted& counted, TimePoint now);
    void on(const chat::Spelled& spelled, TimePoint now);
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
    const std::vector<std::string> usual_stop_;  // of conversations that have none of their own
    chat::Channel& channel_;
    ChatSaver saver_;
    Library library_{saver_};
    Residency residency_;
    LineStates line_states_{channel_, saver_};
    chat::Conversation conversation_;
    uint32_t conversation_number_ = 0;
    std::vector<Notice> notices_;
    uint64_t last_notice_ = 0;
    std::deque<chat::Prompt> queue_;
    FileTokens file_tokens_;
    std::optional<chat::ModelReady> model_;
    std::optional<chat::Failed> load_failure_;
    std::optional<Running> running_;
    std::optional<Loading> loading_;
    std::optional<Sending> sending_;
    std::optional<Opening> opening_;
    std::optional<Counting> counting_;
    std::optional<Compacting> compacting_;
    std::optional<ContextQuestion> question_;
    std::optional<Attempt> when_loaded_;  // the answer that a larger window is loaded for
    std::optional<uint32_t> context_wanted_;
    std::string loaded_path_;  // of model_
    std::string bias_model_;   // whose tokens the biases of the sampling are of
    chat::RequestId unloading_ = 0;
    bool prefetch_wanted_ = false;  // when the model is there
    std::map<chat::RequestId, KvRequest> kv_requests_;
    std::map<core::StoreRequestId, KvRequest> kv_reading_;  // whose lines the store reads
    std::map<chat::RequestId, std::function<void(const chat::Spelled&)>> spellings_;
    std::string title_;               // given by the user or the store
    std::vector<chat::TurnId> redo_;  // ends of lines that were left with undo
    std::vector<Cut> removed_;        // newest last
    std::map<std::string, chat::TurnId> bookmarks_;
    std::string rewritten_;                 // why the past is another one since the last answer
    bool reread_wanted_ = false;            // the user is told what that costs
    bool saved_state_news_ = false;         // and of saved state that is of no use
    chat::RequestId reported_listing_ = 0;  // a KvListed that the user asked for
    Offer offer_ = Offer::none;
    std::string listed_id_;  // the conversation's when the library was listed
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
