#include "core/chat/channel.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer does not understand fences, which is how this queue publishes its elements. Its
// header has places to say so, but fills them for clang only; gcc is told the same here.
#include <sanitizer/tsan_interface.h>
namespace {
int queue_fences;
}
#define AE_TSAN_ANNOTATE_RELEASE() __tsan_release(&queue_fences)
#define AE_TSAN_ANNOTATE_ACQUIRE() __tsan_acquire(&queue_fences)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#include <readerwriterqueue/readerwriterqueue.h>

#include "core/base/error.h"

namespace chat {
namespace {

int open_event_fd() {
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        throw core::Error(core::ErrorKind::internal, "channel",
                          "cannot make an event descriptor: errno " + std::to_string(errno),
                          "close some files or raise the limit (ulimit -n)");
    return fd;
}

// Adding to a counter that is about to overflow fails with EAGAIN; it is readable then, which is
// all that a ring is for. Interrupted writes are repeated.
void ring(int fd) {
    const uint64_t one = 1;
    while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void silence(int fd) {
    uint64_t count = 0;
    while (::read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

}  // namespace

struct Channel::Queues {
    moodycamel::ReaderWriterQueue<Request> requests{16};
    moodycamel::ReaderWriterQueue<Event> events{256};
};

Channel::Channel() : queues_(std::make_unique<Queues>()), event_fd_(open_event_fd()) {
    try {
        request_fd_ = open_event_fd();
    } catch (const core::Error&) {
        ::close(event_fd_);
        throw;
    }
}

Channel::~Channel() {
    ::close(event_fd_);
    ::close(request_fd_);
}

void Channel::submit(Request request) {
    MOXIE_CHECK(queues_->requests.enqueue(std::move(request)));
    ring(request_fd_);
}

std::optional<Event> Channel::poll_event() {
    Event event;
    if (!queues_->events.try_dequeue(event)) return std::nullopt;
    // relaxed: the count is advice about the client's pace and orders nothing; the queue does.
    undrained_.fetch_sub(byte_size(event), std::memory_order_relaxed);
    return event;
}

void Channel::acknowledge_events() {
    silence(event_fd_);
}

std::optional<Request> Channel::poll_request() {
    Request request;
    if (!queues_->requests.try_dequeue(request)) return std::nullopt;
    return request;
}

void Channel::acknowledge_requests() {
    silence(request_fd_);
}

bool Channel::emit(Event event) {
    const size_t bytes = byte_size(event);
    // relaxed: see poll_event. Added before the push, so that the client never subtracts first.
    const size_t before = undrained_.fetch_add(bytes, std::memory_order_relaxed);
    if (before + bytes > kMaxUndrained && !is_terminal(event)) {
        undrained_.fetch_sub(bytes, std::memory_order_relaxed);
        return false;
    }
    MOXIE_CHECK(queues_->events.enqueue(std::move(event)));
    ring(event_fd_);
    return true;
}

size_t Channel::undrained() const {
    return undrained_.load(std::memory_order_relaxed);
}

}  // namespace chat
