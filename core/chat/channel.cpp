#include "core/chat/channel.h"

#include <utility>

#include "core/base/event_queue.h"
#include "core/chat/request_log.h"

namespace chat {

struct Channel::Queues {
    core::EventQueue<Request> requests{16};
    core::EventQueue<Event> events{256};
};

Channel::Channel() : queues_(std::make_unique<Queues>()) {}

Channel::~Channel() = default;

int Channel::event_fd() const {
    return queues_->events.fd();
}

int Channel::request_fd() const {
    return queues_->requests.fd();
}

void Channel::submit(Request request) {
    log_request(request);
    queues_->requests.push(std::move(request));
}

std::optional<Event> Channel::poll_event() {
    std::optional<Event> event = queues_->events.pop();
    // relaxed: the count is advice about the client's pace and orders nothing; the queue does.
    if (event) {
        undrained_.fetch_sub(byte_size(*event), std::memory_order_relaxed);
        log_event(*event);
    }
    return event;
}

void Channel::acknowledge_events() {
    queues_->events.acknowledge();
}

std::optional<Request> Channel::poll_request() {
    return queues_->requests.pop();
}

void Channel::acknowledge_requests() {
    queues_->requests.acknowledge();
}

bool Channel::emit(Event event) {
    const size_t bytes = byte_size(event);
    // relaxed: see poll_event. Added before the push, so that the client never subtracts first.
    const size_t before = undrained_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes > kMaxUndrained && !is_terminal(event)) {
        undrained_.fetch_sub(bytes, std::memory_order_relaxed);
        return false;
    }
    queues_->events.push(std::move(event));
    return true;
}

size_t Channel::undrained() const {
    return undrained_.load(std::memory_order_relaxed);
}

}  // namespace chat
