// Byte-level BPE: how text is cut (golden splits of specs: gguf, section 5), merged and spelled,
// and the containers that such vocabularies come in.
#include "core/text/byte_level.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/text/bpe.h"
#include "core/text/detokenizer.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

using Pieces = std::vector<std::string>;

// All bytes; words are whole where they are given.
Vocabulary words_vocabulary(const char* split_name, const Pieces& words) {
    const WordSplit& split = *word_split_named(split_name);
    VocabularyBuilder builder;
    for (unsigned byte = 0; byte < 256; ++byte)
        builder.add(std::string(spelled_byte(static_cast<uint8_t>(byte))));
    for (const std::string& word : words)
        if (std::ranges::find(builder.vocabulary.pieces, spell(word)) ==
            builder.vocabulary.pieces.end())
            builder.add(spell(word));
    builder.vocabulary.dummy_prefix = false;
    builder.vocabulary.byte_level =
        ByteLevel{.patterns = {split.patterns.begin(), split.patterns.end()},
                  .merges = {},
                  .ignore_merges = true};
    return builder.vocabulary;
}

// How `text` is cut, seen through a vocabulary that has every expected word.
Pieces cut(const char* split, const std::string& text, const Pieces& expected) {
    const auto tokenizer = make_byte_level_bpe(words_vocabulary(split, expected), "words");
    Pieces pieces;
    for (const TokenId id : tokenizer->encode(text, false))
        pieces.emplace_back(tokenizer->bytes(id));
    return pieces;
}

struct GoldenCut {
    std::string text;
    Pieces qwen2;
    Pieces llama3;  // empty: the same
    Pieces gpt2;    // empty: the same
};

TEST(ByteLevel, TextIsCutAsTheGoldenSplitsSay) {
    const std::vector<GoldenCut> golden{
        {"I'll DON'T we'Ve",
         {"I", "'ll", " DON", "'T", " we", "'Ve"},
         {},
         {"I", "'ll", " DON", "'", "T", " we", "'", "Ve"}},
        {"  two  spaces ", {" ", " two", " ", " spaces", " "}, {}, {}},
        {"x=1234;",
         {"x", "=", "1", "2", "3", "4", ";"},
         {"x", "=", "123", "4", ";"},
         {"x", "=", "1234", ";"}},
        {"3.14e10",
         {"3", ".", "1", "4", "e", "1", "0"},
         {"3", ".", "14", "e", "10"},
         {"3", ".", "14", "e", "10"}},
        {"a\n\n b", {"a", "\n\n", " b"}, {}, {}},
        {"tab\t\tend\n", {"tab", "\t", "\tend", "\n"}, {}, {"tab", "\t", "\t", "end", "\n"}},
        {"   \n  x", {"   \n", " ", " x"}, {}, {"   \n ", " x"}},
        {"foo_bar::baz(1)",
         {"foo", "_bar", "::", "baz", "(", "1", ")"},
         {},
         {"foo", "_", "bar", "::", "baz", "(", "1", ")"}},
        {"don\u2019t", {"don", "\u2019t"}, {}, {"don", "\u2019", "t"}},
        {"_a -b .c", {"_a", " -", "b", " .", "c"}, {}, {"_", "a", " -", "b", " .", "c"}},
        {"e\u0301t\u00E9", {"e", "\u0301t\u00E9"}, {}, {"e", "\u0301", "t\u00E9"}},
        {"\u00BC \u00BD \u2167 \u0663",
         {"\u00BC", " ", "\u00BD", " ", "\u2167", " ", "\u0663"},
         {},
         {"\u00BC", " \u00BD", " \u2167", " \u0663"}},
        {"\u00A0nbsp\u3000wide",
         {"\u00A0nbsp", "\u3000wide"},
         {},
         {"\u00A0", "nbsp", "\u3000", "wide"}},
        {"'s 'S", {"'s", " '", "S"}, {}, {}},
    };
    for (const GoldenCut& each : golden) {
        const Pieces& llama3 = each.llama3.empty() ? each.qwen2 : each.llama3;
        const Pieces& gpt2 = each.gpt2.empty() ? each.qwen2 : each.gpt2;
        EXPECT_EQ(cut("qwen2", each.text, each.qwen2), each.qwen2) << each.text;
        EXPECT_EQ(cut("llama-bpe", each.text, llama3), llama3) << each.text;
        EXPECT_EQ(cut("gpt-2", each.text, gpt2), gpt2) << each.text;
    }
    EXPECT_EQ(cut("starcoder", "x1 23", {"x", "1", " ", "2", "3"}),
              (Pieces{"x", "1", " ", "2", "3"}));
}

// "hello" by the merges l+l, he, ll+o; a piece that no merge makes; specials.
Vocabulary hello_vocabulary(bool ignore_merges = false) {
    Vocabulary vocabulary =
        words_vocabulary("qwen2", {"ll", "he", "llo", "hel", "hello", " h", "whole", "\u00E9"});
    const MergeReader reader(vocabulary.pieces, "hello");
    ByteLevel& level = *vocabulary.byte_level;
    for (const char* merge : {"l l", "h e", "ll o", "he l", "he llo", "\u0120 h", "\u00C3 \u00A9"})
        level.merges.push_back(reader.read(merge));
    level.ignore_merges = ignore_merges;
    level.nfc = true;
    VocabularyBuilder builder;
    builder.vocabulary = std::move(vocabulary);
    builder.add("<|im_start|>", PieceKind::control);
    builder.vocabulary.eos = builder.add("<|im_end|>", PieceKind::control);
    builder.add("<think>", PieceKind::user_defined);
    builder.add("[INST]", PieceKind::control);
    return builder.vocabulary;
}

Pieces pieces_of(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
    Pieces pieces;
    pieces.reserve(ids.size());
    for (const TokenId id : ids)
        pieces.emplace_back(tokenizer.piece(id));
    return pieces;
}

TEST(ByteLevel, TheLowestRankMergesFirstAndTheLeftmostAmongEquals) {
    const auto tokenizer = make_byte_level_bpe(hello_vocabulary(), "hello");
    const auto pieces = [&](const char* text) {
        return pieces_of(*tokenizer, tokenizer->encode(text, false));
    };
    EXPECT_EQ(pieces("hello"), (Pieces{"hello"}));  // not hel + lo
    EXPECT_EQ(pieces("lll"), (Pieces{"ll", "l"}));
    EXPECT_EQ(pieces("llll"), (Pieces{"ll", "ll"}));
    EXPECT_EQ(pieces(" hello"), (Pieces{"\u0120", "hello"}));
    EXPECT_EQ(pieces("whole"), (Pieces{"w", "h", "o", "l", "e"}));
    EXPECT_TRUE(pieces("").empty());
    const auto whole = make_byte_level_bpe(hello_vocabulary(true), "hello");
    EXPECT_EQ(pieces_of(*whole, whole->encode("whole", false)), (Pieces{"whole"}));
}

TEST(ByteLevel, ALongWordIsMergedInNoMoreThanItsLength) {
    const auto tokenizer = make_byte_level_bpe(hello_vocabulary(), "hello");
    const std::vector<TokenId> ids = tokenizer->encode(std::string(100'001, 'l'), false);
    EXPECT_EQ(ids.size(), 50'001U);
}

TEST(ByteLevel, TextIsComposedWhereTheVocabularyAsksForIt) {
    const auto tokenizer = make_byte_level_bpe(hello_vocabulary(), "hello");
    EXPECT_EQ(tokenizer->encode("e\u0301", false), tokenizer->encode("\u00E9", false));
    EXPECT_EQ(tokenizer->encode("\u00E9", false).size(), 1U);
    Vocabulary plain = hello_vocabulary();
    plain.byte_level->nfc = false;
    const auto other = make_byte_level_bpe(std::move(plain), "hello");
    EXPECT_EQ(other->encode("e\u0301", false).size(), 3U);
}

TEST(ByteLevel, SpecialPiecesComeFromTheFormatAndVisibleOnesFromText) {
    const auto tokenizer = make_byte_level_bpe(hello_vocabulary(), "hello");
    EXPECT_EQ(tokenizer->encode("<|im_end|>", true), (std::vector<TokenId>{*tokenizer->eos()}));
    EXPECT_EQ(tokenizer->encode("<|im_end|>", false).size(), 10U);
    EXPECT_EQ(tokenizer->encode("[INST]", true).size(), 6U);
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("ll<think>ll", false)),
              (Pieces{"ll", "<think>", "ll"}));
    EXPECT_EQ(tokenizer->bytes(*tokenizer->find_piece("<think>")), "<think>");
    EXPECT_EQ(tokenizer->bytes(*tokenizer->eos()), "");
    EXPECT_EQ(tokenizer->end_of_generation(), (std::vector<TokenId>{*tokenizer->eos()}));
}

TEST(ByteLevel, AnyTextComesBackFromItsIds) {
    const auto tokenizer = make_byte_level_bpe(hello_vocabulary(), "hello");
    for (const char* text : {"hello  world\n\n\t1234 \u4E16\u754C \U0001F642", " ", "a\x01\x7F"}) {
        Detokenizer detokenizer(*tokenizer, {}, tokenizer->dummy_prefix());
        std::string back;
        for (const TokenId id : tokenizer->encode(text, false))
            back += detokenizer.push(id);
        EXPECT_EQ(back + detokenizer.finish(), text);
    }
}

// The metadata of a vocabulary as a GGUF file has them.
class VocabularyFile {
  public:
    explicit VocabularyFile(const Vocabulary& vocabulary) {
        for (const auto& entry : gguf_vocabulary(vocabulary, "x"))
            std::visit([&](const auto& held) { file.set(entry.first, held); }, entry.second.value);
    }
    MetaFile file;
};

TEST(ByteLevel, AGgufGivesTheVocabularyBackThatItWasGiven) {
    Vocabulary vocabulary = hello_vocabulary();
    vocabulary.bos = 256;
    vocabulary.turn_ends = {257};
    const VocabularyFile written(vocabulary);
    const Vocabulary read = read_gguf_vocabulary(written.file);
    EXPECT_EQ(read.pieces, vocabulary.pieces);
    EXPECT_EQ(read.kinds, vocabulary.kinds);
    EXPECT_EQ(read.byte_level->merges, vocabulary.byte_level->merges);
    EXPECT_EQ(read.byte_level->patterns, vocabulary.byte_level->patterns);
    EXPECT_EQ(read.byte_level->nfc, vocabulary.byte_level->nfc);
    EXPECT_EQ(read.bos, vocabulary.bos);
    EXPECT_EQ(read.eos, vocabulary.eos);
    EXPECT_EQ(read.turn_ends, vocabulary.turn_ends);
    EXPECT_FALSE(read.add_bos);
    EXPECT_FALSE(read.dummy_prefix);
}

std::string refusal(auto read) {
    try {
        read();
    } catch (const Error& error) {
        return error.kind() == ErrorKind::model_unusable ? error.what() : "another kind of error";
    }
    return "accepted";
}

TEST(ByteLevel, AGgufThatDoesNotSayHowItCutsTextIsRefused) {
    const auto refused = [](auto change) {
        VocabularyFile written(hello_vocabulary());
        change(written.file);
        return refusal([&] { load_tokenizer(written.file); });
    };
    EXPECT_EQ(refused([](MetaFile&) {}), "accepted");
    EXPECT_EQ(
        refused([](MetaFile& file) { file.set("tokenizer.ggml.pre", std::string("viking")); }),
        "meta.gguf: tokenizer.ggml.pre is \"viking\", known are qwen2, grok-2, llama-bpe, "
        "dbrx, gpt-2, starcoder, tekken");
    EXPECT_EQ(refused([](MetaFile& file) {
                  file.set_array("tokenizer.ggml.merges", std::vector<std::string>{"l zz"});
              }),
              "meta.gguf: a merge has the part \"zz\", which is no piece");
    EXPECT_EQ(refused([](MetaFile& file) {
                  file.set_array("tokenizer.ggml.merges", std::vector<std::string>{"ll"});
              }),
              "meta.gguf: the merge \"ll\" has no two parts");
    EXPECT_EQ(refused([](MetaFile& file) {
                  file.set_array("tokenizer.ggml.merges", std::vector<std::string>{"o l"});
              }),
              "meta.gguf: a merge makes \"ol\", which is no piece");
}

// --- JSON -------------------------------------------------------------------------------------

std::string json_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

// The vocabulary of hello_vocabulary() as Hugging Face writes it.
std::string hello_json(bool pairs) {
    const Vocabulary vocabulary = hello_vocabulary();
    std::string vocab;
    std::string added;
    for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
        const std::string piece = json_string(vocabulary.pieces[id]);
        if (vocabulary.kinds[id] == PieceKind::normal) {
            vocab += (vocab.empty() ? "" : ",") + piece + ":" + std::to_string(id);
            continue;
        }
        const bool special = vocabulary.kinds[id] == PieceKind::control;
        added += (added.empty() ? "" : ",") + std::string("{\"id\":") + std::to_string(id) +
                 ",\"content\":" + piece + ",\"special\":" + (special ? "true" : "false") + "}";
    }
    std::string merges;
    for (const auto& [left, right] : vocabulary.byte_level->merges) {
        const std::string& l = vocabulary.pieces[static_cast<size_t>(left)];
        const std::string& r = vocabulary.pieces[static_cast<size_t>(right)];
        if (!merges.empty()) merges += ',';
        if (pairs) {
            merges.append("[")
                .append(json_string(l))
                .append(",")
                .append(json_string(r))
                .append("]");
        } else {
            std::string spaced = l;
            merges += json_string(spaced.append(" ").append(r));
        }
    }
    const std::string regex =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    return R"({"added_tokens":[)" + added + R"(],"normalizer":{"type":"NFC"},)" +
           R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)" +
           json_string(regex) +
           R"(},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,)" +
           R"("use_regex":false}]},"post_processor":{"type":"TemplateProcessing","single":[)" +
           R"({"SpecialToken":{"id":"<|im_start|>","type_id":0}},{"Sequence":{"id":"A"}}],)" +
           R"("special_tokens":{"<|im_start|>":{"id":"<|im_start|>","ids":[)" +
           std::to_string(vocabulary.pieces.size() - 4) +
           R"(]}}},"model":{"type":"BPE","vocab":{)" + vocab + R"(},"merges":[)" + merges + "]}}";
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

TEST(ByteLevel, ATokenizerJsonIsTheSameVocabulary) {
    const Vocabulary expected = hello_vocabulary();
    for (const bool pairs : {false, true}) {
        const Vocabulary read = read_tokenizer_json(bytes_of(hello_json(pairs)), "tokenizer.json");
        EXPECT_EQ(read.pieces, expected.pieces);
        EXPECT_EQ(read.kinds, expected.kinds);
        EXPECT_EQ(read.byte_level->merges, expected.byte_level->merges);
        EXPECT_EQ(read.byte_level->patterns, expected.byte_level->patterns);
        EXPECT_TRUE(read.byte_level->nfc);
        EXPECT_TRUE(read.add_bos);
        EXPECT_EQ(read.pieces[static_cast<size_t>(*read.bos)], "<|im_start|>");
    }
}

TEST(ByteLevel, WhatWouldChangeIdsInATokenizerJsonIsRefused) {
    const auto refused = [](const std::string& from, const std::string& to) {
        std::string text = hello_json(false);
        const size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        text.replace(at, from.size(), to);
        return refusal([&] { read_tokenizer_json(bytes_of(text), "t.json"); });
    };
    EXPECT_EQ(refused("\"BPE\"", "\"Unigram\""),
              "t.json: its tokenizer is of the kind \"Unigram\", only BPE is supported");
    EXPECT_EQ(refused("\"NFC\"", "\"Lowercase\"").substr(0, 50),
              "t.json: its normalizer is of the kind \"Lowercase\",");
    EXPECT_EQ(refused("\"add_prefix_space\":false", "\"add_prefix_space\":true"),
              "t.json: its pre-tokenizer puts a space in front, which is not supported");
    EXPECT_EQ(refused("Isolated", "Removed"),
              "t.json: its pre-tokenizer splits otherwise than by isolating matches");
    EXPECT_EQ(refused("\"l l\"", "\"l \""), "t.json: a merge has the part \"\", which is no piece");
    EXPECT_EQ(refused("\"special\":true", "\"special\":7").substr(0, 27),
              "t.json: does not make sense");
    EXPECT_EQ(refused("\"added_tokens\":[", "\"x\":" + std::string(40, '[')).substr(0, 7),
              "t.json:");
}

TEST(ByteLevel, AnExpressionThatPcreRefusesIsTold) {
    Vocabulary vocabulary = hello_vocabulary();
    vocabulary.byte_level->patterns = {"(a"};
    EXPECT_EQ(refusal([&] { make_byte_level_bpe(vocabulary, "x"); }).substr(0, 40),
              "x: its pre-tokenizer has an expression t");
    // One that needs more steps than any honest one ends in a sentence too.
    vocabulary.byte_level->patterns = {"(?:(?:l|ll)+)+[!?]"};
    const auto tokenizer = make_byte_level_bpe(vocabulary, "x");
    EXPECT_EQ(refusal([&] { tokenizer->encode(std::string(200, 'l'), false); }).substr(0, 48),
              "x: the expression of its pre-tokenizer cannot be");
}

TEST(ByteLevel, Grok2sTokenFileHasTheIdAsRank) {
    std::string tokens;
    for (unsigned byte = 0; byte < 256; ++byte)
        tokens += (byte == 0 ? "" : ",") + std::string("{\"bytes\":[") + std::to_string(byte) +
                  "],\"token\":" + std::to_string(byte + 3) + "}";
    // ll, he, llo, hello
    tokens += R"(,{"bytes":[108,108],"token":259},{"bytes":[104,101],"token":260},)"
              R"({"bytes":[108,108,111],"token":261},{"bytes":[104,101,108,108,111],"token":262})";
    const std::string text =
        R"({"word_split":"V1","regular_tokens":[)" + tokens +
        R"(],"special_tokens":[{"bytes":[60,124,112,97,100,124,62],"token":0},)"
        R"({"bytes":[60,124,115,124,62],"token":1},)"
        R"({"bytes":[60,124,101,111,115,124,62],"token":2}]})";
    Vocabulary vocabulary = read_tok_json(bytes_of(text), "tok");
    EXPECT_EQ(vocabulary.eos, 2);
    EXPECT_EQ(vocabulary.byte_level->merges.size(), 4U);
    const auto tokenizer = make_byte_level_bpe(std::move(vocabulary), "tok");
    EXPECT_EQ(tokenizer->encode("hello", false), (std::vector<TokenId>{262}));
    EXPECT_EQ(tokenizer->encode("lllo", false), (std::vector<TokenId>{259, 111, 114}));
    EXPECT_EQ(tokenizer->encode("<|s|>", true), (std::vector<TokenId>{1}));
}

// Llama 2 and Mixtral in the newer form: SentencePiece's kind in a tokenizer.json.
TEST(ByteLevel, ATokenizerJsonOfSentencePiecesKindIsReadAsSuch) {
    std::string vocab = R"("<unk>":0,"<s>":1,"</s>":2)";
    int id = 3;
    for (unsigned byte = 0; byte < 256; ++byte) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", byte);
        vocab += ",\"" + std::string(name) + "\":" + std::to_string(id++);
    }
    for (const char* piece : {"\u2581", "h", "i", "hi", "\u2581hi"})
        vocab += ",\"" + std::string(piece) + "\":" + std::to_string(id++);
    const std::string text =
        R"({"added_tokens":[{"id":0,"content":"<unk>","special":true},{"id":1,"content":"<s>",)"
        R"("special":true},{"id":2,"content":"</s>","special":true}],"normalizer":{"type":)"
        R"("Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace",)"
        R"("pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,"model":{"type":"BPE",)"
        R"("unk_token":"<unk>","byte_fallback":true,"vocab":{)" +
        vocab + R"(},"merges":["h i","▁ hi"]}})";
    const Vocabulary vocabulary = read_tokenizer_json(bytes_of(text), "llama");
    EXPECT_FALSE(vocabulary.byte_level);
    EXPECT_TRUE(vocabulary.dummy_prefix);
    EXPECT_EQ(vocabulary.kinds[0], PieceKind::unknown);
    const auto tokenizer = make_sentencepiece(vocabulary, "llama");
    EXPECT_EQ(pieces_of(*tokenizer, tokenizer->encode("hi hi\n", false)),
              (Pieces{"\u2581hi", "\u2581hi", "<0x0A>"}));
}

}  // namespace
}  // namespace core
