// The engine against naive_forward: every family, storage type, tier and KV type, on sequences of
// more than two pages.
#include <cstdio>
#include <string>
#include <tuple>

#include <gtest/gtest.h>

#include "tests/support/agreement.h"

namespace {

using support::Family;
using support::Storage;

using Combination = std::tuple<Family, Storage, core::KvType>;

class FullAgreementTest : public testing::TestWithParam<Combination> {};

std::string combination_name(const testing::TestParamInfo<Combination>& instance) {
    const auto [family, storage, kv] = instance.param;
    return name(family) + "_" + name(storage) + "_kv_" + std::string(core::name(kv));
}

INSTANTIATE_TEST_SUITE_P(All, FullAgreementTest,
                         testing::Combine(testing::ValuesIn(support::kAllFamilies),
                                          testing::ValuesIn(support::kAllStorages),
                                          testing::Values(core::KvType::f32, core::KvType::q8)),
                         combination_name);

INSTANTIATE_TEST_SUITE_P(HalfCache, FullAgreementTest,
                         testing::Combine(testing::ValuesIn(support::kAllFamilies),
                                          testing::Values(Storage::f32, Storage::f16,
                                                          Storage::bf16),
                                          testing::Values(core::KvType::f16)),
                         combination_name);

TEST_P(FullAgreementTest, EngineAgreesWithNaiveForwardOnEveryTier) {
    constexpr uint32_t kLength = 2 * core::kPagePositions + 21;
    const auto [family, storage, kv] = GetParam();
    const support::AgreementCase agreement(family, storage, kv, kLength);
    for (const core::Kernels* kernels : core::all_kernels()) {
        SCOPED_TRACE(kernels->name);
        agreement.compare(*kernels);
    }
    std::printf("worst relative error: %.2e\n", agreement.worst_error());
}

}  // namespace
