// Token ids that other programs give: SentencePiece for Grok-1's vocabulary (specs: grok1, section
// 4), llama.cpp for its own test vocabulary.

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/text/detokenizer.h"
#include "core/text/tokenizer.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

// Loaded once: Grok-1's vocabulary takes a quarter of a second.
const Tokenizer* shared_tokenizer(const std::string& name) {
    static std::map<std::string, std::unique_ptr<Tokenizer>> loaded;
    const auto folder = shared_data();
    if (folder.empty()) return nullptr;
    auto& tokenizer = loaded[name];
    if (!tokenizer) tokenizer = load_tokenizer((folder / "tokenizers" / name).string());
    return tokenizer.get();
}

std::string read_text(const char* name) {
    std::ifstream in(shared_data() / "tokenizers" / name, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

std::string decode(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
    Detokenizer detokenizer(tokenizer, {}, tokenizer.dummy_prefix());
    std::string text;
    for (const TokenId id : ids)
        text += detokenizer.push(id);
    return text + detokenizer.finish();
}

struct GoldenText {
    std::string text;
    std::vector<TokenId> ids;
};

const std::vector<GoldenText>& grok1_texts() {
    static const std::vector<GoldenText> texts{
        {"The answer to life the universe and everything is of course",
         {422, 3033, 356, 1180, 333, 9072, 360, 2175, 391, 359, 1805}},
        {"Hello, world!", {11770, 130111, 1135, 130166}},
        {"a", {327}},
        {" a", {325, 130092}},
        {"  a", {325, 327}},
        {"a\nb", {327, 4, 130110}},
        {"a\n\nb", {327, 5, 130110}},
        {"42", {130089, 18, 16}},
        {"x = 1234;", {1734, 508, 130089, 15, 16, 17, 18, 130145}},
        {"\tif (x) {\n\t\treturn;\n\t}",
         {130089, 24, 420, 427, 130122, 130119, 595, 4, 25, 1885, 130145, 4, 24, 130147}},
        {"    indented", {336, 95390}},
        {"naïve café 日本語 🙂", {54091, 30689, 54164, 130670, 13442}},
        {"<|separator|>", {130089, 47}},
        {"Human: hi<|separator|>\n\nAssistant:", {5866, 130123, 16462, 47, 5, 78964, 130123}},
        {"trailing ", {25601, 130089}},
        {"trailing\n", {25601, 4}},
        {"don't", {922, 130128, 130091}},
        {"\r\n", {1499, 4}},
        {std::string("é\0x", 4), {7004, 69, 130122}},
        {"a" + std::string(17, ' ') + "b", {327, 541, 348}},
        {"", {}},
    };
    return texts;
}

TEST(GoldenText, Grok1VocabularyGivesTheIdsOfSentencePiece) {
    const auto tokenizer = shared_tokenizer("grok-1.model");
    if (!tokenizer) GTEST_SKIP() << "the shared tokenizers are missing";
    EXPECT_EQ(tokenizer->size(), 131072U);
    for (const GoldenText& golden : grok1_texts()) {
        EXPECT_EQ(tokenizer->encode(golden.text, true), golden.ids) << golden.text;
        EXPECT_EQ(decode(*tokenizer, golden.ids), golden.text);
    }
}

TEST(GoldenText, Grok1VocabularyHasItsSpecialPieces) {
    const auto tokenizer = shared_tokenizer("grok-1.model");
    if (!tokenizer) GTEST_SKIP() << "the shared tokenizers are missing";
    EXPECT_EQ(tokenizer->bos(), 1);
    EXPECT_EQ(tokenizer->eos(), 2);
    EXPECT_FALSE(tokenizer->add_bos());
    EXPECT_TRUE(tokenizer->dummy_prefix());
    EXPECT_EQ(tokenizer->kind(47), PieceKind::user_defined);
    EXPECT_EQ(tokenizer->never_sampled(131074), (std::vector<TokenId>{0, 1, 3, 131072, 131073}));
    EXPECT_EQ(tokenizer->end_of_generation(), (std::vector<TokenId>{2}));
    EXPECT_EQ(tokenizer->find_piece("\u2581the"), 333);
}

TEST(GoldenText, Grok1VocabularyKeepsPeoplesSeparatorsAsText) {
    const auto tokenizer = shared_tokenizer("grok-1.model");
    if (!tokenizer) GTEST_SKIP() << "the shared tokenizers are missing";
    for (const bool specials : {false, true}) {
        const auto ids = tokenizer->encode("[BOS]", specials);
        EXPECT_GT(ids.size(), 1U);
        for (const TokenId id : ids)
            EXPECT_GT(id, 3);
    }
    const auto ids = tokenizer->encode("<|separator|>", false);
    EXPECT_EQ(std::count(ids.begin(), ids.end(), 47), 0);
    EXPECT_EQ(decode(*tokenizer, ids), "<|separator|>");
}

TEST(GoldenText, LlamaVocabularyGivesTheIdsOfLlamaCpp) {
    const auto tokenizer = shared_tokenizer("llama-spm.gguf");
    if (!tokenizer) GTEST_SKIP() << "the shared tokenizers are missing";
    const std::string inputs = read_text("llama-spm.gguf.inp");
    std::istringstream outputs(read_text("llama-spm.gguf.out"));
    const std::string separator = "\n__ggml_vocab_test__\n";
    size_t texts = 0;
    for (size_t begin = 0; begin < inputs.size(); ++texts) {
        const size_t end = inputs.find(separator, begin);
        if (end == std::string::npos) break;
        const std::string text = inputs.substr(begin, end - begin);
        begin = end + separator.size();
        std::string line;
        ASSERT_TRUE(std::getline(outputs, line));
        std::istringstream numbers(line);
        std::vector<TokenId> expected;
        for (TokenId id = 0; numbers >> id;)
            expected.push_back(id);
        EXPECT_EQ(tokenizer->encode(text, false), expected) << text;
        EXPECT_EQ(decode(*tokenizer, expected), text);
    }
    EXPECT_EQ(texts, 46U);
    EXPECT_TRUE(tokenizer->add_bos());
}

}  // namespace
}  // namespace core
