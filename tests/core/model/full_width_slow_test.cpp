// Two layers of Grok-1 in their true size: dimension 6144, 8 experts of 32768, vocabulary 131072.
// From pickles to GGUF in bounded memory, and the same logits from both. Needs 16 GB of memory and
// 15 GB of disk: the pickles are mostly holes.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
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

using support::Grok1Shape;
using support::kGrok1Shape;

constexpr uint64_t kGigabyte = 1'000'000'000;
constexpr Grok1Shape kPair = {6144, 131072, 6144, 1024, 32768, 8, 2};
// The same without the size, to be tried in seconds.
constexpr Grok1Shape kNarrowPair = {512, 4096, 512, 128, 1024, 8, 2};

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

void write_tensor(const std::string& path, const Grok1Shape& shape, uint32_t index) {
    grok1_file(support::grok1_slot(shape, index)).write(path);
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

uint64_t peak_resident() {
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// What one step took, beside what it left in memory at most.
class Step {
  public:
    explicit Step(const char* name) : name_(name) {}
    ~Step() {
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
        std::printf("%s: %.1f s, peak of resident memory %.2f GB\n", name_, seconds.count(),
                    static_cast<double>(peak_resident()) / kGigabyte);
        std::fflush(stdout);
    }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

  private:
    const char* name_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

support::Rows logits(const core::WeightFile& file, const Grok1Shape& shape) {
    const auto last = static_cast<core::TokenId>(shape.vocab - 1);
    const core::TokenId tokens[] = {1, last / 2, 3, last};
    support::LoadedModel model(file, core::select_kernels(), 0);
    return model.forward_in_chunks(core::KvType::f16, tokens, std::size(tokens));
}

void convert_and_run(const Grok1Shape& shape) {
    const DiskFolder folder;
    if (std::filesystem::space(folder.checkpoint()).available < shape.dim * kGigabyte / 400)
        GTEST_SKIP() << "needs 15 GB of disk";
    for (uint32_t index = 0; index < support::grok1_file_count(shape); ++index)
        write_tensor(folder.checkpoint() + "/" + support::grok1_file_name(index), shape, index);
    const auto checkpoint = core::open_grok1_checkpoint(folder.checkpoint(), {.layers = 2});
    ASSERT_EQ(checkpoint->tensors().size(), 26u);
    {
        const Step step("conversion");
        core::Pool pool;
        core::convert(*checkpoint, core::plan_conversion(*checkpoint, {}), folder.gguf(), pool);
    }
    uint64_t largest = 0;
    for (const core::TensorInfo& tensor : checkpoint->tensors())
        largest = std::max(largest, tensor.bytes());
    EXPECT_LT(peak_resident(), 2 * kGigabyte + largest);

    support::Rows expected;
    {
        const Step step("load and run of the pickles");
        expected = logits(*checkpoint, shape);
    }
    ASSERT_EQ(expected.size(), 4u);
    EXPECT_EQ(expected.back().size(), shape.vocab);
    EXPECT_TRUE(std::ranges::all_of(expected.back(), [](float z) { return std::isfinite(z); }));
    EXPECT_NE(expected.front(), expected.back());
    const Step step("load and run of the GGUF file");
    EXPECT_EQ(logits(*core::open_weight_file(folder.gguf()), shape), expected);
}

TEST(FullWidth, ANarrowLayerPairConvertsFromPicklesAndRuns) {
    convert_and_run(kNarrowPair);
}

TEST(FullWidth, ALayerPairOfGrok1ConvertsFromPicklesAndRuns) {
    static_assert(kPair.dim == kGrok1Shape.dim && kPair.width == kGrok1Shape.width);
    if (core::available_memory() < 16 * kGigabyte) GTEST_SKIP() << "needs 16 GB of memory";
    convert_and_run(kPair);
}

}  // namespace
