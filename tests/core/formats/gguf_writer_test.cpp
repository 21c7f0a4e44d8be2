// What the writer writes is what the reader reads, for every type of value and tensor.
#include "core/formats/gguf_writer.h"

#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/formats/gguf.h"
#include "core/tensor/quantize.h"
#include "tests/core/formats/gguf_bytes.h"

namespace core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<float> random_floats(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values)
        value = normal(random);
    return values;
}

TEST(GgufWriter, EveryKindOfMetadataComesBack) {
    const TemporaryFile target("metadata.gguf");
    {
        GgufWriter writer(target.path());
        writer.add<uint8_t>("u8", 255);
        writer.add<int8_t>("i8", -128);
        writer.add<uint16_t>("u16", 65535);
        writer.add<int16_t>("i16", -32768);
        writer.add<uint32_t>("u32", 4294967295u);
        writer.add<int32_t>("i32", std::numeric_limits<int32_t>::min());
        writer.add<uint64_t>("u64", std::numeric_limits<uint64_t>::max());
        writer.add<int64_t>("i64", std::numeric_limits<int64_t>::min());
        writer.add<float>("f32", 0.1f);
        writer.add<double>("f64", 0.1);
        writer.add<bool>("yes", true);
        writer.add<bool>("no", false);
        writer.add_string("text", "a\nb \xE2\x82\xAC");
        writer.add_string("empty", "");
        writer.add_strings("words", std::vector<std::string>{"one", "", "three"});
        writer.add_array<float>("floats", std::vector<float>{1.5f, -2.0f});
        writer.add_array<int32_t>("ints", std::vector<int32_t>{1, -6});
        writer.add_array<uint8_t>("none", std::vector<uint8_t>{});
        writer.finish();
    }
    const auto file = open_weight_file(target.path());
    EXPECT_EQ(file->metadata().size(), 18u);
    EXPECT_EQ(file->meta_uint("u8"), 255u);
    EXPECT_EQ(file->meta_ints("ints"), (std::vector<int64_t>{1, -6}));
    EXPECT_EQ(std::get<int64_t>(file->find_meta("i8")->value), -128);
    EXPECT_EQ(file->meta_uint("u16"), 65535u);
    EXPECT_EQ(std::get<int64_t>(file->find_meta("i16")->value), -32768);
    EXPECT_EQ(file->meta_uint("u32"), 4294967295u);
    EXPECT_EQ(std::get<int64_t>(file->find_meta("i32")->value),
              std::numeric_limits<int32_t>::min());
    EXPECT_EQ(file->meta_uint("u64"), std::numeric_limits<uint64_t>::max());
    EXPECT_EQ(std::get<int64_t>(file->find_meta("i64")->value),
              std::numeric_limits<int64_t>::min());
    EXPECT_EQ(file->meta_float("f32"), double{0.1f});
    EXPECT_EQ(file->meta_float("f64"), 0.1);
    EXPECT_EQ(file->meta_bool("yes"), true);
    EXPECT_EQ(file->meta_bool("no"), false);
    EXPECT_EQ(file->meta_string("text"), "a\nb \xE2\x82\xAC");
    EXPECT_EQ(file->meta_string("empty"), "");
    EXPECT_THAT(*file->meta_strings("words"), ElementsAre("one", "", "three"));
    EXPECT_THAT(*file->meta_floats("floats"), ElementsAre(1.5f, -2.0f));
    EXPECT_TRUE(file->meta_ints("none")->empty());
    EXPECT_TRUE(file->tensors().empty());
}

TEST(GgufWriter, EveryRowTypeComesBackAsItsQuantizer) {
    constexpr DType kTypes[] = {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0};
    const TemporaryFile target("types.gguf");
    const std::vector<float> values = random_floats(64 * 3 * 2, 7);
    {
        GgufWriter writer(target.path());
        for (const DType type : kTypes)
            writer.declare(std::string(traits(type).name), type, {64, 3, 2});
        for (size_t i = 0; i < std::size(kTypes); ++i) {
            EXPECT_EQ(writer.current(), traits(kTypes[i]).name);
            writer.append_floats(std::span(values).first(64));  // streams in uneven pieces
            writer.append_floats(std::span(values).subspan(64));
        }
        EXPECT_EQ(writer.current(), "");
        writer.finish();
    }
    const auto file = open_weight_file(target.path());
    for (const DType type : kTypes) {
        const TensorInfo* tensor = file->find_tensor(traits(type).name);
        ASSERT_NE(tensor, nullptr);
        EXPECT_EQ(tensor->type, type);
        EXPECT_THAT(tensor->shape, ElementsAre(64, 3, 2));
        EXPECT_EQ(tensor->elements(), values.size());
        EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor->data.data()) % 32, 0u);
        std::vector<std::byte> expected(row_bytes(type, values.size()));
        quantize_row(type, values, expected);
        ASSERT_EQ(tensor->data.size(), expected.size());
        EXPECT_EQ(std::memcmp(tensor->data.data(), expected.data(), expected.size()), 0)
            << traits(type).name;
    }
}

TEST(GgufWriter, I8cIsTwoTensorsInTheFileAndOneInTheTable) {
    const TemporaryFile target("i8c.gguf");
    constexpr size_t kCols = 128, kRows = 3, kExperts = 2, kGroups = 4;
    const std::vector<float> values = random_floats(kCols * kRows * kExperts, 8);
    {
        GgufWriter writer(target.path());
        writer.declare("w", DType::i8c, {kCols, kRows, kExperts}, kGroups);
        writer.declare("after", DType::f32, {1});
        writer.append_floats(values);
        EXPECT_EQ(writer.current(), "after");
        writer.append_floats(std::vector<float>{42.0f});
        writer.finish();
    }
    const auto file = open_weight_file(target.path());
    ASSERT_EQ(file->tensors().size(), 2u);
    EXPECT_EQ(file->find_tensor("w.scales"), nullptr);
    const TensorInfo* tensor = file->find_tensor("w");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->type, DType::i8c);
    EXPECT_EQ(tensor->scale_groups, kGroups);
    EXPECT_THAT(tensor->shape, ElementsAre(kCols, kRows, kExperts));
    ASSERT_EQ(tensor->data.size(), values.size());
    ASSERT_EQ(tensor->scales.size(), kGroups * kRows * kExperts * 2);
    for (size_t row = 0; row < kRows * kExperts; ++row) {
        std::vector<int8_t> quants(kCols);
        std::vector<uint16_t> scales(kGroups);
        quantize_i8c(std::span(values).subspan(row * kCols, kCols), quants, scales);
        EXPECT_EQ(std::memcmp(&tensor->data[row * kCols], quants.data(), kCols), 0);
        EXPECT_EQ(std::memcmp(&tensor->scales[row * kGroups * 2], scales.data(), kGroups * 2), 0);
    }
}

TEST(GgufWriter, RawBytesOfAnI8cTensorAreValuesThenScales) {
    const TemporaryFile target("i8c-raw.gguf");
    const std::vector<int8_t> quants(64, -3);
    const std::vector<uint16_t> scales = {f32_to_bf16(0.5f), f32_to_bf16(2.0f)};
    {
        GgufWriter writer(target.path());
        writer.declare("w", DType::i8c, {32, 2}, 1);
        writer.append_bytes(std::as_bytes(std::span(quants)));
        EXPECT_EQ(writer.current(), "w.scales");
        writer.append_bytes(std::as_bytes(std::span(scales)));
        writer.finish();
    }
    const auto file = open_weight_file(target.path());
    const TensorInfo& tensor = file->tensors()[0];
    EXPECT_EQ(tensor.type, DType::i8c);
    EXPECT_EQ(std::memcmp(tensor.data.data(), quants.data(), 64), 0);
    EXPECT_EQ(std::memcmp(tensor.scales.data(), scales.data(), 4), 0);
}

TEST(GgufWriter, LargeTensorsPassThroughTheBuffer) {
    const TemporaryFile target("large.gguf");
    const std::vector<float> values = random_floats(1 << 20, 9);  // 4 MB, buffer 1 MB
    {
        GgufWriter writer(target.path());
        writer.declare("w", DType::f32, {1 << 20});
        writer.append_bytes(std::as_bytes(std::span(values)));
        writer.finish();
    }
    const auto file = open_weight_file(target.path());
    EXPECT_EQ(std::memcmp(file->tensors()[0].data.data(), values.data(), 4 << 20), 0);
}

TEST(GgufWriter, NothingIsLeftWithoutFinish) {
    const TemporaryFile target("unfinished.gguf");
    const auto entries_named_alike = [&] {
        size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator("."))
            count += ("./" + entry.path().filename().string()).starts_with(target.path());
        return count;
    };
    {
        GgufWriter writer(target.path());
        writer.declare("w", DType::f32, {4});
        writer.append_floats(std::vector<float>{1, 2, 3, 4});
        EXPECT_EQ(entries_named_alike(), 1u) << "the partial file";
        EXPECT_FALSE(std::filesystem::exists(target.path()));
    }
    EXPECT_EQ(entries_named_alike(), 0u);
}

TEST(GgufWriter, AnOldFileStaysUntilTheNewOneIsComplete) {
    const TemporaryFile target("replaced.gguf");
    write_file(target.path(), std::as_bytes(std::span("old")));
    GgufWriter writer(target.path());
    writer.add_string("general.name", "new");
    EXPECT_EQ(read_file(target.path()).size(), sizeof "old");
    writer.finish();
    EXPECT_EQ(open_weight_file(target.path())->meta_string("general.name"), "new");
}

TEST(GgufWriter, MisuseIsAnInternalErrorThatNamesTheTensor) {
    const TemporaryFile target("misuse.gguf");
    const auto message = [](auto&& misuse) -> std::string {
        try {
            misuse();
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::internal);
            return error.what();
        }
        return "no error";
    };
    GgufWriter writer(target.path());
    writer.add<uint32_t>("k", 1);
    EXPECT_THAT(message([&] { writer.add<float>("k", 2); }), HasSubstr("k is added twice"));
    writer.declare("a", DType::q8_0, {32, 2});
    EXPECT_THAT(message([&] { writer.declare("a", DType::f32, {1}); }), HasSubstr("a is declared"));
    EXPECT_THAT(message([&] { writer.declare("b", DType::q8_0, {33}); }), HasSubstr("b has"));
    EXPECT_THAT(message([&] {
                    writer.declare("c", DType::i8c, {48, 1}, 2);
                }),
                HasSubstr("c needs"));
    EXPECT_THAT(message([&] {
                    writer.declare("d", DType::f32, {1ull << 62, 4});
                }),
                HasSubstr("d has"));
    EXPECT_THAT(message([&] { writer.declare(std::string(64, 'n'), DType::f32, {1}); }),
                HasSubstr("longer than 63"));
    EXPECT_THAT(message([&] { writer.append_floats(std::vector<float>(31)); }),
                HasSubstr("part of a row"));
    EXPECT_THAT(message([&] { writer.append_floats(std::vector<float>(96)); }),
                HasSubstr("too many rows"));
    EXPECT_THAT(message([&] { writer.append_bytes(std::vector<std::byte>(1)); }),
                HasSubstr("follow the last"));
    EXPECT_THAT(message([&] { writer.declare("e", DType::f32, {1}); }),
                HasSubstr("after the data"));
}

TEST(GgufWriter, MissingDataIsNoticedByFinish) {
    const TemporaryFile target("missing.gguf");
    GgufWriter writer(target.path());
    writer.declare("w", DType::f32, {4, 2});
    writer.append_floats(std::vector<float>(4));
    EXPECT_THROW(writer.finish(), Error);
    EXPECT_FALSE(std::filesystem::exists(target.path()));
}

TEST(GgufWriter, AFolderThatDoesNotExistIsAStorageError) {
    try {
        GgufWriter writer("./no-such-folder/x.gguf");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::storage);
        EXPECT_STREQ(error.what(),
                     "./no-such-folder/x.gguf: cannot be created: No such file or directory");
    }
}

}  // namespace
}  // namespace core
