// Which sessions share the next pass of the model: continuous batching.
//
// Every running answer of every session takes one decode step per pass. Prompts are read in chunks
// in the same passes; how many tokens, and whose, prefill_pace.h decides, so that a long prompt of
// one client neither stalls the answer of another nor keeps a short one waiting. Engine thread
// only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <vector>

#include "core/chat/channel.h"
#include "core/engine/prefill_pace.h"
#include "core/engine/sampler.h"
#include "core/engine/served_model.h"
#include "core/engine/session.h"
#include "core/kv/disk_thread.h"
#include "core/kv/prefix_store.h"

namespace core {

class Scheduler {
  public:
    using Clock = std::chrono::steady_clock;

    // `prefill_chunk`: prompt tokens of a pass in which nothing is decoded. `now` is the clock by
    // which passes are paced. Without `disk` the cache is in memory only. Model and disk thread
    // must outlive the scheduler.
    Scheduler(const ServedModel& model, uint32_t prefill_chunk,
              std::function<Clock::time_point()> now = Clock::now, DiskThread* disk = nullptr);

    // Both throw Error when the request cannot begin; then it has emitted nothing.
    void generate(chat::Channel& channel, chat::Generate request);
    void prefill(chat::Channel& channel, chat::Prefill request);

    // In force from the next token of the target. Without effect when it has ended.
    void update_sampling(const chat::Channel& channel, const chat::UpdateSampling& request);
    // On what the target's last token was chosen from. Throws Error(usage) when it has none, or
    // has ended and another has ended after it.
    std::vector<chat::Alternative> preview(const chat::Channel& channel,
                                           const chat::Preview& request);

    // What has been read; for listing, saving and forgetting it.
    PrefixStore& store() { return store_; }
    // Prompt tokens per second, measured so far; 0 = unknown.
    double reading_rate() const;

    bool idle() const { return sessions_.empty(); }
    // There is something to run. When neither idle nor ready, sessions wait for the disk.
    bool ready() const;
    // Takes what the disk thread has done; sessions that waited for it go on.
    void follow_disk();
    // Ends cancelled sessions, then runs one pass if ready.
    void step();
    // Cancels the sessions of a channel, or all; terminal events are emitted.
    void cancel(const chat::Channel* channel = nullptr);
    // Ends all sessions with an error.
    void fail(const Error& error);

  private:
    // A session's part of a pass.
    struct Share {
        Session* session = nullptr;
        size_t first_slice = 0;
        size_t slices = 0;
    };
    // The slices of a pass are in batch_.
    struct Composition {
        std::vector<Share> shares;
        uint32_t answers = 0;
        uint32_t prompt_tokens = 0;
    };
    struct Pace {
        Clock::time_point last_told;
        double seconds = 0;  // in passes that chose tokens, since then
        uint64_t tokens = 0;
        uint64_t bytes = 0;
    };

    Session* find(const chat::Channel& channel, chat::RequestId id);
    void remove_ended();
    Composition fill_batch();
    std::optional<std::vector<bool>> run_pass();
    void fail_youngest();
    void distribute(const std::vector<Share>& shares, const std::vector<bool>& committed);
    void tell_stats();
    void note_reading(const Composition& pass, double seconds);

    // Constant after construction.
    const ServedModel* model_;
    std::function<Clock::time_point()> now_;

    PrefillPace prefill_pace_;
    PrefixStore store_;
    Sampler sampler_;
    std::list<Session> sessions_;  // in order of arrival
    std::vector<Slice> batch_;
    std::vector<float> logits_;
    bool out_of_pages_ = false;  // until the disk thread gives some back
    Pace pace_;
    double reading_seconds_ = 0;  // in passes that read prompts only
    double tokens_read_ = 0;      // in these

    // The answer that ended last, for previews after its end.
    struct Ended {
        const chat::Channel* channel = nullptr;
        chat::RequestId id = 0;
        LastChoice choice;
    };
    std::optional<Ended> ended_;
};

}  // namespace core
