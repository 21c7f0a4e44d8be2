// Ten thousand random steps for each KV type: append, edit in the middle, fork, drop, evict,
// restart, damaged files and a removed directory.
#include <gtest/gtest.h>

#include "tests/core/kv/random_branching.h"

namespace core {
namespace {

class RandomBranching : public testing::TestWithParam<KvType> {};

INSTANTIATE_TEST_SUITE_P(EveryKvType, RandomBranching,
                         testing::Values(KvType::f32, KvType::f16, KvType::q8));

TEST_P(RandomBranching, InMemoryNeverGivesAWrongRowAndLeaksNothing) {
    branch_at_random({.steps = 10'000, .seed = 3, .type = GetParam(), .disk = false});
}

TEST_P(RandomBranching, WithADiskNeverGivesAWrongRowAndLeaksNothing) {
    branch_at_random({.steps = 10'000, .seed = 4, .type = GetParam()});
}

}  // namespace
}  // namespace core
