// The reader of SentencePiece model files against damage.

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

std::string tiny_model() {
    const Vocabulary vocabulary = tiny_vocabulary();
    return write_sentencepiece_model(vocabulary.pieces, vocabulary.scores, vocabulary.kinds);
}

// "" when it is accepted; the sentence otherwise. Anything but Error fails the test by escaping.
std::string refusal(const std::string& model) {
    try {
        auto vocabulary = read_sentencepiece_model(std::as_bytes(std::span(model)), "x.model");
        make_sentencepiece(std::move(vocabulary), "x.model")->encode("hello", true);
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        return error.what();
    }
    return "";
}

// A message with one field after the tiny model; later fields win.
std::string with_normalizer(const std::string& fields) {
    return tiny_model() + "\x1A" + static_cast<char>(fields.size()) + fields;
}

TEST(SentencePieceModel, ReadsWhatItWrites) {
    const Vocabulary written = tiny_vocabulary();
    const std::string model = tiny_model();
    const Vocabulary read = read_sentencepiece_model(std::as_bytes(std::span(model)), "x.model");
    EXPECT_EQ(read.pieces, written.pieces);
    EXPECT_EQ(read.scores, written.scores);
    EXPECT_EQ(read.kinds, written.kinds);
    EXPECT_FALSE(read.dummy_prefix);
    EXPECT_FALSE(read.add_bos);
}

TEST(SentencePieceModel, TruncationAtEveryByteIsASentence) {
    const std::string model = tiny_model();
    for (size_t length = 0; length < model.size(); ++length)
        EXPECT_NE(refusal(model.substr(0, length)), "") << length;
    EXPECT_EQ(refusal(model), "");
}

TEST(SentencePieceModel, FlippedBitsNeverCrash) {
    const std::string model = tiny_model();
    std::mt19937 random(5);
    size_t refused = 0;
    for (int round = 0; round < 300; ++round) {
        std::string damaged = model;
        for (size_t count = 1 + random() % 3; count > 0; --count)
            damaged[random() % damaged.size()] ^= static_cast<char>(1U << random() % 8);
        refused += refusal(damaged).empty() ? 0 : 1;
    }
    EXPECT_GT(refused, 100U);
}

TEST(SentencePieceModel, HostileLengthsAreASentence) {
    // A piece of 2^63 bytes, a number without an end, a group, a field number 0.
    EXPECT_NE(refusal("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), "");
    EXPECT_EQ(refusal(std::string(11, '\xFF')),
              "x.model: has a number of more than 10 bytes, is it a SentencePiece model?");
    EXPECT_EQ(refusal("\x0B"), "x.model: has a field of wire type 3, is it a SentencePiece model?");
    EXPECT_EQ(refusal(std::string("\0\0", 2)),
              "x.model: has a field number 0, is it a SentencePiece model?");
    EXPECT_EQ(refusal("\x30\x01"), "x.model: has no pieces, is it a SentencePiece model?");
    // A score that is not a float.
    EXPECT_EQ(refusal("\x0A\x05\x0A\x01\x61\x10\x01"),
              "x.model: piece 0: the score has the wire type 0, expected 5");
    EXPECT_EQ(refusal("\x0A\x05\x0A\x01\x61\x18\x09"),
              "x.model: piece 0: the type is 9, expected 1 to 6");
}

TEST(SentencePieceModel, VocabulariesThatNeedMoreAreRefused) {
    EXPECT_EQ(refusal(tiny_model() + "\x12\x02\x18\x01"),
              "x.model: is a unigram vocabulary, only BPE vocabularies are supported");
    EXPECT_EQ(refusal(tiny_model() + "\x12\x02\x18\x04"),
              "x.model: is a vocabulary of model type 4, only BPE vocabularies are supported");
    EXPECT_EQ(refusal(with_normalizer("\x0A\x04nfkc\x12\x02zz")),
              "x.model: its normalizer nfkc rewrites text, only the identity normalizer is "
              "supported");
    EXPECT_EQ(refusal(with_normalizer("\x20\x01")),
              "x.model: its normalizer removes repeated spaces, only vocabularies with "
              "remove_extra_whitespaces = false are supported");
    EXPECT_EQ(refusal(with_normalizer(std::string("\x28\x00", 2))),
              "x.model: its normalizer does not escape spaces, only vocabularies with "
              "escape_whitespaces = true are supported");
    EXPECT_EQ(refusal(tiny_model() + "\x12\x03\xC0\x01\x01"),
              "x.model: treats spaces as suffixes, only vocabularies with spaces as prefixes are "
              "supported");
}

TEST(SentencePieceModel, FilesThatAreNoModelAreASentence) {
    const auto folder = std::filesystem::path(testing::TempDir()) / "moxie_model_test";
    std::filesystem::create_directories(folder);
    const auto loaded = [&](const std::string& contents) -> std::string {
        const std::string path = (folder / "file").string();
        std::ofstream(path, std::ios::binary) << contents;
        try {
            load_tokenizer(path);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
            return error.problem();
        }
        return "";
    };
    EXPECT_EQ(loaded(""), "is empty");
    EXPECT_NE(loaded("Hello, this is a text file.\n"), "");
    EXPECT_NE(loaded("GGUF"), "");
    EXPECT_EQ(loaded(tiny_model()), "");
    EXPECT_THROW(load_tokenizer((folder / "nowhere").string()), Error);
    std::filesystem::remove_all(folder);
}

TEST(SentencePieceModel, TheRealOneSurvivesTruncation) {
    const auto folder = shared_data();
    if (folder.empty()) GTEST_SKIP() << "the shared tokenizers are missing";
    std::ifstream in(folder / "tokenizers" / "grok-1.model", std::ios::binary);
    const std::string model{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    std::mt19937 random(6);
    for (int round = 0; round < 10; ++round) {
        const size_t length = random() % 20000;
        EXPECT_NE(refusal(model.substr(0, length)), "") << length;
    }
}

}  // namespace
}  // namespace core
