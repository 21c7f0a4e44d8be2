#include "app/subcommands/inspect_cmd.h"

#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/formats/gguf_writer.h"
#include "core/text/vocabulary.h"
#include "tests/support/containers.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

using core::DType;
using testing::HasSubstr;
using testing::Not;

class Inspect : public testing::Test {
  protected:
    Inspect() : file_path("./inspect-" + std::to_string(::getpid()) + ".gguf") {
        core::GgufWriter writer(file_path);
        writer.add_string("general.architecture", "grok");
        writer.add_string("general.name", "tiny \x1b]0;owned\x07\nname\xff");
        writer.add<uint32_t>("grok.block_count", 2);
        writer.add<uint32_t>("grok.expert_count", 8);
        writer.add<uint32_t>("grok.expert_used_count", 2);
        writer.add<float>("grok.embedding_scale", 0.5f);
        writer.add_string("tokenizer.ggml.model", "llama");
        writer.add_strings("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "c"});
        writer.add_string("tokenizer.chat_template", std::string(1234, 't'));
        writer.declare("token_embd.weight", DType::f32, {32, 3});
        writer.declare("blk.0.ffn_up_exps.weight", DType::q8_0, {32, 4, 8});
        writer.declare("blk.0.attn_q.weight", DType::i8c, {64, 2}, 2);
        writer.append_floats(std::vector<float>(96));
        writer.append_floats(std::vector<float>(1024));
        writer.append_floats(std::vector<float>(128));
        writer.finish();
    }
    ~Inspect() override { ::unlink(file_path.c_str()); }

    std::string run(bool json, bool tensors) const {
        std::ostringstream out;
        EXPECT_EQ(run_inspect({.path = file_path, .json = json, .tensors = tensors}, out), 0);
        return out.str();
    }

    std::string file_path;
};

TEST_F(Inspect, TextSaysWhatTheFileIs) {
    const std::string text = run(false, false);
    EXPECT_THAT(text, HasSubstr("format         GGUF v3, "));
    EXPECT_THAT(text, HasSubstr("architecture   grok\n"));
    EXPECT_THAT(text, HasSubstr("parameters     1248, 480 active per token\n"))
        << "96 + 1024 + 128, of the experts a quarter";
    EXPECT_THAT(text, HasSubstr("tokenizer      llama, 3 tokens\n"));
    EXPECT_THAT(text, HasSubstr("chat template  1.23 kB\n"));
    EXPECT_THAT(text, HasSubstr("  embedding_scale    0.5\n"));
    EXPECT_THAT(text,
                HasSubstr("q8_0          1 tensor  1024 parameters, 1.09 kB, 8.50 bits each"));
    EXPECT_THAT(text, Not(HasSubstr("ffn_up_exps")));
}

TEST_F(Inspect, TensorsAreListedOnRequest) {
    const std::string text = run(false, true);
    EXPECT_THAT(text, HasSubstr("blk.0.ffn_up_exps.weight  q8_0    32 x 4 x 8, 1.09 kB\n"));
    EXPECT_THAT(text, HasSubstr("i8c     64 x 2, 2 scales a row, 136 bytes\n"));
}

TEST_F(Inspect, StringsOfTheFileAreInert) {
    for (const bool json : {false, true}) {
        const std::string text = run(json, true);
        for (const char c : text)
            EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
        EXPECT_EQ(text.find('\x7f'), std::string::npos);
    }
    EXPECT_THAT(run(false, false), HasSubstr("name           tiny \u241b]0;owned"));
}

TEST_F(Inspect, JsonHasTheSameFacts) {
    const auto json = nlohmann::json::parse(run(true, true));
    EXPECT_EQ(json["format"], "GGUF v3");
    EXPECT_EQ(json["architecture"], "grok");
    EXPECT_EQ(json["parameters"], 1248);
    EXPECT_EQ(json["active_parameters"], 480);
    EXPECT_EQ(json["tokenizer"]["tokens"], 3);
    EXPECT_EQ(json["chat_template"], true);
    EXPECT_EQ(json["metadata"]["grok.block_count"], 2);
    EXPECT_EQ(json["metadata"]["tokenizer.ggml.tokens"]["array"], 3);
    EXPECT_EQ(json["tensor_count"], 3);
    ASSERT_EQ(json["tensors"].size(), 3u);
    EXPECT_EQ(json["tensors"][2]["type"], "i8c");
    EXPECT_EQ(json["tensors"][2]["scale_groups"], 2);
    EXPECT_EQ(json["tensors"][1]["shape"], (std::vector<int>{32, 4, 8}));
    EXPECT_FALSE(nlohmann::json::parse(run(true, false)).contains("tensors"));
}

TEST_F(Inspect, WhatIsMissingIsSaid) {
    EXPECT_THAT(run(false, false), HasSubstr("runs           no: "));
    const auto json = nlohmann::json::parse(run(true, false));
    EXPECT_EQ(json["runs"], false);
    EXPECT_NE(json["problem"], "");
}

class InspectModel : public testing::Test {
  protected:
    static std::string text_of(const std::string& path) {
        std::ostringstream out;
        EXPECT_EQ(run_inspect({.path = path}, out), 0);
        return out.str();
    }
    support::TemporaryFolder folder;
};

TEST_F(InspectModel, AFolderTellsItsFamilyItsMemoryAndWhyItCannotChat) {
    write_hugging_face(support::tiny_model(support::Family::mixtral, support::Storage::bf16),
                       support::Family::mixtral, support::HuggingFaceLayout::sharded,
                       folder.path());
    const std::string text = text_of(folder.path());
    EXPECT_THAT(text, HasSubstr("format         safetensors"));
    EXPECT_THAT(text, HasSubstr("architecture   llama"));
    EXPECT_THAT(text, HasSubstr("runs           as llama: has no vocabulary"));
    EXPECT_THAT(text, HasSubstr("bits each"));
    std::ofstream(folder.path() + "/tokenizer.json") << "{}";
    EXPECT_THAT(text_of(folder.path()), HasSubstr("does not make sense as a vocabulary"));
}

TEST_F(InspectModel, ACheckpointOfGrok1IsDescribedByItsPickles) {
    write_grok1_checkpoint(support::tiny_checkpoint(), folder.path());
    const std::string text = text_of(folder.path());
    EXPECT_THAT(text, HasSubstr("format         Grok-1 checkpoint"));
    EXPECT_THAT(text, HasSubstr("name           Grok-1"));
    EXPECT_THAT(text, HasSubstr("runs           as grok-1: has no vocabulary"));
    EXPECT_THAT(text, HasSubstr("  i8c "));
}

TEST_F(InspectModel, ShardsOfGrok2AreDescribedAsWholeTensors) {
    write_hugging_face(support::tiny_model(support::Family::grok2, support::Storage::bf16),
                       support::Family::grok2, support::HuggingFaceLayout::tensor_parallel,
                       folder.path());
    const std::string text = text_of(folder.path());
    EXPECT_THAT(text, HasSubstr("architecture   grok"));
    EXPECT_THAT(text, HasSubstr("runs           as grok-2: has no vocabulary"));
    EXPECT_THAT(text, Not(HasSubstr("TP-")));
}

TEST_F(InspectModel, ASplitModelIsDescribedAsOne) {
    for (uint16_t part = 0; part < 2; ++part) {
        core::GgufWriter writer(folder.path() + "/m-0000" + std::to_string(part + 1) +
                                "-of-00002.gguf");
        writer.add_string("general.architecture", "llama");
        writer.add<uint16_t>("split.no", part);
        writer.add<uint16_t>("split.count", 2);
        writer.declare("part" + std::to_string(part), DType::f32, {32});
        writer.append_floats(std::vector<float>(32));
        writer.finish();
    }
    const std::string text = text_of(folder.path() + "/m-00002-of-00002.gguf");
    EXPECT_THAT(text, HasSubstr("m-00001-of-00002.gguf"));
    EXPECT_THAT(text, HasSubstr("format         GGUF v3 in 2 parts"));
    EXPECT_THAT(text, HasSubstr("  f32           2 tensors"));
}

// A SentencePiece model is the shortest of them to write down.
TEST_F(InspectModel, AVocabularyAloneIsDescribedFromItsFileOrFolder) {
    const std::vector<std::string> pieces = {"<unk>", "a", "b", "ab"};
    const std::vector<float> scores = {0, -1, -2, -3};
    const std::vector<core::PieceKind> kinds = {core::PieceKind::unknown, core::PieceKind::normal,
                                                core::PieceKind::normal, core::PieceKind::normal};
    const std::string path = folder.path() + "/tokenizer.model";
    std::ofstream(path, std::ios::binary) << core::write_sentencepiece_model(pieces, scores, kinds);
    for (const std::string& input : {path, folder.path()}) {
        const std::string text = text_of(input);
        EXPECT_THAT(text, HasSubstr("file           " + path));
        EXPECT_THAT(text, HasSubstr("format         vocabulary"));
        EXPECT_THAT(text, HasSubstr("parameters     none, vocabulary only"));
        EXPECT_THAT(text, HasSubstr("tokenizer      llama, 4 tokens"));
        EXPECT_THAT(text, HasSubstr("runs           no: holds a vocabulary and no weights"));
    }
}

TEST_F(InspectModel, WhatIsNeitherSaysWhyItIsNoModel) {
    std::ofstream(folder.path() + "/notes.txt") << "no model";
    std::ostringstream out;
    try {
        run_inspect({.path = folder.path() + "/notes.txt"}, out);
        ADD_FAILURE() << "was described";
    } catch (const core::Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("notes.txt: is no model file that moxie knows"));
    }
}

TEST_F(InspectModel, TheFirstMissingTensorIsNamed) {
    auto model = support::tiny_model(support::Family::grok1, support::Storage::q8_0);
    model.remove_tensor("blk.1.attn_q.weight");
    const support::TemporaryGguf file(model);
    EXPECT_THAT(text_of(file.path()),
                HasSubstr("runs           no: tensor blk.1.attn_q.weight is missing"));
}

TEST(InspectMissing, FileIsAnError) {
    std::ostringstream out;
    EXPECT_THROW(run_inspect({.path = "./no-such-file.gguf"}, out), core::Error);
    EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace app
