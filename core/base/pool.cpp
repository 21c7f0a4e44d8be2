// The shared counter and the sleeping and waking of workers.
//
// `open_` holds the number of the region and how many of its tasks nobody has taken yet. A worker
// takes a task by exchanging {region, left} for {region, left - 1}: it succeeds only while that
// region is open, and then the region cannot end before the task is reported done, so what the
// worker has read of the region's description belongs to it. A worker that lost its core between
// reading and taking therefore costs nothing: the caller waits for tasks that were taken, never
// for workers.

#include "core/base/pool.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/base/cpu.h"
#include "core/base/error.h"

namespace core {
namespace {

using Clock = std::chrono::steady_clock;

// Between two regions of a decode step lie some 10 us of serial work, up to 100 us around a token.
// A futex wake-up costs about 50 us on a virtual machine, so spinning pays for about that long.
constexpr auto kWorkerSpin = std::chrono::microseconds(150);

// A task lasts some 10 us. One that takes much longer than that lost its core to a neighbour, and
// the core on which the caller would go on spinning is the one where it could run.
constexpr auto kCallerSpin = std::chrono::microseconds(50);

constexpr uint64_t region_word(uint32_t region, uint32_t left) {
    return (uint64_t{region} << 32) | left;
}

void pause_briefly() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
}

// Spins until `done()` or until the time is over; true when done.
template <class Predicate>
bool spin_until(Clock::duration limit, Predicate done) {
    constexpr int kChecksPerClockRead = 32;
    const Clock::time_point end = Clock::now() + limit;
    do {
        for (int i = 0; i < kChecksPerClockRead; ++i) {
            if (done()) return true;
            pause_briefly();
        }
    } while (Clock::now() < end);
    return done();
}

}  // namespace

struct Pool::Shared {
    // Written by the caller between regions; read by workers before they take a task.
    alignas(64) std::atomic<Task> task{nullptr};
    std::atomic<void*> context{nullptr};
    std::atomic<uint32_t> tasks{0};

    alignas(64) std::atomic<uint64_t> open{0};  // region_word(): what is left to take
    alignas(64) std::atomic<int> pending{0};    // tasks of the region not yet done
    alignas(64) std::atomic<int> epoch{0};      // changes when a region opens; workers sleep on it
    std::atomic<int> awake{0};                  // number of living Awake objects
    std::atomic<bool> stop{false};

    uint32_t region = 0;  // caller only
    std::vector<std::thread> workers;

    ~Shared() {
        stop.store(true);
        epoch.fetch_add(1);
        epoch.notify_all();
        for (std::thread& worker : workers) {
            worker.join();
        }
    }

    void open_region(size_t count, Task body, void* body_context);
    bool take_one(unsigned worker);
    void wait_for_done();
    void work(unsigned worker);
};

// REQUIRES: no region open.
void Pool::Shared::open_region(size_t count, Task body, void* body_context) {
    // Relaxed: published by the release store of `open`.
    task.store(body, std::memory_order_relaxed);
    context.store(body_context, std::memory_order_relaxed);
    tasks.store(static_cast<uint32_t>(count), std::memory_order_relaxed);
    pending.store(static_cast<int>(count), std::memory_order_relaxed);
    open.store(region_word(++region, static_cast<uint32_t>(count)), std::memory_order_release);
    // Sequentially consistent, against a worker that goes to sleep: either it sees the new epoch or
    // notify_all() sees the sleeper.
    epoch.fetch_add(1);
    epoch.notify_all();
}

// Takes and runs a task of the open region; false when none is left.
bool Pool::Shared::take_one(unsigned worker) {
    uint64_t seen = open.load(std::memory_order_acquire);
    for (;;) {
        const auto left = static_cast<uint32_t>(seen);
        if (left == 0) return false;
        // Relaxed: these belong to the region of `seen` if the exchange below succeeds.
        const Task body = task.load(std::memory_order_relaxed);
        void* const body_context = context.load(std::memory_order_relaxed);
        const uint32_t count = tasks.load(std::memory_order_relaxed);
        // Release keeps the loads above before the exchange; acquire is for the next turn.
        if (open.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
            body(body_context, count - left, worker);
            // Release: what the task wrote is seen by the caller, whose load acquires.
            if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) pending.notify_one();
            return true;
        }
    }
}

void Pool::Shared::wait_for_done() {
    const auto done = [this] { return pending.load(std::memory_order_acquire) == 0; };
    if (done() || spin_until(kCallerSpin, done)) return;
    for (int left = pending.load(std::memory_order_acquire); left != 0;
         left = pending.load(std::memory_order_acquire)) {
        pending.wait(left, std::memory_order_acquire);
    }
}

void Pool::Shared::work(unsigned worker) {
    // Throughput work: do not take the core from the user interface. Failure only costs politeness.
    const sched_param parameters{};
    (void)sched_setscheduler(0, SCHED_BATCH, &parameters);
    for (;;) {
        // Read before looking for tasks, or for the end: what comes afterwards changes it.
        const int seen = epoch.load(std::memory_order_acquire);
        if (stop.load(std::memory_order_acquire)) return;
        while (take_one(worker)) {
        }
        const auto opened = [&] { return epoch.load(std::memory_order_acquire) != seen; };
        // Relaxed: a late answer costs one spin or one sleep.
        if (awake.load(std::memory_order_relaxed) > 0 && spin_until(kWorkerSpin, opened)) continue;
        epoch.wait(seen);
    }
}

Pool::Pool(unsigned threads)
    : size_(threads != 0 ? threads : physical_cores()), shared_(std::make_unique<Shared>()) {
    for (unsigned worker = 1; worker < size_; ++worker) {
        try {
            shared_->workers.emplace_back(
                [shared = shared_.get(), worker] { shared->work(worker); });
        } catch (const std::system_error& error) {
            throw Error(ErrorKind::internal, "thread pool",
                        "cannot start thread " + std::to_string(worker + 1) + " of " +
                            std::to_string(size_) + " (" + error.code().message() + ")",
                        "use fewer threads");
        }
    }
}

Pool::~Pool() = default;

void Pool::run_erased(size_t tasks, Task task, void* context) {
    MOXIE_CHECK(tasks <= static_cast<size_t>(INT32_MAX));
    if (size_ == 1 || tasks <= 1) {
        for (size_t i = 0; i < tasks; ++i) {
            task(context, i, 0);
        }
        return;
    }
    shared_->open_region(tasks, task, context);
    while (shared_->take_one(0)) {
    }
    shared_->wait_for_done();
}

Pool::Awake::Awake(Pool& pool) : pool_(pool) {
    pool_.shared_->awake.fetch_add(1, std::memory_order_relaxed);
}

Pool::Awake::~Awake() {
    pool_.shared_->awake.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace core
