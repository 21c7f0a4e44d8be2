// Small models for tests: the same weights as a GGUF file for the engine and as plain matrices for
// naive_forward. Two sources of weights, one generator: the golden toy models with their known
// logits, and two-layer models of every family in every storage type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/naive_forward.h"
#include "tests/support/storage.h"
#include "tests/support/test_model.h"

namespace support {

enum class Family : uint8_t { grok1, grok2, llama, mixtral, qwen2, qwen2moe, qwen3, qwen3moe };

inline constexpr Family kAllFamilies[] = {Family::grok1,   Family::grok2,   Family::llama,
                                          Family::mixtral, Family::qwen2,   Family::qwen2moe,
                                          Family::qwen3,   Family::qwen3moe};

std::string name(Family family);

// Element i is number i + 1 of splitmix64 seeded with FNV-1a of `name`, as a uniform in [0, 1).
std::vector<double> golden_uniforms(std::string_view name, size_t count);

// The toy models with known logits: dim 32, vocabulary 48, F32.
TestModel golden_model(Family family);

// A random model: dim 64, vocabulary 50, two layers, every matrix but the router in `storage`.
TestModel tiny_model(Family family, Storage storage);

// The same with matrices so large that their products are split into several tasks.
TestModel wide_model(Family family, Storage storage);

// A random Grok-1 with that model's constants and its heads of 128, matrices in I8C with the groups
// of scales that its checkpoint has: what write_grok1_checkpoint() can write.
TestModel tiny_checkpoint();

// `count` tokens to append to what `forward` holds, chosen so that no step comes near a decision
// that an engine's rounding error could turn over: router margins above 1e-3, and values at least
// 5e-4 of a step away from rounding ties, 3e-3 where a half is stored. Moves `forward` on and
// appends its logits, one row each.
std::vector<int32_t> safe_tokens(NaiveForward& forward, uint32_t vocab, uint32_t count,
                                 uint64_t seed, std::vector<std::vector<double>>& logits);

// |actual - expected| / |expected| over a row.
double relative_error(std::span<const float> actual, std::span<const double> expected);

}  // namespace support
