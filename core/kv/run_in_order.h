// Work on several threads whose results are wanted in order: how pages come from disk.
#pragma once

#include <cstddef>
#include <functional>

namespace core {

// Calls work(i) for each i below `count`, several at a time on up to `threads` threads, and take(i)
// on the calling thread, in order, each after its work(i). Stops early when take says false. When
// it returns, nothing runs any more. `work` must not throw. When the system gives no threads, the
// caller does the work.
void run_in_order(size_t count, unsigned threads, const std::function<void(size_t)>& work,
                  const std::function<bool(size_t)>& take);

}  // namespace core
