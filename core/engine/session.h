// One Generate or Prefill on its way: the prompt, the answers being written, what is told of them.
//
// A session decides what its next slices are and what becomes of their logits; when the passes run
// and who shares them is the scheduler's business. Engine thread only.
//
// Invariants
//  1. A session emits exactly one terminal event; over() is true from then on and nothing follows.
//  2. The text of a choice is the concatenation of its Deltas, whatever ends it.
//  3. An answer's sequence holds the prompt and the answer but for its last token, which has been
//     chosen and not yet run.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/chat/channel.h"
#include "core/engine/sampler.h"
#include "core/engine/served_model.h"
#include "core/kv/prefix_store.h"
#include "core/kv/sequence.h"
#include "core/text/detokenizer.h"

namespace core {

// What the last token of an answer was chosen from, for Preview.
struct LastChoice {
    std::vector<float> logits;  // [vocab]
    std::vector<TokenId> prompt;
    std::vector<TokenId> answer;  // before that token
};

class Session {
  public:
    using Clock = std::chrono::steady_clock;

    // Renders the prompt and looks up what has been read before. Throws Error(context) when the
    // prompt does not fit, Error(usage) when it makes no sense; then no event has been emitted.
    // What the disk has of it is on its way from then on.
    // Model and store must outlive the session; the channel must stay attached.
    Session(chat::Channel& channel, chat::Generate request, const ServedModel& model,
            PrefixStore& store);
    Session(chat::Channel& channel, chat::Prefill request, const ServedModel& model,
            PrefixStore& store);

    chat::Channel& channel() const { return *channel_; }
    chat::RequestId id() const { return request_.id; }
    bool cancelled() const { return request_.cancel->load(); }
    bool over() const { return over_; }
    bool prefilling() const { return !over_ && answers_.empty(); }
    // Part of the prompt comes from disk; until it is there, the session has nothing to run.
    bool restoring() const { return !over_ && restore_ != nullptr; }
    uint32_t context_used() const;
    // Prompt tokens that are still to be read, and answers that want their next token.
    uint32_t left_to_read() const;
    uint32_t answers_running() const { return over_ ? 0 : static_cast<uint32_t>(unfinished_); }

    // While restoring: tells how far it is and goes on when everything is there. To be called when
    // the store has news.
    void follow_restore();

    // Appends what this session wants to run: at most `prefill_tokens` of its prompt, or the last
    // token of each running answer. Returns the prompt tokens taken.
    uint32_t add_slices(std::vector<Slice>& batch, uint32_t prefill_tokens);

    // Takes the results of its slices, in the order in which they were added. `logits` has one row
    // for each slice whose logits were asked for. Throws Error(internal) from the sampler.
    void take_results(const std::vector<bool>& committed, std::span<const float> logits,
                      Sampler& sampler);

    // In force from the next token; the rest of a timeline is dropped.
    void update_sampling(const chat::Sampling& sampling);

    // Ends all that runs; what has been said stays said and what has been read stays read.
    void cancel();
    void fail(const Error& error);

    // Called once when over: gives what has been read to the store.
    void leave();

    // Of the first answer; nothing before its first token.
    std::optional<LastChoice> last_choice() const;

    // True when the client let so many events pile up that some were dropped: fail() it.
    bool undrained() const { return undrained_; }
    uint64_t tokens_chosen() const { return tokens_chosen_; }

  private:
    struct Answer {
        uint32_t choice = 0;
        Sequence sequence;
        std::vector<TokenId> tokens;  // the forced prefix included
        Detokenizer text;
        size_t text_bytes = 0;  // told so far
        bool finished = false;
    };

    void prepare();
    void take_prefix();
    void share_full_pages();
    void tell_text(Answer& answer, chat::Delta delta);
    std::span<const TokenId> kept_of(const Answer& answer) const;
    bool goes_to_disk() const { return request_.persist && !failed_ && store_->has_disk(); }
    size_t tokens_that_spell(const Answer& answer) const;
    void start_answers(std::span<const float> logits, Sampler& sampler);
    Answer make_answer(uint32_t choice, Sequence sequence);
    void choose_token(Answer& answer, std::span<const float> logits, Sampler& sampler);
    std::optional<chat::FinishReason> reason_to_stop(const Answer& answer) const;
    void finish(Answer& answer, chat::FinishReason reason);
    const chat::Sampling& sampling_at(size_t token);
    void emit_prefill_progress();
    void emit(chat::Event event);
    uint32_t generated(const Answer& answer) const;

    // Constant after construction.
    chat::Channel* channel_;
    chat::Generate request_;  // a Prefill becomes one without an answer
    const ServedModel* model_;
    PrefixStore* store_;
    bool only_prefill_ = false;
    Prompt prompt_;
    std::vector<TokenId> to_read_;  // prompt and forced prefix
    Clock::time_point started_ = Clock::now();

    std::shared_ptr<Restore> restore_;  // until it is done
    uint32_t told_restored_ = 0;
    bool damaged_ = false;  // what was to be restored was, in part
    Sequence trunk_;        // the prompt, until the answers fork it
    std::vector<Answer> answers_;
    size_t unfinished_ = 0;
    chat::Usage usage_;
    std::optional<Clock::time_point> prefill_started_;
    Clock::time_point first_token_;
    std::vector<float> last_logits_;  // [vocab], of the first answer's last token
    uint64_t tokens_chosen_ = 0;      // of all answers
    bool undrained_ = false;
    bool failed_ = false;
    bool over_ = false;
};

}  // namespace core
