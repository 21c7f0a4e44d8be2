#include "app/train/text_codec.h"

#include <gtest/gtest.h>

namespace train {
namespace {

core::Vocabulary small_vocabulary() {
    core::Vocabulary vocabulary;
    const auto add = [&](std::string piece, core::PieceKind kind, float score = 0) {
        vocabulary.pieces.push_back(std::move(piece));
        vocabulary.kinds.push_back(kind);
        vocabulary.scores.push_back(score);
    };
    add("<|separator|>", core::PieceKind::control);
    add("\n", core::PieceKind::user_defined);
    add("\n\n", core::PieceKind::user_defined);
    constexpr std::string_view kHex = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; ++byte) {
        add(std::string("<0x") + kHex[byte >> 4] + kHex[byte & 15] + ">", core::PieceKind::byte);
    }
    add("▁a", core::PieceKind::normal, -1);
    add("ab", core::PieceKind::normal, -2);
    add("▁ab", core::PieceKind::normal, -3);
    for (const char* piece : {"▁", "a", "b"})
        add(piece, core::PieceKind::normal, -9);
    return vocabulary;
}

std::vector<std::string> pieces(const TextCodec& codec, const std::vector<int64_t>& ids) {
    std::vector<std::string> result;
    for (const int64_t id : ids)
        result.push_back(codec.decode({id}));
    return result;
}

TEST(TextCodec, merges_the_highest_score_first) {
    const TextCodec codec(small_vocabulary());
    EXPECT_EQ(pieces(codec, codec.encode(" ab")), (std::vector<std::string>{" ab"}));
    EXPECT_EQ(pieces(codec, codec.encode(" aab")), (std::vector<std::string>{" a", "ab"}));
}

TEST(TextCodec, takes_the_longest_user_defined_piece_and_no_control_piece) {
    const TextCodec codec(small_vocabulary());
    EXPECT_EQ(pieces(codec, codec.encode("a\n\n\nb")),
              (std::vector<std::string>{"a", "\n\n", "\n", "b"}));
    for (const int64_t id : codec.encode("<|separator|>"))
        EXPECT_NE(id, codec.id("<|separator|>"));
}

TEST(TextCodec, unknown_characters_become_their_bytes_and_come_back) {
    const TextCodec codec(small_vocabulary());
    const auto ids = codec.encode("é");
    ASSERT_EQ(ids.size(), 2U);
    EXPECT_EQ(ids[0], codec.id("<0xC3>"));
    EXPECT_EQ(codec.decode(ids), "é");
}

}  // namespace
}  // namespace train
