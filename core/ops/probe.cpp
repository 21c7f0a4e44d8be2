// Memory comes from the allocator of the weights: huge pages, so that the probe pays for no TLB
// misses that the engine does not have.

#include "core/ops/probe.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "core/tensor/matrix.h"

namespace core {
namespace {

using Clock = std::chrono::steady_clock;

// Large enough that two threads taking turns do not disturb each other's prefetching.
constexpr size_t kTaskBytes = size_t{1} << 20;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Repeats `pass`, which returns how much it did, for about `seconds`; amount per second.
template <class Pass>
double rate(double seconds, Pass pass) {
    const Clock::time_point start = Clock::now();
    double amount = 0;
    double elapsed = 0;
    do {
        amount += pass();
        elapsed = seconds_since(start);
    } while (elapsed < seconds);
    return amount / elapsed;
}

}  // namespace

ReadProbe::ReadProbe(const Kernels& kernels, Pool& pool, size_t bytes)
    : kernels_(kernels),
      pool_(pool),
      bytes_((bytes + kTaskBytes - 1) / kTaskBytes * kTaskBytes),
      buffer_(allocate_weights(bytes_)) {
    // Untouched pages would all be the one page of zeros.
    pool.run(bytes_ / kTaskBytes, [&](size_t task, unsigned) {
        std::memset(buffer_.get() + task * kTaskBytes, 1, kTaskBytes);
    });
}

double ReadProbe::measure(double seconds) {
    const Pool::Awake awake(pool_);
    std::atomic<uint32_t> sink{0};  // the sums must be wanted by somebody
    return rate(seconds, [&] {
        pool_.run(bytes_ / kTaskBytes, [&](size_t task, unsigned) {
            const std::byte* data = buffer_.get() + task * kTaskBytes;
            sink.fetch_add(kernels_.read_memory(data, kTaskBytes), std::memory_order_relaxed);
        });
        return static_cast<double>(bytes_);
    });
}

double measure_int8_peak(const Kernels& kernels, Pool& pool, double seconds) {
    constexpr uint64_t kRounds = 4000;  // some 10 us and more, so that the join does not show
    const Pool::Awake awake(pool);
    std::atomic<uint64_t> done{0};
    return rate(seconds, [&] {
        const uint64_t before = done.load(std::memory_order_relaxed);
        pool.run(size_t{8} * pool.size(), [&](size_t, unsigned) {
            done.fetch_add(kernels.int8_work(kRounds), std::memory_order_relaxed);
        });
        return static_cast<double>(done.load(std::memory_order_relaxed) - before);
    });
}

}  // namespace core
