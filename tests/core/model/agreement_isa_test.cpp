// The engine against naive_forward: the combinations that find most mistakes, on the slowest and
// the fastest tier. agreement_slow_test.cpp has all of them.
#include <gtest/gtest.h>

#include "tests/support/agreement.h"

namespace {

using support::Family;
using support::Storage;

struct Combination {
    Family family;
    Storage storage;
    core::KvType kv;
};

// Every family, every storage type and every KV type at least once.
constexpr Combination kCombinations[] = {
    {Family::grok1, Storage::f32, core::KvType::f32},
    {Family::grok1, Storage::i8c, core::KvType::q8},
    {Family::grok2, Storage::q8_0, core::KvType::f32},
    {Family::grok2, Storage::bf16, core::KvType::f16},
    {Family::llama, Storage::q4_0, core::KvType::f32},
    {Family::qwen2, Storage::f16, core::KvType::f32},
    {Family::mixtral, Storage::q8_0, core::KvType::f32},
    {Family::qwen2moe, Storage::q8_0, core::KvType::f32},
    {Family::qwen3, Storage::bf16, core::KvType::f32},
    {Family::qwen3moe, Storage::q4_0, core::KvType::f32},
};

class AgreementTest : public testing::TestWithParam<Combination> {};

INSTANTIATE_TEST_SUITE_P(Combinations, AgreementTest, testing::ValuesIn(kCombinations),
                         [](const testing::TestParamInfo<Combination>& instance) {
                             return name(instance.param.family) + "_" +
                                    name(instance.param.storage) + "_kv_" +
                                    std::string(core::name(instance.param.kv));
                         });

TEST_P(AgreementTest, EngineAgreesWithNaiveForward) {
    // Crosses a page boundary with the longest sequence.
    constexpr uint32_t kLength = core::kPagePositions + 6;
    const auto [family, storage, kv] = GetParam();
    const support::AgreementCase agreement(family, storage, kv, kLength);
    const auto tiers = core::all_kernels();
    agreement.compare(*tiers.front());
    if (tiers.size() > 1) agreement.compare(*tiers.back());
    RecordProperty("worst_relative_error", std::to_string(agreement.worst_error()));
}

}  // namespace
