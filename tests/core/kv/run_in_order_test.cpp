#include "core/kv/run_in_order.h"

#include <atomic>
#include <cstddef>
#include <latch>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace core {
namespace {

TEST(RunInOrder, ResultsAreTakenInOrderAndAllOfThem) {
    for (const size_t count : {0U, 1U, 2U, 1000U}) {
        std::vector<size_t> squares(count);
        std::vector<size_t> taken;
        run_in_order(
            count, 4, [&](size_t i) { squares[i] = i * i; },
            [&](size_t i) {
                EXPECT_EQ(squares[i], i * i);
                taken.push_back(i);
                return true;
            });
        std::vector<size_t> expected(count);
        std::iota(expected.begin(), expected.end(), 0);
        EXPECT_EQ(taken, expected);
    }
}

TEST(RunInOrder, WorkRunsOnSeveralThreadsAtATime) {
    std::latch all_at_work(4);
    run_in_order(
        4, 4, [&](size_t) { all_at_work.arrive_and_wait(); }, [](size_t) { return true; });
    EXPECT_TRUE(all_at_work.try_wait());
}

TEST(RunInOrder, NothingRunsAnyMoreWhenItWasStopped) {
    std::atomic<size_t> begun{0};
    std::atomic<size_t> ended{0};
    size_t taken = 0;
    run_in_order(
        100'000, 3,
        [&](size_t) {
            ++begun;
            ++ended;
        },
        [&](size_t) { return ++taken < 5; });
    EXPECT_EQ(taken, 5U);
    EXPECT_EQ(begun.load(), ended.load());
    EXPECT_GE(ended.load(), 5U);
}

}  // namespace
}  // namespace core
