// Two layers of Grok-1 in their true size: dimension 6144, 8 experts of 32768, vocabulary 131072.
// From pickles to GGUF, and the same logits from both. Needs 16 GB of memory and 26 GB of disk.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/cpu.h"
#include "core/base/mapped_file.h"
#include "core/formats/grok1_checkpoint.h"
#include "core/formats/pickle.h"
#include "core/model/convert.h"
#include "tests/support/grok1_shapes.h"
#include "tests/support/loaded_model.h"

namespace {

using support::ArrayToPickle;
using support::kGrok1Shape;

constexpr uint64_t kGigabyte = 1'000'000'000;
constexpr core::TokenId kTokens[] = {1, 70'000, 3, 131'071};

// A folder on the disk: the weights would not fit into memory twice.
class DiskFolder {
  public:
    DiskFolder()
        : path_(std::filesystem::temp_directory_path() /
                ("moxie-full-width-" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(path_ / "ckpt-0");
    }
    ~DiskFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    DiskFolder(const DiskFolder&) = delete;
    DiskFolder& operator=(const DiskFolder&) = delete;

    std::string checkpoint() const { return path_ / "ckpt-0"; }
    std::string gguf() const { return path_ / "pair.gguf"; }

  private:
    std::filesystem::path path_;
};

// A part of a payload in every 32 MB; what lies between stays a hole, which reads as zero.
void fill(int file, const core::PickledArray& array, const std::vector<std::byte>& pattern) {
    constexpr uint64_t kStep = uint64_t{32} << 20;
    for (uint64_t at = 0; at < array.length; at += kStep) {
        const uint64_t count = std::min<uint64_t>(pattern.size(), array.length - at);
        ASSERT_EQ(::pwrite(file, pattern.data(), count, static_cast<off_t>(array.offset + at)),
                  static_cast<ssize_t>(count));
    }
}

template <class Value, class Next>
std::vector<std::byte> pattern_of(size_t count, Next next) {
    std::vector<Value> values(count);
    std::ranges::generate(values, next);
    const auto bytes = std::as_bytes(std::span(values));
    return {bytes.begin(), bytes.end()};
}

void write_tensor(const std::string& path, uint32_t index) {
    grok1_file(support::grok1_slot(kGrok1Shape, index)).write(path);
    core::PickledTensor tensor;
    {
        const core::MappedFile mapped(path);
        tensor = core::read_pickle(mapped.bytes(), path);
    }
    std::mt19937 random(index);
    const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(file, 0);
    if (tensor.scales) {
        fill(file, tensor.values, pattern_of<int8_t>(1 << 20, [&] {
                 return static_cast<int8_t>(random() % 255 - 127);
             }));
        // 2^-10 and a little: bf16. All of them, or whole rows would be zero.
        const auto scales = pattern_of<uint16_t>(tensor.scales->length / 2, [&] {
            return static_cast<uint16_t>(0x3a80 + random() % 64);
        });
        fill(file, *tensor.scales, scales);
    } else {
        const bool norm = tensor.values.shape.size() == 1;
        fill(file, tensor.values, pattern_of<float>(1 << 18, [&] {
                 const float value = static_cast<float>(random() >> 8) * 0x1p-24F - 0.5F;
                 return norm ? 1.0F + value / 4 : value / 16;
             }));
    }
    ::close(file);
}

support::Rows logits(const core::WeightFile& file) {
    support::LoadedModel model(file, core::select_kernels(), 0);
    return model.forward_in_chunks(core::KvType::f16, kTokens, std::size(kTokens));
}

TEST(FullWidth, ALayerPairOfGrok1ConvertsFromPicklesAndRuns) {
    const DiskFolder folder;
    const auto space = std::filesystem::space(folder.checkpoint());
    if (core::available_memory() < 16 * kGigabyte || space.available < 26 * kGigabyte)
        GTEST_SKIP() << "needs 16 GB of memory and 26 GB of disk";
    for (uint32_t index = 0; index < 2 + 2 * 12; ++index)
        write_tensor(folder.checkpoint() + "/" + support::grok1_file_name(index), index);
    const auto checkpoint = core::open_grok1_checkpoint(folder.checkpoint(), {.layers = 2});
    ASSERT_EQ(checkpoint->tensors().size(), 26u);
    {
        core::Pool pool;
        core::convert(*checkpoint, core::plan_conversion(*checkpoint, {}), folder.gguf(), pool);
    }
    const support::Rows expected = logits(*checkpoint);
    ASSERT_EQ(expected.size(), std::size(kTokens));
    EXPECT_EQ(expected.back().size(), kGrok1Shape.vocab);
    EXPECT_TRUE(std::ranges::all_of(expected.back(), [](float z) { return std::isfinite(z); }));
    EXPECT_NE(expected.front(), expected.back());
    EXPECT_EQ(logits(*core::open_weight_file(folder.gguf())), expected);
}

}  // namespace
