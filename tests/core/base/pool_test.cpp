// The pool: every task once, no lost wake-up, no waiting for workers that took nothing.

#include "core/base/pool.h"

#include <sched.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/cpu.h"

namespace core {
namespace {

TEST(Pool, RunsEveryTaskExactlyOnce) {
    for (unsigned threads : {1U, 2U, 5U}) {
        Pool pool(threads);
        ASSERT_EQ(pool.size(), threads);
        for (size_t tasks : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, size_t{1000}}) {
            std::vector<std::atomic<int>> runs(tasks);
            pool.run(tasks, [&](size_t task, unsigned worker) {
                ASSERT_LT(worker, threads);
                runs[task].fetch_add(1);
            });
            for (size_t i = 0; i < tasks; ++i) {
                EXPECT_EQ(runs[i].load(), 1) << "task " << i << " of " << tasks;
            }
        }
    }
}

TEST(Pool, MakesTheWritesOfTasksVisibleToTheCaller) {
    Pool pool(4);
    std::vector<size_t> squares(257);
    size_t expected = 0;
    for (int round = 0; round < 2000; ++round) {
        pool.run(squares.size(), [&](size_t task, unsigned) { squares[task] += task; });
        expected += squares.size() * (squares.size() - 1) / 2;
        ASSERT_EQ(std::accumulate(squares.begin(), squares.end(), size_t{0}), expected);
    }
}

TEST(Pool, AWorkerNumberIsUsedByOneThreadAtATime) {
    Pool pool(4);
    std::vector<std::atomic<int>> busy(pool.size());
    std::atomic<bool> shared{false};
    for (int round = 0; round < 200; ++round) {
        pool.run(64, [&](size_t, unsigned worker) {
            if (busy[worker].fetch_add(1) != 0) shared = true;
            busy[worker].fetch_sub(1);
        });
    }
    EXPECT_FALSE(shared);
}

// A region's body is dead when run() returns: a worker that comes late must not touch it, and must
// not take a task of the next region with the body of the last.
TEST(Pool, LateWorkersNeverMixRegions) {
    Pool pool(4);
    Pool::Awake awake(pool);
    for (size_t round = 0; round < 20000; ++round) {
        std::atomic<size_t> wrong{0};
        std::atomic<size_t> runs{0};
        const size_t tasks = 2 + round % 5;
        const size_t mine = round;
        pool.run(tasks, [&, mine](size_t task, unsigned) {
            if (task >= tasks || mine != round) ++wrong;
            ++runs;
        });
        ASSERT_EQ(wrong.load(), 0U);
        ASSERT_EQ(runs.load(), tasks);
    }
}

// Only tasks that were taken hold the caller up. The worker stays inside its first task until the
// caller has done all others; were shares fixed, that would never happen.
TEST(Pool, TheCallerFinishesWhatNobodyElseTakes) {
    Pool pool(2);
    constexpr int kTasks = 100;
    std::atomic<bool> worker_inside{false};
    std::atomic<int> by_caller{0};
    pool.run(kTasks, [&](size_t, unsigned worker) {
        if (worker == 1) worker_inside = true;
        while (worker == 0 ? !worker_inside.load() : by_caller.load() < kTasks - 1) {
            std::this_thread::yield();
        }
        if (worker == 0) ++by_caller;
    });
    EXPECT_EQ(by_caller.load(), kTasks - 1);
}

TEST(Pool, SleepingWorkersWakeForEveryRegion) {
    Pool pool(3);
    // Each region needs three workers inside it at once to end: a worker that missed its wake-up
    // would leave the test hanging.
    for (int round = 0; round < 300; ++round) {
        std::atomic<int> inside{0};
        pool.run(3, [&](size_t, unsigned) {
            ++inside;
            while (inside.load() < 3) {
                std::this_thread::yield();
            }
        });
    }
}

TEST(Pool, AwakeNests) {
    Pool pool(2);
    std::atomic<int> runs{0};
    {
        Pool::Awake outer(pool);
        { Pool::Awake inner(pool); }
        pool.run(10, [&](size_t, unsigned) { ++runs; });
    }
    pool.run(10, [&](size_t, unsigned) { ++runs; });
    EXPECT_EQ(runs.load(), 20);
}

TEST(Pool, WorkersAreBatchThreadsAndTheCallerIsNot) {
    Pool pool(2);
    std::atomic<int> policy{-1};
    std::atomic<int> inside{0};
    pool.run(2, [&](size_t, unsigned worker) {
        ++inside;
        while (inside.load() < 2) {
            std::this_thread::yield();
        }
        if (worker == 1) policy = sched_getscheduler(0);
    });
    EXPECT_EQ(policy.load(), SCHED_BATCH);
    EXPECT_NE(sched_getscheduler(0), SCHED_BATCH);
}

}  // namespace
}  // namespace core
