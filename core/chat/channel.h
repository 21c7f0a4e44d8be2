// The two lock-free queues between one client and the engine, each with an eventfd.
//
// One thread is the client, one is the engine; no queue has two producers, and neither side ever
// waits for the other (core/base/event_queue.h).
//
// A client that leaves more than kMaxUndrained bytes undrained has its requests cancelled: emit()
// drops the event and returns false, and the engine answers Failed.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>

#include "core/chat/protocol.h"

namespace chat {

class Channel {
  public:
    static constexpr size_t kMaxUndrained = size_t{16} << 20U;

    // Throws core::Error when an eventfd cannot be made.
    Channel();
    ~Channel();
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    // Client thread. A fresh request id; submit never blocks.
    RequestId next_id() { return ++last_id_; }
    void submit(Request request);
    // Client thread. The next event, or nothing. `event_fd` polls readable while there may be some;
    // clear it with acknowledge_events() before draining.
    std::optional<Event> poll_event();
    void acknowledge_events();
    int event_fd() const;

    // Engine thread. The same the other way round.
    std::optional<Request> poll_request();
    void acknowledge_requests();
    int request_fd() const;
    // False when the client has left too much undrained and the event was dropped. Terminal events
    // are delivered all the same: there is one per request, so they cannot pile up.
    bool emit(Event event);
    // Bytes of events that the client has not polled yet. Either thread; a moment's value.
    size_t undrained() const;

  private:
    struct Queues;
    std::unique_ptr<Queues> queues_;
    RequestId last_id_ = 0;             // client thread only
    std::atomic<size_t> undrained_{0};  // bytes emitted and not yet polled
};

}  // namespace chat
