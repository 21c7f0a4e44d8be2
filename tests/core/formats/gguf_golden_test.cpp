// The smallest complete GGUF file, byte by byte, assembled by hand from the format's description.
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/gguf.h"
#include "core/formats/gguf_writer.h"
#include "tests/core/formats/gguf_bytes.h"

namespace core {
namespace {

// v3; general.architecture = "llama", general.alignment = u32 32; F32 tensor "t" [3, 2] = 1..6.
constexpr std::string_view kGolden =
    "4747554603000000010000000000000002000000000000001400000000000000"
    "67656e6572616c2e617263686974656374757265080000000500000000000000"
    "6c6c616d61110000000000000067656e6572616c2e616c69676e6d656e740400"
    "0000200000000100000000000000740200000003000000000000000200000000"
    "0000000000000000000000000000000000000000000000000000000000000000"
    "0000803f0000004000004040000080400000a0400000c040";

TEST(GgufGolden, HandAssembledFileIsRead) {
    const AlignedBytes bytes = from_hex(kGolden);
    ASSERT_EQ(bytes.size(), 184u);
    const auto file = parse_gguf(bytes.span(), "golden.gguf");
    EXPECT_EQ(file->format(), "GGUF v3");
    EXPECT_EQ(file->file_bytes(), 184u);
    EXPECT_EQ(file->meta_string("general.architecture"), "llama");
    EXPECT_EQ(file->meta_uint("general.alignment"), 32u);
    ASSERT_EQ(file->tensors().size(), 1u);
    const TensorInfo& tensor = file->tensors()[0];
    EXPECT_EQ(tensor.name, "t");
    EXPECT_EQ(tensor.type, DType::f32);
    EXPECT_EQ(tensor.shape, (std::vector<uint64_t>{3, 2}));
    std::array<float, 6> values{};
    ASSERT_EQ(tensor.data.size(), sizeof values);
    std::memcpy(values.data(), tensor.data.data(), sizeof values);
    EXPECT_EQ(values, (std::array<float, 6>{1, 2, 3, 4, 5, 6}));
}

TEST(GgufGolden, WriterMakesTheSameBytesAndThePaddingAfterTheLastTensor) {
    const TemporaryFile target("golden.gguf");
    GgufWriter writer(target.path());
    writer.add_string("general.architecture", "llama");
    writer.add<uint32_t>("general.alignment", 32);
    writer.declare("t", DType::f32, {3, 2});
    writer.append_floats(std::array<float, 6>{1, 2, 3, 4, 5, 6});
    writer.finish();
    const AlignedBytes golden = from_hex(kGolden);
    const std::vector<std::byte> written = read_file(target.path());
    ASSERT_EQ(written.size(), 192u);
    EXPECT_EQ(std::memcmp(written.data(), golden.span().data(), golden.size()), 0);
    for (size_t i = golden.size(); i < written.size(); ++i)
        EXPECT_EQ(written[i], std::byte{0});
}

TEST(GgufGolden, VersionTwoHasTheSameLayout) {
    AlignedBytes bytes = from_hex(kGolden);
    bytes.span()[4] = std::byte{2};
    EXPECT_EQ(parse_gguf(bytes.span(), "v2.gguf")->format(), "GGUF v2");
}

}  // namespace
}  // namespace core
