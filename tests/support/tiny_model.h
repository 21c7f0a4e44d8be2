// Small models for tests: the same weights as a GGUF file for the engine and as plain matrices for
// naive_forward. Two sources of weights, one generator: the golden toy models with their known
// logits, and two-layer models of every family in every storage type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/tensor/dtype.h"
#include "tests/support/naive_forward.h"
#include "tests/support/storage.h"

namespace support {

enum class Family : uint8_t { grok1, grok2, llama, mixtral, qwen2, qwen2moe, qwen3, qwen3moe };

inline constexpr Family kAllFamilies[] = {Family::grok1,   Family::grok2,   Family::llama,
                                          Family::mixtral, Family::qwen2,   Family::qwen2moe,
                                          Family::qwen3,   Family::qwen3moe};

std::string name(Family family);

// A tensor as it goes into the file. shape[0] is the contiguous dimension.
struct StoredTensor {
    std::string name;
    core::DType type = core::DType::f32;
    std::vector<uint64_t> shape;
    std::vector<std::byte> data;
    std::vector<std::byte> scales;  // I8C: bf16 {groups, out(, experts)}
    uint64_t scale_groups = 0;
};

using MetaEntry = std::variant<uint32_t, float, bool, std::string, std::vector<std::string>,
                               std::vector<float>, std::vector<int32_t>>;

// Metadata and tensors may be changed before writing: that is how tests make broken files.
struct TestModel {
    NaiveModel reference;
    std::vector<std::pair<std::string, MetaEntry>> metadata;
    std::vector<StoredTensor> tensors;

    // REQUIRES: present.
    StoredTensor& tensor(std::string_view name);
    MetaEntry& meta(std::string_view key);
    void remove_tensor(std::string_view name);
    void remove_meta(std::string_view key);
};

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

// Replaces `no_vocab` by a SentencePiece vocabulary of [PAD], [BOS], [EOS], [UNK], the byte pieces
// where they fit, a space, letters and a few merges; the remaining ids are unused pieces.
// REQUIRES: at least 40 ids.
void add_vocabulary(TestModel& model);

void write_gguf(const TestModel& model, const std::string& path);

// `count` tokens to append to what `forward` holds, chosen so that no step comes near a decision
// that an engine's rounding error could turn over: router margins above 1e-3, and values at least
// 5e-4 of a step away from rounding ties. Moves `forward` on and appends its logits, one row each.
std::vector<int32_t> safe_tokens(NaiveForward& forward, uint32_t vocab, uint32_t count,
                                 uint64_t seed, std::vector<std::vector<double>>& logits);

// |actual - expected| / |expected| over a row.
double relative_error(std::span<const float> actual, std::span<const double> expected);

}  // namespace support
