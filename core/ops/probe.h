// What this machine can do: how fast it reads memory and multiplies bytes.
//
// Speeds of the engine mean something only beside these, measured in the same run: on shared
// machines both drift by a factor of two within minutes.
#pragma once

#include <cstddef>
#include <memory>

#include "core/base/pool.h"
#include "core/kernels/kernels.h"

namespace core {

// Reads a buffer larger than any cache with all workers of a pool.
class ReadProbe {
  public:
    static constexpr size_t kDefaultBytes = size_t{1280} << 20;

    // Allocates and touches the buffer. Throws Error(memory). `kernels` and `pool` must outlive it.
    ReadProbe(const Kernels& kernels, Pool& pool, size_t bytes = kDefaultBytes);

    // Bytes per second over about `seconds`, one whole pass at least.
    double measure(double seconds);

  private:
    const Kernels& kernels_;
    Pool& pool_;
    size_t bytes_;  // whole tasks
    std::shared_ptr<std::byte> buffer_;
};

// Int8 operations per second (a multiply and an add are two) of the tier's best instruction
// sequence on registers, with all workers, over about `seconds`.
double measure_int8_peak(const Kernels& kernels, Pool& pool, double seconds);

}  // namespace core
