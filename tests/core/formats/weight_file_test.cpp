#include "core/formats/weight_file.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/gguf_writer.h"
#include "tests/core/formats/gguf_bytes.h"

namespace core {
namespace {

using testing::HasSubstr;

Error failure(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {ErrorKind::internal, "", "nothing was thrown"};
}

Error open_failure(const std::string& contents) {
    const TemporaryFile file("contents");
    write_file(file.path(), std::as_bytes(std::span(contents)));
    return failure([&] { open_weight_file(file.path()); });
}

// A file with metadata to ask wrong questions about.
class Metadata : public testing::Test {
  protected:
    Metadata() : target_("metadata") {
        GgufWriter writer(target_.path());
        writer.add<uint32_t>("u32", 7);
        writer.add<int8_t>("negative", -7);
        writer.add<int64_t>("positive", 7);
        writer.add<float>("f32", 1.5f);
        writer.add<bool>("bool", true);
        writer.add_string("string", "seven\x1b");
        writer.add_string("long", std::string(100, 'x'));
        writer.add_array<int32_t>("ints", std::vector<int32_t>{1, -2});
        writer.add_strings("strings", std::vector<std::string>{"a"});
        writer.finish();
        file = open_weight_file(target_.path());
    }

    std::unique_ptr<WeightFile> file;

  private:
    TemporaryFile target_;
};

TEST_F(Metadata, AbsentKeysAreNothing) {
    EXPECT_FALSE(file->meta_uint("no"));
    EXPECT_FALSE(file->meta_float("no"));
    EXPECT_FALSE(file->meta_bool("no"));
    EXPECT_FALSE(file->meta_string("no"));
    EXPECT_FALSE(file->meta_strings("no"));
    EXPECT_FALSE(file->meta_floats("no"));
    EXPECT_FALSE(file->meta_ints("no"));
    EXPECT_EQ(file->find_meta("no"), nullptr);
    EXPECT_EQ(file->find_tensor("no"), nullptr);
}

TEST_F(Metadata, IntegersOfAnyWidthAreAcceptedWhereTheyFit) {
    EXPECT_EQ(file->meta_uint("u32"), 7u);
    EXPECT_EQ(file->meta_uint("positive"), 7u);
    EXPECT_EQ(file->meta_float("negative"), -7.0);
    EXPECT_THAT(*file->meta_floats("ints"), testing::ElementsAre(1.0f, -2.0f));
}

TEST_F(Metadata, OtherTypesNameTheKeyAndTheValueSeen) {
    const auto message = [](const std::function<void()>& question) {
        const Error error = failure(question);
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        return error.problem();
    };
    EXPECT_EQ(message([&] { file->meta_uint("negative"); }),
              "negative is -7, expected a whole number");
    EXPECT_EQ(message([&] { file->meta_uint("f32"); }), "f32 is 1.500000, expected a whole number");
    EXPECT_EQ(message([&] { file->meta_bool("u32"); }), "u32 is 7, expected true or false");
    EXPECT_EQ(message([&] { file->meta_string("bool"); }), "bool is true, expected a string");
    EXPECT_EQ(message([&] { file->meta_float("string"); }),
              "string is \"seven\u241b\", expected a number");
    EXPECT_EQ(message([&] { file->meta_float("long"); }),
              "long is \"" + std::string(40, 'x') + "...\", expected a number");
    EXPECT_EQ(message([&] { file->meta_string("ints"); }),
              "ints is an array of 2, expected a string");
    EXPECT_EQ(message([&] { file->meta_strings("ints"); }), "ints[0] is 1, expected strings");
    EXPECT_EQ(message([&] { file->meta_strings("string"); }),
              "string is \"seven\u241b\", expected an array of strings");
}

TEST(WeightFile, MissingFileIsNotFound) {
    const Error error = failure([] { open_weight_file("./no-such-model.gguf"); });
    EXPECT_EQ(error.kind(), ErrorKind::model_not_found);
    EXPECT_STREQ(error.what(), "./no-such-model.gguf: no such file");
}

TEST(WeightFile, ForeignFilesAreUnusable) {
    EXPECT_THAT(open_failure("").what(), HasSubstr("is empty"));
    EXPECT_THAT(open_failure("GGU").what(), HasSubstr("is no model file that moxie knows"));
    const Error error = open_failure("PK\x03\x04 some archive");
    EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
    EXPECT_THAT(error.what(), HasSubstr("is no model file that moxie knows, give it a GGUF file"));
}

TEST(WeightFile, TheNameOfAFileDoesNotMatter) {
    const TemporaryFile target("model.txt");
    GgufWriter(target.path()).finish();
    EXPECT_EQ(open_weight_file(target.path())->format(), "GGUF v3");
}

TEST(WeightFile, FileThatShrinksAfterOpeningIsDamaged) {
    const TemporaryFile target("shrinks.gguf");
    {
        GgufWriter writer(target.path());
        writer.declare("w", DType::f32, {1 << 14});
        writer.append_floats(std::vector<float>(1 << 14, 1.0f));
        writer.finish();
    }
    const auto file = open_weight_file(target.path());
    EXPECT_FALSE(file->damaged());
    ASSERT_EQ(::truncate(target.path().c_str(), 100), 0);
    EXPECT_EQ(file->tensors()[0].data.back(), std::byte{0});
    EXPECT_TRUE(file->damaged());
}

// A vocabulary of the field, where the shared data are beside the checkout.
TEST(WeightFile, RealVocabularyIsRead) {
    const char* shared = std::getenv("MOXIE_SHARED");
    const std::string root = shared != nullptr ? shared : MOXIE_SOURCE_DIR "/../shared";
    const std::string path = root + "/data/tokenizers/llama-spm.gguf";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "the shared data are not here";
    const auto file = open_weight_file(path);
    EXPECT_EQ(file->meta_string("tokenizer.ggml.model"), "llama");
    EXPECT_EQ(file->meta_strings("tokenizer.ggml.tokens")->size(), 32000u);
    EXPECT_EQ(file->meta_floats("tokenizer.ggml.scores")->size(), 32000u);
    EXPECT_TRUE(file->tensors().empty());
}

}  // namespace
}  // namespace core
