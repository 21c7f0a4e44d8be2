// Guards kNumericsVersion: pages of the KV cache outlive the program that made them, so a change of
// bits must change their names.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/hash.h"
#include "core/model/identity.h"
#include "tests/support/loaded_model.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

// Of the logits below. When a change of kernels, ops or forward() changes it, and only then: raise
// kNumericsVersion and put the new hash here, in the same commit.
constexpr uint32_t kVersionOfHash = 1;
constexpr const char* kLogitsHash = "06a7ef56067ce6f527bd55b6f9ee9a02";

// Every family, storage type and KV type once.
Hash128 hash_of_logits(const Kernels& kernels) {
    std::vector<TokenId> tokens(70);
    for (int i = 0; i < 70; ++i)
        tokens[static_cast<size_t>(i)] = (i * 7 + i / 11) % 50;
    Hasher128 hasher;
    const auto add = [&](support::Family family, support::Storage storage, KvType type) {
        support::LoadedModel model(support::tiny_model(family, storage), kernels);
        for (const auto& row : model.forward_in_chunks(type, tokens, 37))
            hasher.update(std::as_bytes(std::span(row)));
    };
    for (const support::Family family : support::kAllFamilies)
        add(family, support::Storage::q8_0, KvType::f16);
    for (const support::Storage storage : support::kAllStorages)
        add(support::Family::grok1, storage, KvType::f32);
    add(support::Family::grok2, support::Storage::q8_0, KvType::q8);
    return hasher.digest();
}

TEST(Numerics, TheVersionChangesWhenBitsDo) {
    EXPECT_EQ(kNumericsVersion, kVersionOfHash);
    for (const Kernels* kernels : all_kernels())
        EXPECT_EQ(hash_of_logits(*kernels).hex(), kLogitsHash) << kernels->name;
}

}  // namespace
}  // namespace core
