// Mistral's tekken.json: special tokens first, then tokens by rank in base64.
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/text/bpe.h"
#include "core/text/byte_level.h"
#include "core/text/vocabulary.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

using testing::HasSubstr;

constexpr const char* kPattern =
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|)"
    R"([^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|)"
    R"(\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+)";

std::string base64(const std::string& bytes) {
    const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t at = 0; at < bytes.size(); at += 3) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; ++i)
            bits = bits << 8 |
                   (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
        for (size_t i = 0; i < 4; ++i)
            text += i <= bytes.size() - at ? digits[bits >> (18 - 6 * i) & 63] : '=';
    }
    return text;
}

// All bytes, and words by rank behind them; the last one is more than the model has.
std::string tekken(const std::string& specials = "", const std::string& vocab_size = "280") {
    std::vector<std::string> tokens(256);
    for (size_t byte = 0; byte < 256; ++byte)
        tokens[byte] = static_cast<char>(byte);
    tokens.insert(tokens.end(), {"ll", "he", "llo", "hello", "World"});
    std::string vocab;
    for (size_t rank = 0; rank < tokens.size(); ++rank)
        vocab += (rank == 0 ? "" : ",") + std::string(R"({"rank":)") + std::to_string(rank) +
                 R"(,"token_bytes":")" + base64(tokens[rank]) + R"(","token_str":null})";
    return R"({"config":{"pattern":")" + std::string(kPattern) + R"(","default_vocab_size":)" +
           vocab_size + R"(,"default_num_special_tokens":20,"version":"v3"},)" + specials +
           R"("vocab":[)" + vocab + "]}";
}

Vocabulary read(const std::string& text) {
    return read_tekken_json(std::as_bytes(std::span(text)), "tekken");
}

std::string refusal(const std::string& text) {
    try {
        read(text);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        return error.what();
    }
    return "accepted";
}

TEST(Tekken, SpecialTokensComeBeforeTheRanks) {
    const Vocabulary vocabulary = read(tekken());
    EXPECT_EQ(vocabulary.pieces.size(), 280U) << "what the file has beyond is left";
    EXPECT_EQ(vocabulary.pieces[3], "[INST]");
    EXPECT_EQ(vocabulary.kinds[17], PieceKind::control);
    EXPECT_EQ(vocabulary.bos, 1);
    EXPECT_EQ(vocabulary.eos, 2);
    EXPECT_EQ(vocabulary.pad, 11);
    EXPECT_TRUE(vocabulary.add_bos);
    const auto tokenizer = make_byte_level_bpe(vocabulary, "tekken");
    const TokenId base = 20;
    EXPECT_EQ(tokenizer->encode("hello", false), (std::vector<TokenId>{base + 259}));
    EXPECT_EQ(tokenizer->encode("lllo", false),
              (std::vector<TokenId>{base + 256, base + 'l', base + 'o'}));
    // A capital begins a word of its own.
    EXPECT_EQ(tokenizer->encode("helloHe", false),
              (std::vector<TokenId>{base + 259, base + 'H', base + 'e'}));
}

TEST(Tekken, AFileListsItsSpecialTokensOrFillersStandForThem) {
    const Vocabulary vocabulary = read(tekken(
        R"("special_tokens":[{"rank":0,"token_str":"<unk>","is_control":true},)"
        R"({"rank":1,"token_str":"<s>","is_control":true},{"rank":2,"token_str":"</s>","is_control":true}],)"));
    EXPECT_EQ(vocabulary.pieces[1], "<s>");
    EXPECT_EQ(vocabulary.pieces[3], "<SPECIAL_3>");
    EXPECT_EQ(vocabulary.pad, std::nullopt);
}

TEST(Tekken, GgufHasANameForItsWords) {
    const Vocabulary vocabulary = read(tekken());
    MetaFile file;
    for (const auto& [key, value] : gguf_vocabulary(vocabulary, "tekken"))
        std::visit([&, name = key](const auto& each) { file.set(name, each); }, value.value);
    EXPECT_EQ(file.meta_string("tokenizer.ggml.pre"), "tekken");
    const Vocabulary again = read_gguf_vocabulary(file);
    EXPECT_EQ(again.pieces, vocabulary.pieces);
    EXPECT_EQ(again.byte_level->merges, vocabulary.byte_level->merges);
    EXPECT_TRUE(again.byte_level->ignore_merges);
    EXPECT_TRUE(again.add_bos);
}

TEST(Tekken, HostileFilesAreRefused) {
    const auto changed = [](const std::string& from, const std::string& to) {
        std::string text = tekken();
        text.replace(text.find(from), from.size(), to);
        return refusal(text);
    };
    EXPECT_THAT(changed("\"AA==\"", "\"A===\""), HasSubstr("expected base64"));
    EXPECT_THAT(changed("\"AA==\"", "\"A!==\""), HasSubstr("expected base64"));
    EXPECT_THAT(changed("\"AA==\"", "\"\""), HasSubstr("piece 20 is empty"));
    EXPECT_THAT(changed("tokens\":20", "tokens\":280"),
                HasSubstr("expected a whole number below 280"));
    EXPECT_THAT(changed("\"rank\":7,", "\"rank\":-7,"), HasSubstr("has the token id \"-7\""));
    EXPECT_THAT(refusal(tekken("", "1e9")), HasSubstr("has the token id"));
    EXPECT_THAT(refusal(tekken(R"("special_tokens":[{"rank":20,"token_str":"x"}],)")),
                HasSubstr("has the rank \"20\", expected a whole number below 20"));
}

}  // namespace
}  // namespace core
