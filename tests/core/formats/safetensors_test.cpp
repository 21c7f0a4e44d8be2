// safetensors files and folders: what is read, and that everything else ends in a sentence.
#include "core/formats/safetensors.h"

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/json_metadata.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/support/safetensors_file.h"

namespace core {
namespace {

using support::safetensors_bytes;
using support::TensorToSave;
using support::write_text;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kEntry = R"({"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})";

std::string zeros(size_t count) {
    return std::string(count, '\0');
}

// The message of the Error; the action must fail, and with a kind about the model.
std::string refusal_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_TRUE(error.kind() == ErrorKind::model_unusable ||
                    error.kind() == ErrorKind::model_not_found);
        return error.what();
    }
    ADD_FAILURE() << "was accepted";
    return {};
}

std::string refusal(const std::string& text) {
    const AlignedBytes bytes{std::string_view(text)};
    return refusal_of([&] { parse_safetensors(bytes.span(), "x.safetensors"); });
}

// The golden file with a header that says this of its one tensor.
std::string refusal_of_entry(const std::string& entry, size_t data = 16) {
    return refusal(safetensors_bytes(R"({"test":)" + entry + "}", zeros(data)));
}

TensorToSave small_tensor(const std::string& name, char value = 1) {
    return {name, "I8", {2, 3}, std::vector<std::byte>(6, static_cast<std::byte>(value))};
}

class Folder : public testing::Test {
  protected:
    Folder() : path("./safetensors-" + std::to_string(::getpid())) {
        std::filesystem::remove_all(path);
        std::filesystem::create_directory(path);
    }
    ~Folder() override { std::filesystem::remove_all(path); }

    void save(const std::string& name, const std::string& text) const {
        write_text(path + "/" + name, text);
    }
    void save(const std::string& name, const std::vector<TensorToSave>& tensors) const {
        save(name, safetensors_bytes(tensors));
    }
    std::string refusal() const {
        return refusal_of([&] { open_weight_file(path); });
    }

    std::string path;
};

TEST(Safetensors, EmptyFileOfTheReferenceIsRead) {
    const AlignedBytes bytes(std::string_view("\x08\0\0\0\0\0\0\0{}      ", 16));
    const auto file = parse_safetensors(bytes.span(), "empty");
    EXPECT_TRUE(file->tensors().empty());
    EXPECT_EQ(file->format(), "safetensors");
}

TEST(Safetensors, HeaderWithoutPaddingIsRead) {
    const std::string text = safetensors_bytes(kEntry, zeros(16));
    ASSERT_EQ(text.size(), 84u);
    const AlignedBytes bytes{std::string_view(text)};
    const auto file = parse_safetensors(bytes.span(), "golden");
    ASSERT_EQ(file->tensors().size(), 1u);
    EXPECT_EQ(file->tensors()[0].name, "test");
    EXPECT_EQ(file->tensors()[0].type, DType::i32);
    EXPECT_EQ(file->tensors()[0].data.data(), bytes.span().data() + 68);
}

TEST(Safetensors, ShapesAreTurnedRound) {
    const std::string text = safetensors_bytes({small_tensor("w")});
    const AlignedBytes bytes{std::string_view(text)};
    const auto file = parse_safetensors(bytes.span(), "x");
    const TensorInfo* tensor = file->find_tensor("w");
    ASSERT_NE(tensor, nullptr);
    EXPECT_THAT(tensor->shape, ElementsAre(3u, 2u));
    EXPECT_EQ(file->meta_string("__metadata__.format"), "pt");
}

TEST(Safetensors, EveryTypeOfACheckpointIsKnown) {
    const std::vector<std::pair<std::string, DType>> types = {
        {"F32", DType::f32}, {"F16", DType::f16},         {"BF16", DType::bf16},
        {"I8", DType::i8},   {"F8_E4M3", DType::f8_e4m3}, {"BOOL", DType::i8}};
    for (const auto& [name, type] : types) {
        const std::string text =
            safetensors_bytes({{"w", name, {2}, std::vector<std::byte>(2 * traits(type).bytes)}});
        const AlignedBytes bytes{std::string_view(text)};
        EXPECT_EQ(parse_safetensors(bytes.span(), "x")->tensors()[0].type, type) << name;
    }
}

TEST(Safetensors, ScalarsAndEmptyTensorsAreValid) {
    const AlignedBytes bytes(std::string_view(
        safetensors_bytes(R"({"none":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},)"
                          R"("one":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                          zeros(4))));
    const auto file = parse_safetensors(bytes.span(), "x");
    ASSERT_EQ(file->tensors().size(), 1u) << "without elements there is nothing to list";
    EXPECT_THAT(file->tensors()[0].shape, ElementsAre(1u));
}

TEST(Safetensors, TruncationAtEveryByteIsRefused) {
    const std::string whole = safetensors_bytes({small_tensor("a"), small_tensor("b")});
    for (size_t length = 0; length < whole.size(); ++length)
        EXPECT_FALSE(refusal(whole.substr(0, length)).empty()) << length;
}

TEST(Safetensors, AnyChangedByteIsReadOrRefused) {
    const std::string whole = safetensors_bytes({small_tensor("a"), small_tensor("b")});
    for (size_t at = 0; at < whole.size(); ++at) {
        for (int change = 1; change < 256; change += change < 8 ? 1 : 31) {
            std::string changed = whole;
            changed[at] = static_cast<char>(changed[at] ^ change);
            const AlignedBytes bytes{std::string_view(changed)};
            try {
                const auto file = parse_safetensors(bytes.span(), "x");
                for (const TensorInfo& tensor : file->tensors())
                    ASSERT_LE(tensor.data.data() + tensor.data.size(),
                              bytes.span().data() + bytes.size());
            } catch (const Error& error) {
                ASSERT_EQ(error.kind(), ErrorKind::model_unusable);
            }
        }
    }
}

TEST(Safetensors, SizesOfTheReferencesListAreRefused) {
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2,2],"data_offsets":[0,15]})", 15),
                HasSubstr("has 15 bytes, its shape needs 16"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2,2],"data_offsets":[4,20]})", 20),
                HasSubstr("expected to begin at 0"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2,2],"data_offsets":[0,16]})", 17),
                HasSubstr("1 bytes behind its last tensor"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2,2],"data_offsets":[0,32]})"),
                HasSubstr("download is incomplete"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2,2],"data_offsets":[16,0]})"),
                HasSubstr("expected to begin at 0"));
    EXPECT_THAT(refusal_of_entry(
                    R"({"dtype":"I32","shape":[8589934592,8589934592],"data_offsets":[0,16]})"),
                HasSubstr("more than 2^63"));
    EXPECT_THAT(
        refusal(safetensors_bytes(R"({"a":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]},)"
                                  R"("b":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})",
                                  zeros(16))),
        HasSubstr("lies at bytes 0 to 16"));
}

TEST(Safetensors, HeadersOfImpossibleLengthAreRefused) {
    std::string text = safetensors_bytes(kEntry, zeros(16));
    const auto with_length = [&](uint64_t length) {
        std::string changed = text;
        std::memcpy(changed.data(), &length, sizeof length);
        return changed;
    };
    EXPECT_THAT(refusal(with_length(uint64_t{1} << 63)), HasSubstr("9223372036854775808 bytes"));
    EXPECT_THAT(refusal(with_length(100'000'001)), HasSubstr("at most 100000000"));
    EXPECT_THAT(refusal(with_length(77)), HasSubstr("header"));
    EXPECT_THAT(refusal(with_length(0)), HasSubstr("brace"));
    EXPECT_THAT(refusal("\x01"), HasSubstr("length of the header"));
}

TEST(Safetensors, HeadersOfOtherFormsAreRefused) {
    EXPECT_THAT(refusal(safetensors_bytes("[]", "")), HasSubstr("brace"));
    EXPECT_THAT(refusal(safetensors_bytes("{\"a\":1}", "")), HasSubstr("no object of tensors"));
    EXPECT_THAT(refusal(safetensors_bytes("{\"a\":[1]}", "")), HasSubstr("no object of tensors"));
    EXPECT_THAT(refusal(safetensors_bytes("{\"a\":{}}", "")), HasSubstr("lacks its dtype"));
    EXPECT_THAT(refusal(safetensors_bytes("{\"a\":\"\xff\"}", "")), HasSubstr("no JSON"));
    EXPECT_THAT(refusal(safetensors_bytes("{}{}", "")), HasSubstr("no JSON"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I3","shape":[2,2],"data_offsets":[0,16]})"),
                HasSubstr("type I3"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2,-2],"data_offsets":[0,16]})"),
                HasSubstr("shape of the wrong kind"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[2.0,2],"data_offsets":[0,16]})"),
                HasSubstr("shape of the wrong kind"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[[2],2],"data_offsets":[0,16]})"),
                HasSubstr("wrong kind"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[1,1,1,2,2],"data_offsets":[0,16]})"),
                HasSubstr("more than 4 dimensions"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","shape":[4],"data_offsets":[0,16,16]})"),
                HasSubstr("more than 2 offsets"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","dtype":"I32","shape":[4]})"),
                HasSubstr("a field twice"));
    EXPECT_THAT(refusal_of_entry(R"({"dtype":"I32","offsets":[0,16]})"),
                HasSubstr("unknown field offsets"));
    EXPECT_THAT(refusal(safetensors_bytes(R"({"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},)"
                                          R"("a":{"dtype":"I8","shape":[1],"data_offsets":[1,2]}})",
                                          zeros(2))),
                HasSubstr("tensor a occurs twice"));
    EXPECT_THAT(refusal(safetensors_bytes(R"({"__metadata__":{"format":1}})", "")),
                HasSubstr("__metadata__"));
}

TEST(Safetensors, MetadataThatCostMoreThanTheirFileAreRefused) {
    std::string header = R"({"__metadata__":{"a":"")";
    for (int i = 0; i < 1 << 16; ++i)
        header += ",\"" + std::to_string(i) + "\":\"\"";
    EXPECT_THAT(refusal(safetensors_bytes(header + "}}", "")),
                HasSubstr("__metadata__ has more than 65536 values"));
}

TEST(Safetensors, NestingWithoutEndIsRefusedAtOnce) {
    EXPECT_THAT(refusal(safetensors_bytes(R"({"a":)" + std::string(4'000'000, '['), "")),
                HasSubstr("no object of tensors"));
    std::string objects;
    for (int i = 0; i < 100'000; ++i)
        objects += R"({"a":)";
    EXPECT_THAT(refusal(safetensors_bytes(objects, "")), HasSubstr("unknown field a"));
}

TEST(JsonMetadata, IsFlat) {
    const std::string text =
        R"({"a": 1, "b": {"c": -2.5, "d": {"e": "x"}}, "n": null, "l": [1, [2], {"z": 3}, 4]})";
    const Metadata metadata = read_json_metadata(std::as_bytes(std::span(text)), "config.json");
    std::vector<std::string> keys;
    for (const auto& [key, value] : metadata)
        keys.push_back(key);
    EXPECT_THAT(keys, ElementsAre("a", "b.c", "b.d.e", "l"));
    EXPECT_EQ(std::get<uint64_t>(metadata[0].second.value), 1u);
    EXPECT_EQ(std::get<double>(metadata[1].second.value), -2.5);
    EXPECT_EQ(std::get<std::shared_ptr<const MetaArray>>(metadata[3].second.value)->size(), 2u);
}

// Each value is known by the names of all objects around it.
TEST(JsonMetadata, ALongNameIsNotRepeatedWithoutEnd) {
    std::string text = "{\"" + std::string(1 << 20, 'n') + "\":{\"0\":0";
    for (int i = 1; i < 100; ++i)
        text += ",\"" + std::to_string(i) + "\":0";
    text += "}}";
    EXPECT_THAT(
        refusal_of([&] { read_json_metadata(std::as_bytes(std::span(text)), "config.json"); }),
        HasSubstr("config.json: has names of more than 67108864 bytes"));
}

TEST(JsonMetadata, HostileFilesAreRefused) {
    const auto message = [](const std::string& text) {
        return refusal_of(
            [&] { read_json_metadata(std::as_bytes(std::span(text)), "config.json"); });
    };
    EXPECT_THAT(message("[]"), HasSubstr("no JSON object"));
    EXPECT_THAT(message("1"), HasSubstr("no JSON object"));
    EXPECT_THAT(message(""), HasSubstr("no JSON at byte"));
    EXPECT_THAT(message(R"({"a":1,"a":2})"), HasSubstr("names a twice"));
    EXPECT_THAT(message(R"({"a":)" + std::string(1'000'000, '[')), HasSubstr("deeper than 16"));
    std::string many = R"({"a":[0)";
    for (uint64_t i = 0; i < kMaxJsonValues; ++i)
        many += ",0";
    EXPECT_THAT(message(many + "]}"), HasSubstr("more than 1048576 values"));
}

TEST_F(Folder, OneFileIsOpenedWithItsConfig) {
    save("model.safetensors", {small_tensor("w")});
    save("other.safetensors", {small_tensor("w")});
    save("config.json", R"({"architectures": ["X"], "hidden_size": 3})");
    for (const std::string& name : {path, path + "/model.safetensors"}) {
        const auto file = open_weight_file(name);
        EXPECT_EQ(file->tensors().size(), 1u);
        EXPECT_EQ(file->meta_uint("hidden_size"), 3u);
        EXPECT_EQ(file->path(), name);
    }
}

TEST_F(Folder, Grok2SettingsAreFoundUnderTheirOtherName) {
    save("model.safetensors", {small_tensor("w")});
    save("config_grok2_like.json", R"({"hidden_size": 4})");
    EXPECT_EQ(open_weight_file(path)->meta_uint("hidden_size"), 4u);
    save("config.json", R"({"hidden_size": 5})");
    EXPECT_EQ(open_weight_file(path)->meta_uint("hidden_size"), 5u);
}

TEST_F(Folder, ShardsAreJoinedByTheIndex) {
    save("model-00001-of-00002.safetensors", {small_tensor("a", 1)});
    save("model-00002-of-00002.safetensors", {small_tensor("b", 2)});
    save("old.safetensors", {small_tensor("a", 3)});
    save("model.safetensors.index.json",
         R"({"metadata": {"total_size": 12}, "weight_map": {
             "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
    const auto file = open_weight_file(path);
    ASSERT_EQ(file->tensors().size(), 2u);
    EXPECT_EQ(file->find_tensor("a")->data[0], std::byte{1});
    EXPECT_EQ(file->find_tensor("b")->data[0], std::byte{2});
    EXPECT_FALSE(file->damaged());
}

TEST_F(Folder, ShardsWithoutIndexAreScanned) {
    save("model-00001-of-00002.safetensors", {small_tensor("a")});
    save("model-00002-of-00002.safetensors", {small_tensor("b")});
    EXPECT_EQ(open_weight_file(path)->tensors().size(), 2u);
    save("model-00003-of-00002.safetensors", {small_tensor("b")});
    EXPECT_THAT(refusal(), HasSubstr("tensor b is in another file too"));
}

TEST_F(Folder, IndexesThatLieAreRefused) {
    const auto index = [&](const std::string& map) {
        save("model.safetensors.index.json", R"({"weight_map": {)" + map + "}}");
        return refusal();
    };
    save("a.safetensors", {small_tensor("a")});
    EXPECT_THAT(index(R"("a": "b.safetensors")"), HasSubstr("is missing, the index names it"));
    EXPECT_THAT(index(R"("a": "a.safetensors", "b": "a.safetensors")"),
                HasSubstr("tensor b is in the index but in no file"));
    for (const char* file : {"../a.safetensors", "/etc/passwd", "..", "x\\\\a.safetensors", ""})
        EXPECT_THAT(index(R"("a": ")" + std::string(file) + "\""),
                    HasSubstr("no file of this folder"));
    EXPECT_THAT(index(R"("a": 1)"), HasSubstr("no file of this folder"));
    EXPECT_THAT(index(""), HasSubstr("names no tensors"));
}

TEST_F(Folder, TensorParallelFilesKeepEveryRank) {
    for (int rank = 0; rank < 8; ++rank)
        save("pytorch_model-00006-TP-00" + std::to_string(rank) + ".safetensors",
             {small_tensor("w", static_cast<char>(rank))});
    save("pytorch_model-00000-TP-common.safetensors", {small_tensor("embed")});
    // An index cannot express them; the one that is there names other files.
    save("model.safetensors.index.json", R"({"weight_map": {"w": "none.safetensors"}})");
    const auto file = open_weight_file(path);
    EXPECT_EQ(file->tensors().size(), 9u);
    ASSERT_NE(file->find_tensor("w@TP7"), nullptr);
    EXPECT_EQ(file->find_tensor("w@TP7")->data[0], std::byte{7});
    EXPECT_NE(file->find_tensor("embed"), nullptr);
}

TEST_F(Folder, WithoutAModelIsNotFound) {
    EXPECT_THAT(refusal(), HasSubstr("holds no model"));
}

TEST_F(Folder, DamagedFilesAreNamed) {
    save("a.safetensors", "abc");
    EXPECT_THAT(refusal(), HasSubstr("a.safetensors: ends at byte"));
}

}  // namespace
}  // namespace core
