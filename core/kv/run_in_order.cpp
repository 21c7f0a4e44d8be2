#include "core/kv/run_in_order.h"

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace core {

void run_in_order(size_t count, unsigned threads, const std::function<void(size_t)>& work,
                  const std::function<bool(size_t)>& take) {
    std::vector<std::atomic<bool>> done(count);
    std::atomic<size_t> next{0};
    std::atomic<bool> stopped{false};
    const auto work_on = [&] {
        for (size_t i = next.fetch_add(1); i < count && !stopped.load(); i = next.fetch_add(1)) {
            work(i);
            done[i].store(true);
            done[i].notify_one();
        }
    };
    std::vector<std::jthread> workers;  // last: their end is waited for before the rest goes
    try {
        for (size_t n = count == 1 ? 0 : std::min<size_t>(count, threads); n > 0; --n)
            workers.emplace_back(work_on);
    } catch (const std::system_error&) {
        // Those that run are enough.
    }
    bool go_on = true;
    for (size_t i = 0; i < count && go_on; ++i) {
        if (workers.empty())
            work(i);
        else
            done[i].wait(false);
        go_on = take(i);
    }
    stopped.store(true);
}

}  // namespace core
