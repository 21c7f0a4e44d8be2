// Fork-join thread pool of the engine. The caller is worker 0.
//
// Work is a number of tasks taken from a shared counter, so that a worker that loses its core to a
// neighbour loses one task and not its whole share. A task should touch 64-256 KB of weights:
// less pays for the counter, more cannot be stolen. No futures, no nesting, nothing throws.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace core {

class Pool {
  public:
    // Starts `threads - 1` workers with SCHED_BATCH. 0 = physical cores allowed by affinity and
    // cgroup quota (see physical_cores() in cpu.h). Throws Error when a thread cannot be started.
    explicit Pool(unsigned threads = 0);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    // Number of workers, the caller included. At least 1.
    unsigned size() const { return size_; }

    // Calls body(task, worker) once for each task in [0, tasks), worker in [0, size()), and returns
    // when all are done. Which worker runs which task is not determined: results must not depend
    // on it. REQUIRES: called by one thread at a time, not from inside a task; body does not throw.
    template <class Body>
    void run(size_t tasks, Body&& body) {
        using Decayed = std::remove_reference_t<Body>;
        run_erased(
            tasks,
            [](void* context, size_t task, unsigned worker) {
                (*static_cast<Decayed*>(context))(task, worker);
            },
            const_cast<void*>(static_cast<const void*>(std::addressof(body))));
    }

    // While one of these lives the workers spin (for a bounded time) between regions instead of
    // sleeping at once. Held by the engine while it generates; nests.
    class Awake {
      public:
        explicit Awake(Pool& pool);
        ~Awake();
        Awake(const Awake&) = delete;
        Awake& operator=(const Awake&) = delete;

      private:
        Pool& pool_;
    };

  private:
    using Task = void (*)(void* context, size_t task, unsigned worker);
    void run_erased(size_t tasks, Task task, void* context);

    struct Shared;
    unsigned size_ = 1;
    std::unique_ptr<Shared> shared_;
};

}  // namespace core
