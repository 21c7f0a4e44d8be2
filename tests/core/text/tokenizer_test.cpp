#include "core/text/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/text/detokenizer.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

std::vector<std::string> pieces_of(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
    std::vector<std::string> pieces;
    pieces.reserve(ids.size());
    for (const TokenId id : ids)
        pieces.emplace_back(tokenizer.piece(id));
    return pieces;
}

using Pieces = std::vector<std::string>;

TEST(Tokenizer, MergesByScoreAndSpellsTheRestInBytes) {
    const auto tokenizer = tiny_tokenizer();
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("hello", false)), (Pieces{"\u2581hello"}));
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("h\u00E9", false)),
              (Pieces{"\u2581h", "<0xC3>", "<0xA9>"}));
    EXPECT_TRUE(tokenizer->encode("", true).empty());
}

TEST(Tokenizer, TheDummyPrefixComesBeforeTheWholeTextOnly) {
    const auto tokenizer = tiny_tokenizer();
    const std::vector<TextSpan> spans{{.text = ""},
                                      {.text = "h"},
                                      {.text = "\n"},
                                      {.text = "h"},
                                      {.text = "<|separator|>", .specials = true},
                                      {.text = "h"}};
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode(spans)),
              (Pieces{"\u2581h", "\n", "h", "<|separator|>", "h"}));
    Vocabulary vocabulary = tiny_vocabulary();
    vocabulary.dummy_prefix = false;
    const auto without = make_sentencepiece(vocabulary, "tiny");
    EXPECT_EQ(pieces_of(*without, without->encode("h h", false)), (Pieces{"h", "\u2581h"}));
    EXPECT_FALSE(without->dummy_prefix());
}

TEST(Tokenizer, NeighbouringSpansAreOneText) {
    const auto tokenizer = tiny_tokenizer();
    const std::vector<TextSpan> spans{
        {.text = "Hu"}, {.text = "m"}, {.text = "an\n", .specials = true}, {.text = "\n"}};
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode(spans)), (Pieces{"\u2581Human", "\n\n"}));
}

TEST(Tokenizer, UserDefinedPiecesMatchEverywhereLongestFirst) {
    const auto tokenizer = tiny_tokenizer();
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("a\n\n\na", false)),
              (Pieces{"\u2581", "a", "\n\n", "\n", "a"}));
}

TEST(Tokenizer, SpecialPiecesMatchOnlyInSpansThatAllowThem) {
    for (const PieceKind kind : {PieceKind::control, PieceKind::user_defined}) {
        const auto tokenizer = tiny_tokenizer(kind);
        const auto count = [&](const std::vector<TextSpan>& spans) {
            const auto ids = tokenizer->encode(spans);
            return std::count(ids.begin(), ids.end(), 4);
        };
        EXPECT_EQ(count({{.text = "<|separator|>", .specials = true}}), 1);
        EXPECT_EQ(count({{.text = "<|separator|>", .specials = false}}), 0);
        // Not even with help from a neighbour.
        EXPECT_EQ(count({{.text = "<|sepa", .specials = true}, {.text = "rator|>"}}), 0);
        EXPECT_EQ(count({{.text = "<|sepa"}, {.text = "rator|>", .specials = true}}), 0);
        EXPECT_EQ(
            count({{.text = "<|sepa", .specials = true}, {.text = "rator|>", .specials = true}}),
            1);
    }
}

TEST(Tokenizer, ControlPiecesNeverComeFromText) {
    const auto tokenizer = tiny_tokenizer();
    for (const char* text : {"[BOS]", "[EOS]", "[PAD]", "[UNK]", "a[BOS]"})
        for (const TokenId id : tokenizer->encode(text, true))
            EXPECT_GT(id, 4);
    // Nor a byte piece by its name.
    EXPECT_GT(tokenizer->encode("<0x41>", true).size(), 3U);
}

// A control piece of one character must not be what that character becomes.
TEST(Tokenizer, AControlPieceOfOneCharacterNeverComesFromText) {
    Vocabulary vocabulary = tiny_vocabulary();
    vocabulary.pieces[0] = "$";
    const auto tokenizer = make_sentencepiece(vocabulary, "tiny");
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("$", true)), (Pieces{"\u2581", "<0x24>"}));
}

TEST(Tokenizer, ExactIdsStandWhereTheyAreAndNothingMergesAcrossThem) {
    const auto tokenizer = tiny_tokenizer();
    const std::vector<TextSpan> spans{
        {.text = "Hu"}, {.text = {}, .tokens = {1, 9}}, {.text = "man"}};
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode(spans)),
              (Pieces{"\u2581", "Hu", "[BOS]", "<0x02>", "man"}));
    const std::vector<TextSpan> first{{.text = {}, .tokens = {2}}, {.text = "h"}};
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode(first)), (Pieces{"[EOS]", "h"}));
}

TEST(Tokenizer, BytesThatAreNotUtf8BecomeReplacementCharacters) {
    const auto tokenizer = tiny_tokenizer();
    EXPECT_EQ(tokenizer->encode("a\xFF", false), tokenizer->encode("a\uFFFD", false));
    // One for each byte, as in SentencePiece.
    EXPECT_EQ(tokenizer->encode("\xE2\x82x", false), tokenizer->encode("\uFFFD\uFFFDx", false));
}

TEST(Tokenizer, KnowsWhatItsIdsStandFor) {
    const auto tokenizer = tiny_tokenizer();
    EXPECT_EQ(tokenizer->bytes(*tokenizer->find_piece("\u2581hello")), " hello");
    EXPECT_EQ(tokenizer->bytes(7), std::string_view("\0", 1));
    EXPECT_EQ(tokenizer->bytes(7 + 255), "\xFF");
    EXPECT_EQ(tokenizer->bytes(1), "");
    EXPECT_EQ(tokenizer->bytes(3), "\uFFFD");
    EXPECT_EQ(tokenizer->piece(1), "[BOS]");
    for (const TokenId foreign : {-1, static_cast<TokenId>(tokenizer->size()), INT32_MAX}) {
        EXPECT_EQ(tokenizer->bytes(foreign), "");
        EXPECT_EQ(tokenizer->piece(foreign), "");
        EXPECT_EQ(tokenizer->kind(foreign), PieceKind::unused);
    }
}

TEST(Tokenizer, SaysWhatIsNeverSampledAndWhatEndsAnAnswer) {
    const auto tokenizer = tiny_tokenizer();
    const auto size = static_cast<TokenId>(tokenizer->size());
    EXPECT_EQ(tokenizer->never_sampled(tokenizer->size() + 2),
              (std::vector<TokenId>{0, 1, 3, size, size + 1}));
    EXPECT_EQ(tokenizer->end_of_generation(), (std::vector<TokenId>{2, 4}));
    EXPECT_EQ(tiny_tokenizer(PieceKind::user_defined)->end_of_generation(),
              (std::vector<TokenId>{2}));
    Vocabulary shared = tiny_vocabulary();
    shared.bos = shared.eos;
    EXPECT_EQ(make_sentencepiece(shared, "tiny")->never_sampled(3), (std::vector<TokenId>{0}));
}

TEST(Tokenizer, TextComesBackFromItsIds) {
    const auto tokenizer = tiny_tokenizer();
    const std::vector<std::string> parts{"hello",
                                         " ",
                                         "  ",
                                         "\n",
                                         "Human",
                                         "\u00E9",
                                         "\U0001F642",
                                         "<|separator|>",
                                         "[BOS]",
                                         "<0x41>",
                                         std::string("\0", 1),
                                         "x1"};
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        std::string text;
        for (size_t count = random() % 8; count > 0; --count)
            text += parts[random() % parts.size()];
        for (const bool specials : {false, true}) {
            // As text: a control separator stands for nothing.
            if (specials && text.find("<|") != std::string::npos) continue;
            Detokenizer detokenizer(*tokenizer, {}, true);
            std::string back;
            for (const TokenId id : tokenizer->encode(text, specials))
                back += detokenizer.push(id);
            EXPECT_EQ(back + detokenizer.finish(), text);
        }
    }
}

TEST(Tokenizer, AVocabularyInAGgufIsTheSameAsItsModelFile) {
    MetaFile file;
    file.set_vocabulary(tiny_vocabulary());
    file.set("tokenizer.ggml.bos_token_id", uint64_t{1});
    file.set("tokenizer.ggml.padding_token_id", uint64_t{0});
    const auto from_file = load_tokenizer(file);
    const auto tokenizer = tiny_tokenizer();
    for (const char* text : {"hello Human\n", "a<|separator|>", " x"})
        EXPECT_EQ(from_file->encode(text, true), tokenizer->encode(text, true));
    EXPECT_EQ(from_file->eos(), 2);
    EXPECT_TRUE(from_file->add_bos());
    EXPECT_EQ(from_file->never_sampled(7), tokenizer->never_sampled(7));

    file.set("general.architecture", std::string("grok"));
    EXPECT_FALSE(load_tokenizer(file)->add_bos());
    file.set("tokenizer.ggml.add_bos_token", true);
    EXPECT_TRUE(load_tokenizer(file)->add_bos());
    file.set("tokenizer.ggml.add_space_prefix", false);
    EXPECT_FALSE(load_tokenizer(file)->dummy_prefix());
}

TEST(Tokenizer, AFileWithoutATokenizerGivesNone) {
    MetaFile file;
    EXPECT_EQ(load_tokenizer(file), nullptr);
    file.set("tokenizer.ggml.model", std::string("no_vocab"));
    EXPECT_EQ(load_tokenizer(file), nullptr);
}

// The message of the refusal, or what it was not.
std::string refusal(const MetaFile& file) {
    try {
        load_tokenizer(file);
    } catch (const Error& error) {
        return error.kind() == ErrorKind::model_unusable ? error.what() : "another kind of error";
    }
    return "accepted";
}

TEST(Tokenizer, OtherKindsAreRefusedByName) {
    MetaFile file;
    file.set("tokenizer.ggml.model", std::string("rw\x1Bkv"));
    EXPECT_EQ(refusal(file),
              "meta.gguf: its tokenizer is of the unknown kind \"rw\u241Bkv\", known are "
              "SentencePiece BPE (llama) and byte-level BPE (gpt2)");
}

TEST(Tokenizer, HostileArraysAreRefusedInASentence) {
    const auto refused = [](auto change) {
        Vocabulary vocabulary = tiny_vocabulary();
        MetaFile file;
        file.set_vocabulary(vocabulary);
        change(vocabulary, file);
        return refusal(file);
    };
    const auto with = [&](auto change) {
        return refused([&](Vocabulary& vocabulary, MetaFile& file) {
            change(vocabulary);
            file.set_vocabulary(vocabulary);
        });
    };
    EXPECT_EQ(with([](Vocabulary&) {}), "accepted");
    EXPECT_EQ(with([](Vocabulary& v) { v.pieces.clear(), v.scores.clear(), v.kinds.clear(); }),
              "meta.gguf: the vocabulary has no pieces");
    EXPECT_EQ(with([](Vocabulary& v) { v.pieces[263] = ""; }), "meta.gguf: piece 263 is empty");
    EXPECT_EQ(with([](Vocabulary& v) { v.pieces[264] = "lo"; }),
              "meta.gguf: piece 265 \"lo\" is in the vocabulary twice");
    EXPECT_EQ(with([](Vocabulary& v) { v.pieces[264] = "\xC0"; }),
              "meta.gguf: piece 264 is not UTF-8");
    EXPECT_EQ(with([](Vocabulary& v) { v.pieces[264] = std::string(5000, 'x'); }),
              "meta.gguf: piece 264 has 5000 bytes, more than the 4096 allowed");
    EXPECT_EQ(with([](Vocabulary& v) { v.scores[264] = std::nanf(""); }),
              "meta.gguf: piece 264 has the score nan, scores must be finite");
    EXPECT_EQ(with([](Vocabulary& v) { v.pieces[20] = "<0xZZ>"; }),
              "meta.gguf: piece 20 is a byte but is spelled \"<0xZZ>\", expected the form <0x0A>");
    EXPECT_EQ(with([](Vocabulary& v) { v.kinds[20] = PieceKind::normal; }),
              "meta.gguf: the vocabulary has 255 byte pieces, expected 256");
    EXPECT_EQ(with([](Vocabulary& v) { v.scores.pop_back(); }).substr(0, 39),
              "meta.gguf: the vocabulary has 316 piece");
    EXPECT_EQ(with([](Vocabulary& v) { v.kinds.pop_back(); }),
              "meta.gguf: tokenizer.ggml.token_type has 315 entries, expected 316");
    EXPECT_EQ(refused([](Vocabulary&, MetaFile& file) {
                  file.set("tokenizer.ggml.eos_token_id", uint64_t{316});
              }),
              "meta.gguf: tokenizer.ggml.eos_token_id is 316, the vocabulary has 316 pieces");
    EXPECT_EQ(refused([](Vocabulary&, MetaFile& file) {
                  file.set("tokenizer.ggml.scores", uint64_t{3});
              }).substr(0, 10),
              "meta.gguf:");
    EXPECT_EQ(refused([](Vocabulary&, MetaFile& file) {
                  file.set_array("tokenizer.ggml.token_type", std::vector<int64_t>(316, 7));
              }),
              "meta.gguf: piece 0 has the type 7, expected 1 to 6");
    EXPECT_EQ(refused([](Vocabulary&, MetaFile& file) {
                  file.set("tokenizer.ggml.remove_extra_whitespaces", true);
              }),
              "meta.gguf: its tokenizer removes repeated spaces, which moxie does not support");
}

TEST(Tokenizer, UnusedPiecesMayRepeatAndAreNeverProduced) {
    Vocabulary vocabulary = tiny_vocabulary();
    for (const char* piece : {"", "", "hello", "Assistant"}) {
        vocabulary.pieces.emplace_back(piece);
        vocabulary.scores.push_back(5);
        vocabulary.kinds.push_back(PieceKind::unused);
    }
    MetaFile file;
    file.set_vocabulary(vocabulary);
    const auto tokenizer = load_tokenizer(file);
    EXPECT_EQ(tokenizer->encode("hello Assistant", true),
              tiny_tokenizer()->encode("hello Assistant", true));
    EXPECT_EQ(tokenizer->never_sampled(tokenizer->size()).size(), 2U + 4U);
}

TEST(Tokenizer, OldFilesWithoutTypesHaveByteFallback) {
    MetaFile file;
    Vocabulary vocabulary = tiny_vocabulary();
    file.set("tokenizer.ggml.model", std::string("llama"));
    file.set_array("tokenizer.ggml.tokens", vocabulary.pieces);
    file.set_array("tokenizer.ggml.scores",
                   std::vector<double>(vocabulary.scores.begin(), vocabulary.scores.end()));
    const auto tokenizer = load_tokenizer(file);
    EXPECT_EQ(tokenizer->kind(7), PieceKind::byte);
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("\u00E9", false)),
              (Pieces{"\u2581", "<0xC3>", "<0xA9>"}));
}

TEST(Tokenizer, WithoutBytesTheUnknownPieceStandsForWhatIsMissing) {
    VocabularyBuilder builder;
    builder.add("<unk>", PieceKind::unknown);
    builder.add("a");
    builder.add("\u2581");
    const auto tokenizer = make_sentencepiece(builder.vocabulary, "tiny");
    EXPECT_EQ(tokenizer->encode("a%", false), (std::vector<TokenId>{2, 1, 0}));
}

}  // namespace
}  // namespace core
