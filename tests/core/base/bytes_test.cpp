#include "core/base/bytes.h"

#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

TEST(ByteReader, NumbersAreLittleEndian) {
    const std::string bytes("\x01\x02\x03\x04\xff\xff\x00\x00\x80\x3f", 10);
    ByteReader reader(as_bytes(bytes), "x");
    EXPECT_EQ(reader.read<uint32_t>("a"), 0x04030201u);
    EXPECT_EQ(reader.read<int16_t>("b"), -1);
    EXPECT_EQ(reader.read<float>("c"), 1.0f);
    EXPECT_EQ(reader.remaining(), 0u);
    EXPECT_EQ(reader.offset(), 10u);
}

TEST(ByteReader, OverrunNamesObjectPlaceAndWhatWasRead) {
    ByteReader reader(as_bytes("123456"), "models/x.gguf");
    reader.skip(4, "magic");
    try {
        reader.read<uint32_t>("version");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        EXPECT_STREQ(error.what(),
                     "models/x.gguf: ends at byte 6 while reading the version at byte 4, which has "
                     "4 bytes, the file is damaged or incomplete");
    }
    EXPECT_EQ(reader.offset(), 4u) << "a failed read takes nothing";
}

TEST(ByteReader, LengthsNearTheLimitDoNotWrapAround) {
    ByteReader reader(as_bytes("12345678"), "x");
    reader.skip(1, "first");
    constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
    EXPECT_THROW(reader.take(kHuge, "all"), Error);
    EXPECT_THROW(reader.skip(kHuge - 1, "all"), Error);
    EXPECT_THROW(reader.string(kHuge, kHuge, "all"), Error);
    EXPECT_EQ(reader.remaining(), 7u);
}

TEST(ByteReader, StringsAreCapped) {
    ByteReader reader(as_bytes("abcdef"), "x");
    EXPECT_EQ(reader.string(3, 3, "name"), "abc");
    EXPECT_THROW(reader.string(3, 2, "name"), Error);
    EXPECT_EQ(reader.string(0, 0, "nothing"), "");
    EXPECT_EQ(reader.string(3, 10, "rest"), "def");
}

TEST(ByteReader, EmptySourceHasNothing) {
    ByteReader reader({}, "x");
    EXPECT_TRUE(reader.take(0, "nothing").empty());
    EXPECT_THROW(reader.read<uint8_t>("byte"), Error);
}

}  // namespace
}  // namespace core
