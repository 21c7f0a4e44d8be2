// Kv requests on their way: what is kept of a line is in memory, on disk or to be read again, and
// looking at the disk takes a moment. So does rendering the lines of many conversations: that is
// done a few at a time, between passes. Engine thread only.
//
// Each request ends in exactly one terminal event: KvListed for `list`, Done for the others, Failed
// when its lines make no sense.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "core/chat/channel.h"
#include "core/engine/scheduler.h"
#include "core/engine/served_model.h"
#include "core/kv/prefix_store.h"

namespace core {

class KvRequests {
  public:
    // Both must outlive this; so must the channels of requests, or be cancelled before they go.
    KvRequests(const ServedModel& model, Scheduler& scheduler)
        : model_(&model), scheduler_(&scheduler) {}

    void begin(chat::Channel& channel, chat::Kv request);

    // Renders what is to be rendered for a few milliseconds, but one line at least; goes on with
    // what the store has news of, and ends what is cancelled. To be called after the scheduler has
    // taken what the disk thread has done.
    void advance();

    // Ends the requests of a channel, or all. What is to be written or removed will be all the
    // same.
    void cancel(const chat::Channel* channel = nullptr);

    bool idle() const { return running_.empty(); }
    // There is more to render: advance() has something to do without news.
    bool ready() const;

  private:
    using Clock = std::chrono::steady_clock;
    struct Running {
        chat::Channel* channel = nullptr;
        chat::Kv request;
        std::vector<std::vector<TokenId>> lines = {};  // the first of request.lines, rendered
        bool started = false;                          // all are
        // list
        std::vector<std::shared_ptr<DiskLook>> looks = {};  // of the lines
        std::shared_ptr<DiskMeasure> measure = {};
        // save and drop
        std::shared_ptr<DiskChore> chore = {};
        // prefetch: one line after the other, so that what they share is read once
        std::shared_ptr<Restore> restore = {};
        size_t next_line = 0;
        uint64_t restored = 0;  // tokens, of the lines before
        bool damaged = false;   // something of them was
    };

    std::vector<TokenId> render(const std::vector<chat::Message>& messages) const;
    // True when all lines are rendered; one is, at least.
    bool render_until(Clock::time_point end, Running& running) const;
    void start(Running& running);
    // These return true when the request has ended.
    bool advance(Running& running, Clock::time_point end);
    bool follow(Running& running);
    bool abandon(Running& running);
    template <class Step>
    static bool attempt(const Running& running, Step&& step);
    bool advance_prefetch(Running& running);
    void list(const Running& running) const;
    void end(const Running& running) const;

    const ServedModel* model_;
    Scheduler* scheduler_;
    std::list<Running> running_;
};

}  // namespace core
