#include "app/subcommands/tokenize_cmd.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/text/text_fixtures.h"

namespace app {
namespace {

// A SentencePiece model of the tiny vocabulary on disk, and texts beside it.
class TokenizeCommand : public testing::Test {
  protected:
    void SetUp() override {
        folder =
            std::filesystem::path(testing::TempDir()) /
            (std::string("moxie_") + testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::create_directories(folder);
        const auto vocabulary = core::tiny_vocabulary(core::PieceKind::user_defined);
        model = write("tiny.model", core::write_sentencepiece_model(
                                        vocabulary.pieces, vocabulary.scores, vocabulary.kinds));
    }
    void TearDown() override { std::filesystem::remove_all(folder); }

    std::string write(const std::string& name, const std::string& text) const {
        const auto path = folder / name;
        std::ofstream(path, std::ios::binary) << text;
        return path.string();
    }
    static std::string run(const TokenizeOptions& options, const std::string& input = "") {
        std::istringstream in(input);
        std::ostringstream out;
        EXPECT_EQ(run_tokenize(options, in, out), 0);
        return out.str();
    }
    std::string ids_of(const std::string& text) const {
        std::string line = "[";
        for (const auto id : core::load_tokenizer(model)->encode(text, true))
            line += (line.size() > 1 ? ", " : "") + std::to_string(id);
        return line + "]\n";
    }

    std::filesystem::path folder;
    std::string model;
};

TEST_F(TokenizeCommand, PrintsOneLineOfIds) {
    EXPECT_EQ(run({.path = model, .text = "a\n<|separator|>"}),
              "[" + std::to_string(7 + 256 + 18) + ", 5, 4]\n");
    EXPECT_EQ(run({.path = model, .text = ""}), "[]\n");
}

TEST_F(TokenizeCommand, TakesTheTextByteForByte) {
    const std::string text = "hello \r\nH\n";
    const std::string file = write("text", text);
    EXPECT_EQ(run({.path = model, .text = {}, .file = file}), ids_of(text));
    EXPECT_EQ(run({.path = model}, text), ids_of(text));
    EXPECT_EQ(run({.path = model, .text = text}), ids_of(text));
}

TEST_F(TokenizeCommand, PrintsJsonWithPieces) {
    EXPECT_EQ(run({.path = model, .text = " h\u20AC\n", .file = {}, .json = true}),
              R"({"ids":[263,233,137,179,5],"pieces":["\u2581h","<0xE2>","<0x82>","<0xAC>","\n"]})"
              "\n");
}

TEST_F(TokenizeCommand, SaysWhatCannotBeRead) {
    std::istringstream in;
    std::ostringstream out;
    EXPECT_THROW(run_tokenize({.path = model, .text = {}, .file = "/nowhere/text"}, in, out),
                 core::Error);
    EXPECT_THROW(run_tokenize({.path = model, .text = {}, .file = folder.string()}, in, out),
                 core::Error);
    EXPECT_THROW(run_tokenize({.path = "/nowhere/model", .text = "a"}, in, out), core::Error);
}

}  // namespace
}  // namespace app
