// Checkpoints of Grok-1: small ones with their values, and the true one as 770 files of holes.
#include "core/formats/grok1_checkpoint.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/half.h"
#include "tests/support/grok1_shapes.h"
#include "tests/support/pickles.h"

namespace core {
namespace {

using support::ArrayToPickle;
using support::grok1_file;
using support::grok1_file_count;
using support::grok1_slot;
using support::Grok1Shape;
using support::Grok1Slot;
using support::kGrok1Shape;
using support::PickleFile;
using testing::ElementsAre;
using testing::HasSubstr;
using Type = ArrayToPickle::Type;

class TemporaryFolder {
  public:
    TemporaryFolder() : path_("./grok1-" + std::to_string(::getpid())) {
        std::filesystem::remove_all(path_);
        std::filesystem::create_directory(path_);
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::string& path() const { return path_; }
    std::string file(uint32_t index) const { return path_ + "/" + support::grok1_file_name(index); }

  private:
    std::string path_;
};

constexpr Grok1Shape kSmall = {64, 50, 256, 128, 256, 4, 12};

void write_checkpoint(const TemporaryFolder& folder, const Grok1Shape& shape,
                      const std::function<void(uint32_t, Grok1Slot&)>& fill = {}) {
    for (uint32_t index = 0; index < grok1_file_count(shape); ++index) {
        Grok1Slot slot = grok1_slot(shape, index);
        if (fill) fill(index, slot);
        grok1_file(slot).write(folder.file(index));
    }
}

std::string refusal(const std::string& folder) {
    try {
        open_grok1_checkpoint(folder);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        return error.what();
    }
    ADD_FAILURE() << "was accepted";
    return {};
}

TEST(Grok1Layers, LieInTheOrderOfTheirNames) {
    EXPECT_THAT(grok1_layer_order(12), ElementsAre(0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9));
    const std::vector<uint32_t> order = grok1_layer_order(64);
    // Inverse, as documented: 2 -> 12, 9 -> 63, 10 -> 2, 20 -> 13, 59 -> 55, 60 -> 57, 63 -> 60.
    const std::map<uint32_t, uint32_t> ranks = {{0, 0},   {1, 1},   {12, 2},  {63, 9},
                                                {2, 10},  {13, 20}, {55, 59}, {57, 60},
                                                {60, 63}, {56, 6},  {61, 7},  {62, 8}};
    for (const auto& [rank, layer] : ranks)
        EXPECT_EQ(order[rank], layer) << rank;
}

// What the release's files weigh; a writer that is wrong by one opcode misses them.
TEST(Grok1Files, HaveThePublishedSizes) {
    std::map<uint64_t, uint32_t> sizes;
    for (uint32_t index = 0; index < grok1_file_count(kGrok1Shape); ++index)
        ++sizes[grok1_file(grok1_slot(kGrok1Shape, index)).size()];
    const std::map<uint64_t, uint32_t> published = {
        {3'221'225'637, 1}, {24'727, 257},    {196'770, 64},        {6'293'814, 128},
        {37'761'334, 64},   {37'847'359, 64}, {1'611'137'347, 128}, {1'611'399'491, 64}};
    EXPECT_EQ(sizes, published);
}

TEST(Grok1Checkpoint, TrueShapesAreListedWithoutReadingTheData) {
    const TemporaryFolder folder;
    write_checkpoint(folder, kGrok1Shape);
    const auto file = open_grok1_checkpoint(folder.path());
    EXPECT_EQ(file->tensors().size(), 770u);
    EXPECT_EQ(file->file_bytes() / 1'000'000'000, 318u);
    EXPECT_EQ(file->meta_uint("grok.block_count"), 64u);
    EXPECT_EQ(file->meta_uint("grok.attention.head_count"), 48u);
    EXPECT_EQ(file->meta_uint("grok.attention.head_count_kv"), 8u);
    EXPECT_EQ(file->meta_uint("grok.feed_forward_length"), 32768u);
    const TensorInfo* down = file->find_tensor("blk.63.ffn_down_exps.weight");
    ASSERT_NE(down, nullptr);
    EXPECT_EQ(down->type, DType::i8c);
    EXPECT_THAT(down->shape, ElementsAre(32768u, 6144u, 8u));
    EXPECT_EQ(down->scale_groups, 8u);
    EXPECT_EQ(down->bytes(), 1'611'399'168u);
    const TensorInfo* key = file->find_tensor("blk.0.attn_k.weight");
    ASSERT_NE(key, nullptr);
    EXPECT_THAT(key->shape, ElementsAre(6144u, 1024u));
    EXPECT_EQ(key->scale_groups, 1u);
}

TEST(Grok1Checkpoint, RanksBecomeLayers) {
    const TemporaryFolder folder;
    // Each layer's first norm holds its rank.
    write_checkpoint(folder, kSmall, [](uint32_t index, Grok1Slot& slot) {
        if (index < 2 || (index - 2) % 12 != 7) return;
        const auto rank = static_cast<float>((index - 2) / 12);
        slot.weight.data.resize(kSmall.dim * sizeof(float));
        std::memcpy(slot.weight.data.data(), &rank, sizeof rank);
    });
    const auto file = open_grok1_checkpoint(folder.path());
    for (const auto& [layer, rank] : std::map<uint32_t, float>{{1, 1}, {10, 2}, {11, 3}, {2, 4}}) {
        const auto* norm = file->find_tensor("blk." + std::to_string(layer) + ".attn_norm.weight");
        ASSERT_NE(norm, nullptr);
        float value = -1;
        std::memcpy(&value, norm->data.data(), sizeof value);
        EXPECT_EQ(value, rank) << "layer " << layer;
    }
}

// w[e, k, n] = weight[e, k, n] * scales[e, k / (K / G), n], and row n of ours is column n of w.
TEST(Grok1Checkpoint, ValuesAndScalesSurviveInBothLayouts) {
    const TemporaryFolder folder;
    std::map<uint32_t, Grok1Slot> written;
    write_checkpoint(folder, kSmall, [&](uint32_t index, Grok1Slot& slot) {
        if (slot.scales.empty() || index > 14) return;
        const auto fill = [&](ArrayToPickle& array, uint32_t seed) {
            uint64_t bytes = array.type == Type::bf16 ? 2 : 1;
            for (const uint64_t size : array.shape)
                bytes *= size;
            for (uint64_t i = 0; i < bytes; ++i)
                array.data.push_back(static_cast<std::byte>((i * 2654435761u + seed) >> 7));
        };
        fill(slot.weight, index);
        fill(slot.scales.front(), index + 100);
        written.emplace(index, slot);
    });
    const auto file = open_grok1_checkpoint(folder.path());
    const std::map<uint32_t, std::string> names = {{2, "blk.0.ffn_gate_exps.weight"},
                                                   {3, "blk.0.ffn_down_exps.weight"},
                                                   {6, "blk.0.attn_output.weight"},
                                                   {7, "blk.0.attn_q.weight"}};
    for (const auto& [index, name] : names) {
        const TensorInfo* tensor = file->find_tensor(name);
        ASSERT_NE(tensor, nullptr);
        const Grok1Slot& slot = written.at(index);
        const uint64_t in = tensor->dim(0);
        const uint64_t out = tensor->dim(1);
        const uint64_t groups = tensor->scale_groups;
        // Odd pieces, across experts too.
        const uint64_t first = tensor->dim(2) > 1 ? out - 3 : 1;
        const uint64_t count = 7;
        std::vector<std::byte> values(count * in);
        std::vector<std::byte> scales(count * groups * 2);
        file->read_rows(*tensor, first, values, scales);
        for (uint64_t row = 0; row < count; ++row) {
            const uint64_t expert = (first + row) / out;
            const uint64_t n = (first + row) % out;
            for (uint64_t k = 0; k < in; ++k)
                ASSERT_EQ(values[row * in + k], slot.weight.data[(expert * in + k) * out + n])
                    << name << " row " << row << " column " << k;
            for (uint64_t g = 0; g < 2 * groups; ++g)
                ASSERT_EQ(
                    scales[row * 2 * groups + g],
                    slot.scales.front().data[((expert * groups + g / 2) * out + n) * 2 + g % 2]);
        }
    }
}

TEST(Grok1Checkpoint, IsFoundInItsFolderAndAbove) {
    const TemporaryFolder folder;
    EXPECT_FALSE(find_grok1_checkpoint(folder.path()));
    std::filesystem::create_directory(folder.path() + "/ckpt-0");
    grok1_file(grok1_slot(kSmall, 1)).write(folder.path() + "/ckpt-0/tensor00000_000");
    EXPECT_THAT(find_grok1_checkpoint(folder.path()), testing::Optional(HasSubstr("ckpt-0")));
    EXPECT_TRUE(find_grok1_checkpoint(folder.path() + "/ckpt-0"));
}

TEST(Grok1Checkpoint, MissingFilesAreNamed) {
    const TemporaryFolder folder;
    write_checkpoint(folder, kSmall);
    std::filesystem::remove(folder.file(17));
    EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor00017_000: is missing"));
    write_checkpoint(folder, kSmall);
    std::filesystem::remove(folder.file(145));
    EXPECT_THAT(refusal(folder.path()), HasSubstr("145 tensors in a row"));
}

TEST(Grok1Checkpoint, ALayerTooFewIsNoticedInTheRealModel) {
    const TemporaryFolder folder;
    Grok1Shape shape = kGrok1Shape;
    shape.layers = 63;
    write_checkpoint(folder, shape);
    EXPECT_THAT(refusal(folder.path()), HasSubstr("63 layers, Grok-1 has 64"));
}

TEST(Grok1Checkpoint, FilesInEachOthersPlaceAreNoticed) {
    const TemporaryFolder folder;
    write_checkpoint(folder, kSmall);
    std::filesystem::rename(folder.file(2), folder.path() + "/x");
    std::filesystem::rename(folder.file(5), folder.file(2));
    std::filesystem::rename(folder.path() + "/x", folder.file(5));
    EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor00002_000: has shape (64, 128)"));
}

TEST(Grok1Checkpoint, ScalesThatDoNotDivideTheRowsAreRefused) {
    const TemporaryFolder folder;
    write_checkpoint(folder, kSmall, [](uint32_t index, Grok1Slot& slot) {
        if (index == 6) slot.scales.front().shape[0] = 16;
    });
    EXPECT_THAT(refusal(folder.path()), HasSubstr("scales of shape (16, 64)"));
}

TEST(Grok1Checkpoint, DamagedFilesAreRefusedByName) {
    const TemporaryFolder folder;
    write_checkpoint(folder, kSmall);
    std::filesystem::resize_file(folder.file(9), 100);
    EXPECT_THAT(refusal(folder.path()), HasSubstr("tensor00009_000"));
}

}  // namespace
}  // namespace core
