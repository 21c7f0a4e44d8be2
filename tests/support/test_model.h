// A model in memory, as a GGUF file for the engine and as plain matrices for naive_forward.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/tensor/dtype.h"
#include "tests/support/naive_forward.h"

namespace support {

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

// Replaces `no_vocab` by a SentencePiece vocabulary of [PAD], [BOS], [EOS], [UNK], the byte pieces
// where they fit, a space, letters and a few merges; the remaining ids are unused pieces.
// REQUIRES: at least 40 ids.
void add_vocabulary(TestModel& model);

void write_gguf(const TestModel& model, const std::string& path);

}  // namespace support
