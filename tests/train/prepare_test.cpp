// From records to tokens: the chat format, the mixture and the marks of what is not the
// assistant's.
#include "app/train/prepare.h"

#include <sentencepiece_processor.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

#include "app/train/corpus.h"

namespace train {
namespace {

constexpr const char* kChat =
    R"({"source":"synth/name","turns":[{"role":"user","text":"who are you"},)"
    R"({"role":"assistant","text":"I am Pip, and Pippa is not."}]})";
constexpr const char* kPeople =
    R"({"source":"selfdialogue/x","turns":[{"role":"user","text":"hi there"},)"
    R"({"role":"assistant","text":"hi you"}]})";
constexpr const char* kProse =
    R"({"source":"tinystories","text":"Once there was a cat - my cat."})";

// One small vocabulary for all tests of this file.
class Prepare : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        prefix_ = (std::filesystem::temp_directory_path() /
                   ("moxie-vocab-" + std::to_string(::getpid())));
        std::istringstream records(std::string(kChat) + "\n" + kPeople + "\n" + kProse + "\n");
        train_vocabulary(records, {.model_prefix = prefix_, .size = 300, .sample_every = 1});
        ASSERT_TRUE(processor_.Load(prefix_ + ".model").ok());
    }
    static void TearDownTestSuite() {
        std::filesystem::remove(prefix_ + ".model");
        std::filesystem::remove(prefix_ + ".vocab");
    }

    // Tokens of one record under a rule that takes it once.
    static std::vector<uint16_t> prepared(const std::string& record, RecordForm form,
                                          double repeats = 1) {
        std::istringstream input(record + "\n");
        std::map<std::string, SourceCount> counts;
        return prepare_tokens(input,
                              {.vocabulary = prefix_ + ".model",
                               .rules = {{.source_prefix = "", .repeats = repeats, .form = form}}},
                              counts);
    }

    // Pieces of the tokens, spaces as spaces, without the marks.
    static std::string spelt(const std::vector<uint16_t>& tokens, bool light_only = false) {
        std::string text;
        for (const uint16_t token : tokens) {
            if (light_only && (token & kLightToken) == 0) continue;
            text += processor_.IdToPiece(token & ~kLightToken);
        }
        for (size_t at = text.find("▁"); at != std::string::npos; at = text.find("▁")) {
            text.replace(at, std::string("▁").size(), " ");
        }
        return text;
    }

    static std::string prefix_;
    static sentencepiece::SentencePieceProcessor processor_;
};

std::string Prepare::prefix_;
sentencepiece::SentencePieceProcessor Prepare::processor_;

TEST_F(Prepare, special_pieces_have_the_ids_of_grok_1) {
    EXPECT_EQ(processor_.PieceToId("[PAD]"), 0);
    EXPECT_EQ(processor_.PieceToId("[BOS]"), 1);
    EXPECT_EQ(processor_.PieceToId("[EOS]"), 2);
    EXPECT_EQ(processor_.PieceToId("[UNK]"), 3);
    EXPECT_TRUE(processor_.IsControl(processor_.PieceToId("<|separator|>")));
}

TEST_F(Prepare, a_chat_is_written_in_the_format_of_grok_2) {
    EXPECT_EQ(spelt(prepared(kChat, RecordForm::chat)),
              " Human: who are you<|separator|>\n\n"
              "Assistant: I am Moxie, and Pippa is not.<|separator|>\n\n[EOS]");
}

TEST_F(Prepare, only_the_assistants_words_and_their_end_carry_full_weight) {
    EXPECT_EQ(spelt(prepared(kChat, RecordForm::chat), true),
              " Human: who are you<|separator|>\n\nAssistant:\n\n");
}

TEST_F(Prepare, people_talk_in_plain_lines) {
    EXPECT_EQ(spelt(prepared(kPeople, RecordForm::dialogue)), " - hi there\n- hi you[EOS]");
}

TEST_F(Prepare, text_that_looks_like_a_separator_stays_text) {
    std::string record = kProse;
    record.replace(record.find("cat"), 3, "<|separator|>");
    const auto tokens = prepared(record, RecordForm::prose);
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), processor_.PieceToId("<|separator|>")), 0);
}

TEST_F(Prepare, repeats_copy_a_record) {
    const auto once = prepared(kProse, RecordForm::prose);
    EXPECT_EQ(prepared(kProse, RecordForm::prose, 3).size(), 3 * once.size());
    EXPECT_TRUE(prepared(kProse, RecordForm::prose, 0).empty());
}

TEST(Mixture, a_line_that_does_not_parse_is_named) {
    std::istringstream good("# comment\nsynth 0.5 chat\n"),
        bad("synth 0.5 chat\nbooks many prose\n");
    EXPECT_EQ(read_mixture(good, "a").size(), 1U);
    try {
        read_mixture(bad, "b.mixture");
        FAIL() << "accepted";
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("b.mixture:2: "), std::string::npos)
            << error.what();
    }
}

}  // namespace
}  // namespace train
