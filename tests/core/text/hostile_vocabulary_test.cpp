// Vocabularies that ask for more work or memory than their size: refused before it is done.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/text/byte_level.h"
#include "core/text/vocabulary.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

using testing::HasSubstr;

std::string refusal(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
        return error.what();
    }
    return "accepted";
}

// Every byte, spelled as byte-level vocabularies do.
Vocabulary all_bytes() {
    VocabularyBuilder builder;
    for (unsigned byte = 0; byte < 256; ++byte)
        builder.add(std::string(spelled_byte(static_cast<uint8_t>(byte))));
    builder.vocabulary.byte_level = ByteLevel{.patterns = {}, .merges = {}};
    return builder.vocabulary;
}

// Added pieces are looked for at every place of a text, with every length there is.
TEST(HostileVocabulary, AddedPiecesAreShortEnoughToBeLookedForEverywhere) {
    Vocabulary vocabulary = tiny_vocabulary();
    const auto longest = std::ranges::find(vocabulary.pieces, "\n\n");
    *longest = std::string(256, '\n');
    EXPECT_EQ(refusal([&] { check_vocabulary(vocabulary, "v"); }), "accepted");
    *longest += '\n';
    EXPECT_THAT(refusal([&] { check_vocabulary(vocabulary, "v"); }),
                HasSubstr("has 257 bytes, an added one has at most 256"));
}

TEST(HostileVocabulary, ExpressionsAreFew) {
    Vocabulary vocabulary = all_bytes();
    vocabulary.byte_level->patterns.assign(16, "\\p{N}");
    EXPECT_EQ(refusal([&] { check_vocabulary(vocabulary, "v"); }), "accepted");
    vocabulary.byte_level->patterns.emplace_back("\\p{N}");
    EXPECT_EQ(refusal([&] { check_vocabulary(vocabulary, "v"); }),
              "v: its pre-tokenizer has 17 expressions, at most 16 are taken");
}

// The merge of a token is searched in the square of its length.
TEST(HostileVocabulary, LongTokensOfATokenFileAreRefusedBeforeTheirMergesAreSought) {
    std::string bytes = "[1";
    for (int i = 1; i < 1024; ++i)
        bytes += ",1";
    bytes += "]";
    std::string tokens;
    for (int id = 0; id < 129; ++id)
        tokens += (id == 0 ? "" : ",") + std::string(R"({"bytes":)") + bytes + R"(,"token":)" +
                  std::to_string(id) + "}";
    const std::string text = R"({"regular_tokens":[)" + tokens + R"(],"special_tokens":[]})";
    EXPECT_EQ(refusal([&] { read_tok_json(std::as_bytes(std::span(text)), "tok"); }),
              "tok: its tokens are too long, taken together");
}

TEST(HostileVocabulary, NestingWithoutEndIsRefusedAtOnce) {
    for (const std::string& text :
         {std::string(1 << 20, '['), std::string(R"({"a":)") + std::string(1 << 20, '{')}) {
        EXPECT_THAT(refusal([&] { read_tokenizer_json(std::as_bytes(std::span(text)), "t.json"); }),
                    HasSubstr("t.json: "));
    }
}

}  // namespace
}  // namespace core
