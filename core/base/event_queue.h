// A lock-free queue from one thread to one other, with an eventfd: how threads of moxie talk.
//
// Push, then ring; the consumer acknowledges, then drains, then polls: no lost wake-up and one
// cheap system call per value. Neither side ever waits for the other; the queue grows.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#ifdef __SANITIZE_THREAD__
// ThreadSanitizer does not understand fences, which is how this queue publishes its elements. Its
// header has places to say so, but fills them for clang only; gcc is told the same here.
#include <sanitizer/tsan_interface.h>
namespace core::detail {
inline int queue_fences;
}
#define AE_TSAN_ANNOTATE_RELEASE() __tsan_release(&core::detail::queue_fences)
#define AE_TSAN_ANNOTATE_ACQUIRE() __tsan_acquire(&core::detail::queue_fences)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#include <readerwriterqueue/readerwriterqueue.h>

#include "core/base/error.h"

namespace core {

// A descriptor that polls readable from ring() to acknowledge().
class Bell {
  public:
    // Throws Error(internal) when there is no descriptor left.
    Bell();
    ~Bell();
    Bell(const Bell&) = delete;
    Bell& operator=(const Bell&) = delete;

    void ring();
    void acknowledge();
    int fd() const { return fd_; }

  private:
    int fd_ = -1;
};

template <class T>
class EventQueue {
  public:
    explicit EventQueue(size_t capacity = 16) : queue_(capacity) {}

    // Producer.
    void push(T value) {
        MOXIE_CHECK(queue_.enqueue(Slot{std::move(value)}));
        bell_.ring();
    }

    // Consumer. `fd` polls readable while there may be something; acknowledge() before draining.
    std::optional<T> pop() {
        Slot slot;
        if (!queue_.try_dequeue(slot)) return std::nullopt;
        return std::move(slot.value);
    }
    void acknowledge() { bell_.acknowledge(); }
    int fd() const { return bell_.fd(); }

  private:
    // A type of ours: the queue moves an element out and then destroys it, which clang's analyzer
    // takes for a mistake where the element is a std::variant.
    struct Slot {  // NOLINT(bugprone-exception-escape): events move without throwing
        T value = {};
    };

    moodycamel::ReaderWriterQueue<Slot> queue_;
    Bell bell_;
};

}  // namespace core
