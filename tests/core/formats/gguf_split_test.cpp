// Models that are split into several GGUF files.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/weight_file.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/support/temporary_folder.h"

namespace core {
namespace {

using testing::HasSubstr;

constexpr uint32_t kTypeF32 = 0;
constexpr uint32_t kTypeI8 = 24;
constexpr uint32_t kTypeBf16 = 30;
constexpr uint32_t kU16 = 2;
constexpr uint32_t kI32 = 5;
constexpr uint32_t kString = 8;
constexpr uint32_t kU64 = 10;

class SplitGguf : public testing::Test {
  protected:
    // Three parts: `a` in the first, I8 values `w` in the second, their scales in the third.
    SplitGguf() {
        write(1, part(0, 3, 3, [](RawGguf& raw) { raw.tensor("a", {8}, kTypeF32, 0).data(32); }));
        write(2, part(1, 3, 1, [](RawGguf& raw) {
                  raw.tensor("w", {32, 2}, kTypeI8, 0).data(64);
              }));
        write(3, part(2, 3, 1, [](RawGguf& raw) {
                  raw.tensor("w.scales", {1, 2}, kTypeBf16, 0).data(4);
              }));
    }

    // The first part has a key of the model beside those of the split.
    template <class Add>
    static std::string part(uint16_t number, uint16_t count, int32_t tensors, Add add) {
        RawGguf raw;
        raw.header(1, number == 0 ? 4 : 3);
        if (number == 0) raw.key("general.name", kString).string("whole");
        raw.key("split.no", kU16).put<uint16_t>(number);
        raw.key("split.count", kU16).put<uint16_t>(count);
        raw.key("split.tensors.count", kI32).put<int32_t>(tensors);
        add(raw);
        return raw.bytes;
    }

    std::string path(int number) const {
        char name[64];
        std::snprintf(name, sizeof name, "/m-%05d-of-00003.gguf", number);
        return folder.path() + name;
    }

    void write(int number, const std::string& bytes) const {
        write_file(path(number), std::as_bytes(std::span(bytes)));
    }

    std::string refusal(int number = 1) const {
        try {
            open_weight_file(path(number));
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
            return error.what();
        }
        return "";
    }

    support::TemporaryFolder folder;
};

TEST_F(SplitGguf, AnyPartOpensTheWholeModel) {
    for (int number = 1; number <= 3; ++number) {
        const auto file = open_weight_file(path(number));
        EXPECT_EQ(file->path(), path(1));
        EXPECT_EQ(file->format(), "GGUF v3 in 3 parts");
        EXPECT_EQ(file->meta_string("general.name"), "whole");
        EXPECT_EQ(file->find_meta("split.count"), nullptr);
        ASSERT_EQ(file->tensors().size(), 2u);
        EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(path(1)) +
                                          std::filesystem::file_size(path(2)) +
                                          std::filesystem::file_size(path(3)));
        const TensorInfo* folded = file->find_tensor("w");
        ASSERT_NE(folded, nullptr);
        EXPECT_EQ(folded->type, DType::i8c) << "its scales lie in another part";
        EXPECT_EQ(folded->data.size(), 64u);
        EXPECT_EQ(folded->scales.size(), 4u);
        for (const TensorInfo& tensor : file->tensors())
            file->release(tensor.data);
        EXPECT_FALSE(file->damaged());
    }
}

TEST_F(SplitGguf, AMissingShardIsNamed) {
    std::filesystem::remove(path(2));
    EXPECT_EQ(refusal(), "shard 2 of 3 is missing: " + path(2));
    EXPECT_EQ(refusal(3), "shard 2 of 3 is missing: " + path(2));
}

TEST_F(SplitGguf, ATruncatedShardIsNamedWithBothSizes) {
    const auto size = std::filesystem::file_size(path(2));
    std::filesystem::resize_file(path(2), size - 1);
    EXPECT_EQ(refusal(), path(2) + ": ends at " + std::to_string(size - 1) + " B, header says " +
                             std::to_string(size) + " B, incomplete download, nothing was loaded");
}

TEST_F(SplitGguf, PartsOfAnotherModelAreRefused) {
    std::filesystem::copy_file(path(1), path(2), std::filesystem::copy_options::overwrite_existing);
    EXPECT_THAT(refusal(), HasSubstr("00002-of-00003.gguf: is not the part that its name says"));
}

TEST_F(SplitGguf, TensorsAreCountedAndDistinct) {
    write(1, part(0, 3, 9, [](RawGguf& raw) { raw.tensor("a", {8}, kTypeF32, 0).data(32); }));
    EXPECT_THAT(refusal(), HasSubstr("has 3 tensors in its parts, 9 are announced"));
    write(1, part(0, 3, 3, [](RawGguf& raw) { raw.tensor("w", {8}, kTypeF32, 0).data(32); }));
    EXPECT_THAT(refusal(), HasSubstr("tensor w"));
}

TEST_F(SplitGguf, ASecondTensorOfScalesIsRefused) {
    write(1, part(0, 3, 3, [](RawGguf& raw) {
              raw.tensor("w.scales", {1, 2}, kTypeBf16, 0).data(4);
          }));
    EXPECT_THAT(refusal(), HasSubstr("tensor w.scales occurs in two parts"));
}

// Its number plus one is zero: none of the parts that are looked for.
TEST_F(SplitGguf, APartThatIsNoneOfItsModelIsRefused) {
    RawGguf raw;
    raw.header(1, 2);
    raw.key("split.no", kU64).put<uint64_t>(UINT64_MAX);
    raw.key("split.count", kU16).put<uint16_t>(3);
    raw.tensor("a", {8}, kTypeF32, 0).data(32);
    write(0, raw.bytes);
    EXPECT_THAT(refusal(0), HasSubstr("is part 0 of 3 of a split model"));
}

TEST_F(SplitGguf, ALinkToAPartIsThePartAndALinkToADeviceIsNone) {
    std::filesystem::rename(path(2), folder.path() + "/blob");
    std::filesystem::create_symlink("blob", path(2));
    EXPECT_EQ(open_weight_file(path(1))->tensors().size(), 2u);
    std::filesystem::remove(path(2));
    std::filesystem::create_symlink("/dev/zero", path(2));
    try {
        open_weight_file(path(1));
        ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("00002-of-00003.gguf: not a regular file"));
    }
}

TEST_F(SplitGguf, APartWithAnotherNameSaysWhichNameItNeeds) {
    std::filesystem::rename(path(2), folder.path() + "/second.gguf");
    try {
        open_weight_file(folder.path() + "/second.gguf");
        ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(),
                    HasSubstr("is part 2 of 3 of a split model, but its name does not end in "
                              "-00002-of-00003.gguf"));
    }
}

}  // namespace
}  // namespace core
