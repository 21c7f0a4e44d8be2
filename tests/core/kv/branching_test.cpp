// A few hundred random steps; branching_slow_test.cpp takes ten thousand.
#include <gtest/gtest.h>

#include "tests/core/kv/random_branching.h"

namespace core {
namespace {

TEST(RandomBranching, InMemoryNeverGivesAWrongRowAndLeaksNothing) {
    branch_at_random({.steps = 300, .seed = 1, .disk = false});
}

TEST(RandomBranching, WithADiskNeverGivesAWrongRowAndLeaksNothing) {
    branch_at_random({.steps = 200, .seed = 2, .type = KvType::q8});
}

}  // namespace
}  // namespace core
