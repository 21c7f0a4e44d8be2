// The probes give plausible numbers; what they should be only the machine knows.

#include "core/ops/probe.h"

#include <gtest/gtest.h>

namespace core {
namespace {

TEST(Probe, MeasuresSomethingOnEveryTier) {
    Pool pool(2);
    for (const Kernels* kernels : all_kernels()) {
        ReadProbe probe(*kernels, pool, size_t{8} << 20);
        EXPECT_GT(probe.measure(0.0), 1e6) << kernels->name;
        EXPECT_GT(measure_int8_peak(*kernels, pool, 0.0), 1e6) << kernels->name;
    }
}

}  // namespace
}  // namespace core
