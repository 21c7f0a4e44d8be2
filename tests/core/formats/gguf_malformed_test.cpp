// Files that are cut, altered or hostile end in Error(model_unusable), whatever the change.
#include <cstddef>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/gguf.h"
#include "tests/core/formats/gguf_bytes.h"

namespace core {
namespace {

using testing::HasSubstr;

enum : uint32_t {
    kU8,
    kI8,
    kU16,
    kI16,
    kU32,
    kI32,
    kF32,
    kBool,
    kString,
    kArray,
    kU64,
    kI64,
    kF64
};
enum : uint32_t { kTypeF32 = 0, kTypeQ8 = 8, kTypeI8 = 24, kTypeBf16 = 30 };

// Every kind of metadata, tensors of 0 to 4 dimensions, an I8C pair; ends with its last datum.
std::string everything() {
    RawGguf raw;
    raw.header(5, 15);
    raw.key("u8", kU8).put<uint8_t>(1);
    raw.key("i8", kI8).put<int8_t>(-1);
    raw.key("u16", kU16).put<uint16_t>(2);
    raw.key("i16", kI16).put<int16_t>(-2);
    raw.key("u32", kU32).put<uint32_t>(3);
    raw.key("i32", kI32).put<int32_t>(-3);
    raw.key("f32", kF32).put<float>(0.5f);
    raw.key("bool", kBool).put<uint8_t>(1);
    raw.key("string", kString).string("text");
    raw.key("strings", kArray).put<uint32_t>(kString).put<uint64_t>(2).string("a").string("");
    raw.key("floats", kArray).put<uint32_t>(kF32).put<uint64_t>(2).put<float>(1).put<float>(2);
    raw.key("u64", kU64).put<uint64_t>(4);
    raw.key("i64", kI64).put<int64_t>(-4);
    raw.key("f64", kF64).put<double>(0.25);
    raw.key("general.alignment", kU32).put<uint32_t>(64);
    raw.tensor("scalar", {}, kTypeF32, 0);
    raw.tensor("matrix", {32, 2}, kTypeQ8, 64);
    raw.tensor("four", {3, 1, 2, 2}, kTypeF32, 192);
    raw.tensor("packed", {64, 3}, kTypeI8, 256);
    raw.tensor("packed.scales", {2, 3}, kTypeBf16, 448);
    raw.data(448 + 12, 64);
    return raw.bytes;
}

// The message of the Error; parsing must fail, and with this kind.
std::string refusal(const std::string& bytes) {
    const AlignedBytes aligned{std::string_view(bytes)};
    try {
        parse_gguf(aligned.span(), "x.gguf");
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        EXPECT_EQ(error.object(), "x.gguf");
        return error.what();
    }
    ADD_FAILURE() << "the file was accepted";
    return "";
}

// A file of one key or tensor, the rest as it should be.
std::string with_key(const std::function<void(RawGguf&)>& key, uint64_t keys = 1) {
    RawGguf raw;
    raw.header(0, keys);
    key(raw);
    raw.data(32);
    return raw.bytes;
}
std::string with_tensor(const std::function<void(RawGguf&)>& tensor, uint64_t tensors = 1,
                        size_t data = 256) {
    RawGguf raw;
    raw.header(tensors, 0);
    tensor(raw);
    raw.data(data);
    return raw.bytes;
}
std::string with_tensor(const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset = 0) {
    return with_tensor([&](RawGguf& raw) { raw.tensor("t", shape, type, offset); });
}

// Reads all that an accepted file offers, for the sanitizer to see.
uint64_t walk(const WeightFile& file) {
    uint64_t sum = 0;
    for (const TensorInfo& tensor : file.tensors()) {
        sum += tensor.elements();
        for (const std::byte byte : tensor.data)
            sum += static_cast<uint64_t>(byte);
        for (const std::byte byte : tensor.scales)
            sum += static_cast<uint64_t>(byte);
    }
    return sum + file.metadata().size();
}

TEST(GgufMalformed, TheFileOfTheseTestsIsGood) {
    const AlignedBytes bytes{std::string_view(everything())};
    const auto file = parse_gguf(bytes.span(), "x.gguf");
    EXPECT_EQ(file->metadata().size(), 15u);
    ASSERT_EQ(file->tensors().size(), 4u);
    EXPECT_EQ(file->tensors()[0].shape, std::vector<uint64_t>{1}) << "no dimension is one element";
    EXPECT_EQ(file->tensors()[3].type, DType::i8c);
}

TEST(GgufMalformed, TruncationAtEveryByteIsRefused) {
    const std::string whole = everything();
    for (size_t size = 0; size < whole.size(); ++size) {
        SCOPED_TRACE(size);
        ASSERT_NE(refusal(whole.substr(0, size)), "");
    }
}

TEST(GgufMalformed, FlippedBitsAreRefusedOrHarmless) {
    const std::string whole = everything();
    const size_t header = whole.find("packed.scales") + 60;
    std::mt19937 random(20260101);
    int refused = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string altered = whole;
        for (auto flips = 1 + random() % 3; flips > 0; --flips)
            altered[random() % header] ^= static_cast<char>(1u << random() % 8);
        const AlignedBytes bytes{std::string_view(altered)};
        try {
            walk(*parse_gguf(bytes.span(), "x.gguf"));
        } catch (const Error& error) {
            ASSERT_EQ(error.kind(), ErrorKind::model_unusable);
            ++refused;
        }
    }
    EXPECT_GT(refused, 10000) << "most of a header is lengths, types and counts";
}

TEST(GgufMalformed, EveryFieldOfTheHeaderCanBeHuge) {
    const std::string whole = everything();
    const size_t header = whole.find("packed.scales") + 60;
    for (const uint64_t huge : {~0ull, 1ull << 60, 1ull << 63, 1ull << 32, (1ull << 32) - 1}) {
        for (size_t at = 8; at + 8 <= header; ++at) {
            std::string altered = whole;
            std::memcpy(&altered[at], &huge, sizeof huge);
            const AlignedBytes bytes{std::string_view(altered)};
            try {
                walk(*parse_gguf(bytes.span(), "x.gguf"));
            } catch (const Error& error) {
                ASSERT_EQ(error.kind(), ErrorKind::model_unusable);
            }
        }
    }
}

TEST(GgufMalformed, VersionsThatAreNotKnown) {
    const auto version = [](uint32_t number) { return RawGguf().header(0, 0, number).bytes; };
    EXPECT_THAT(refusal(version(1)), HasSubstr("is GGUF version 1, convert it again"));
    EXPECT_THAT(refusal(version(4)), HasSubstr("is GGUF version 4"));
    EXPECT_THAT(refusal(version(0x03000000)), HasSubstr("is a big-endian GGUF file"));
    EXPECT_THAT(refusal("GGML" + version(3)), HasSubstr("no GGUF file"));
}

TEST(GgufMalformed, CountsBeyondTheFile) {
    EXPECT_THAT(refusal(RawGguf().header(1ull << 60, 0).bytes),
                HasSubstr("the tensor count is 1152921504606846976"));
    EXPECT_THAT(refusal(RawGguf().header(0, 1ull << 60).bytes),
                HasSubstr("the key count is 1152921504606846976"));
    EXPECT_THAT(refusal(RawGguf().header(~0ull, 0).bytes), HasSubstr("the tensor count"));
    EXPECT_THAT(refusal(RawGguf().header(1, 0).bytes), HasSubstr("the tensor count is 1"));
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) {
                    raw.key("a", kArray).put<uint32_t>(kString).put<uint64_t>(1ull << 60);
                })),
                HasSubstr("the length of an array is 1152921504606846976"));
}

TEST(GgufMalformed, ArraysTogetherAreCapped) {
    RawGguf raw;
    raw.header(0, 2);
    for (const char* name : {"a", "b"}) {
        raw.key(name, kArray).put<uint32_t>(kU8).put<uint64_t>(gguf::kMaxArrayElements / 2 + 1);
        raw.bytes.append(gguf::kMaxArrayElements / 2 + 1, '\0');
    }
    EXPECT_THAT(refusal(raw.bytes), HasSubstr("the length of an array is 2097153"));
}

TEST(GgufMalformed, StringsBeyondTheFileOrTheCap) {
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) { raw.put<uint64_t>(~0ull); })),
                HasSubstr("name of a key"));
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) { raw.string(std::string(65536, 'k')); })),
                HasSubstr("has 65536 bytes, more than 65535"));
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) { raw.key("k", kString).put<uint64_t>(1000); })),
                HasSubstr("while reading the value of a key"));
    EXPECT_THAT(refusal(with_tensor(
                    [](RawGguf& raw) { raw.tensor(std::string(64, 'n'), {1}, kTypeF32, 0); })),
                HasSubstr("has 64 bytes, more than 63"));
}

TEST(GgufMalformed, NamesThatAreEmptyDoubleOrHideANul) {
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) { raw.key("", kU8).put<uint8_t>(0); })),
                HasSubstr("key 0 has the name \"\""));
    const std::string nul("a\0b", 3);
    EXPECT_THAT(refusal(with_key([&](RawGguf& raw) { raw.key(nul, kU8).put<uint8_t>(0); })),
                HasSubstr("key 0 has the name"));
    EXPECT_THAT(refusal(with_key(
                    [](RawGguf& raw) {
                        raw.key("twice", kU8).put<uint8_t>(0).key("twice", kI8).put<int8_t>(0);
                    },
                    2)),
                HasSubstr("key twice occurs twice"));
    EXPECT_THAT(refusal(with_tensor([](RawGguf& raw) { raw.tensor("", {1}, kTypeF32, 0); })),
                HasSubstr("empty name"));
    EXPECT_THAT(
        refusal(with_tensor(
            [](RawGguf& raw) { raw.tensor("w", {1}, kTypeF32, 0).tensor("w", {1}, kTypeF32, 32); },
            2)),
        HasSubstr("tensor w occurs twice"));
}

TEST(GgufMalformed, ValuesOfNoType) {
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) { raw.key("k", 13).put<uint64_t>(0); })),
                HasSubstr("key k has a value of type 13"));
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) { raw.key("k", kBool).put<uint8_t>(2); })),
                HasSubstr("key k is a bool of value 2"));
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) {
                    raw.key("k", kArray).put<uint32_t>(kArray).put<uint64_t>(1).put<uint32_t>(kU8);
                    raw.put<uint64_t>(0);
                })),
                HasSubstr("key k has a value of type 9"));
    EXPECT_THAT(refusal(with_key([](RawGguf& raw) {
                    raw.key("k", kArray).put<uint32_t>(99).put<uint64_t>(1).put<uint64_t>(0);
                })),
                HasSubstr("key k has a value of type 99"));
}

TEST(GgufMalformed, AlignmentMustBeAPowerOfTwo) {
    const auto alignment = [](uint32_t value) {
        return with_key(
            [&](RawGguf& raw) { raw.key("general.alignment", kU32).put<uint32_t>(value); });
    };
    for (const uint32_t value : {0u, 1u, 4u, 33u, 48u, 0xffffffffu})
        EXPECT_THAT(refusal(alignment(value)),
                    HasSubstr("general.alignment is " + std::to_string(value) + ", expected"));
    EXPECT_THAT(
        refusal(with_key([](RawGguf& raw) { raw.key("general.alignment", kString).string("32"); })),
        HasSubstr("general.alignment is no u32"));
}

TEST(GgufMalformed, HugeAlignmentLeavesNoData) {
    RawGguf raw;
    raw.header(1, 1);
    raw.key("general.alignment", kU32).put<uint32_t>(1u << 31);
    raw.tensor("t", {1}, kTypeF32, 0).data(256);
    EXPECT_THAT(refusal(raw.bytes), HasSubstr("ends at "));
}

TEST(GgufMalformed, ShapesThatCannotBe) {
    EXPECT_THAT(refusal(with_tensor({1, 1, 1, 1, 1}, kTypeF32)), HasSubstr("has 5 dimensions"));
    EXPECT_THAT(refusal(with_tensor({4, 0}, kTypeF32)), HasSubstr("impossible shape [4, 0]"));
    EXPECT_THAT(refusal(with_tensor({1ull << 32, 1ull << 32}, kTypeF32)), HasSubstr("impossible"));
    EXPECT_THAT(refusal(with_tensor({1ull << 62}, kTypeF32)), HasSubstr("impossible"))
        << "elements fit, bytes do not";
    EXPECT_THAT(refusal(with_tensor({~0ull}, kTypeF32)), HasSubstr("impossible"));
    EXPECT_THAT(refusal(with_tensor({1ull << 63, 2}, kTypeF32)), HasSubstr("impossible"));
    EXPECT_THAT(refusal(with_tensor({33}, kTypeQ8)), HasSubstr("rows of 33 elements"));
}

TEST(GgufMalformed, TypesAreRefusedByNumber) {
    for (const uint32_t number : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u})
        EXPECT_THAT(refusal(with_tensor({1}, number)),
                    HasSubstr("has type " + std::to_string(number) + ", which was removed"));
    for (const uint32_t number : {40u, 41u, 97u, 133u, 202u, 0x10000u, 0xffffffffu})
        EXPECT_THAT(refusal(with_tensor({1}, number)),
                    HasSubstr("has the unknown type " + std::to_string(number)));
}

TEST(GgufMalformed, DataOutsideTheFile) {
    EXPECT_THAT(refusal(with_tensor({65}, kTypeF32)),
                HasSubstr("ends at 320 B, header says 324 B, incomplete download, nothing was "
                          "loaded"));
    EXPECT_THAT(refusal(with_tensor({1}, kTypeF32, 256)), HasSubstr("header says 324 B"));
    EXPECT_THAT(refusal(with_tensor({1}, kTypeF32, ~0ull - 31)), HasSubstr("ends at 320 B"));
    EXPECT_THAT(refusal(with_tensor({1}, kTypeF32, 1ull << 63)), HasSubstr("ends at 320 B"));
    EXPECT_THAT(refusal(with_tensor({1}, kTypeF32, 16)), HasSubstr("not aligned to 32"));
}

TEST(GgufMalformed, TensorsThatOverlap) {
    EXPECT_THAT(
        refusal(with_tensor(
            [](RawGguf& raw) { raw.tensor("b", {8}, kTypeF32, 32).tensor("a", {9}, kTypeF32, 0); },
            2)),
        HasSubstr("tensor b overlaps tensor a"));
}

TEST(GgufMalformed, ScalesThatDoNotFitTheirTensor) {
    const auto pair = [](const std::vector<uint64_t>& shape, const std::vector<uint64_t>& scales,
                         uint32_t type) {
        return with_tensor(
            [&](RawGguf& raw) {
                raw.tensor("w", shape, kTypeI8, 0).tensor("w.scales", scales, type, 192);
            },
            2);
    };
    EXPECT_THAT(refusal(pair({64, 2}, {2, 3}, kTypeBf16)), HasSubstr("no scales for [64, 2]"));
    EXPECT_THAT(refusal(pair({64, 2}, {3, 2}, kTypeBf16)), HasSubstr("no scales for"));
    EXPECT_THAT(refusal(pair({64, 2}, {4, 2}, kTypeBf16)), HasSubstr("a multiple of 32 columns"));
    EXPECT_THAT(refusal(pair({64, 2}, {2, 2}, kTypeF32)), HasSubstr("has type f32"));
    EXPECT_THAT(refusal(pair({64, 2}, {2, 2, 2}, kTypeBf16)), HasSubstr("no scales for"));
}

TEST(GgufMalformed, I8WithoutScalesAndScalesWithoutI8AreTensorsOfTheirOwn) {
    const std::string bytes = with_tensor(
        [&](RawGguf& raw) {
            raw.tensor("a", {32}, kTypeI8, 0);
            raw.tensor("b.scales", {2}, kTypeBf16, 32);
            raw.tensor("b", {2}, kTypeF32, 64);
        },
        3);
    const AlignedBytes aligned{std::string_view(bytes)};
    const auto file = parse_gguf(aligned.span(), "x.gguf");
    ASSERT_EQ(file->tensors().size(), 3u);
    EXPECT_EQ(file->find_tensor("a")->type, DType::i8);
    EXPECT_EQ(file->find_tensor("b.scales")->type, DType::bf16);
}

TEST(GgufMalformed, NamesInMessagesCannotDriveTheTerminal) {
    const std::string message = refusal(with_tensor([](RawGguf& raw) {
        raw.tensor("\x1b[2J\x07", {1, 0}, kTypeF32, 0);
    }));
    EXPECT_EQ(message.find('\x1b'), std::string::npos);
    EXPECT_EQ(message.find('\x07'), std::string::npos);
    EXPECT_THAT(message, HasSubstr("\u241b[2J"));
}

}  // namespace
}  // namespace core
