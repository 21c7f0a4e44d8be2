// Reasoning in front of an answer.
#include "app/thinking.h"

#include <string>

#include <gtest/gtest.h>

namespace app {
namespace {

ThinkingFilter::Piece split_at_every_byte(const std::string& text) {
    ThinkingFilter filter;
    ThinkingFilter::Piece all;
    const auto add = [&all](const ThinkingFilter::Piece& piece) {
        all.said += piece.said;
        all.thought += piece.thought;
    };
    for (const char c : text)
        add(filter.take(std::string(1, c)));
    add(filter.rest());
    return all;
}

TEST(Thinking, IsTakenOutWhereverTheTextIsCut) {
    const std::string text = "\n<think>a < b </thin\nso</think>\n\nIt is <think> b";
    const auto bytes = split_at_every_byte(text);
    EXPECT_EQ(bytes.thought, "a < b </thin\nso");
    EXPECT_EQ(bytes.said, "It is <think> b");
    ThinkingFilter whole;
    const auto piece = whole.take(text);
    EXPECT_EQ(piece.thought, bytes.thought);
    EXPECT_EQ(piece.said, bytes.said);
}

TEST(Thinking, AnAnswerWithoutItStaysAsItIs) {
    for (const std::string text : {"", "  <thinker> x", "<thi", "\n\nhello </think>", "plain"}) {
        EXPECT_EQ(split_at_every_byte(text).said, text);
        EXPECT_EQ(split_at_every_byte(text).thought, "");
    }
}

TEST(Thinking, ThatIsCutOffIsNoAnswer) {
    const auto piece = split_at_every_byte("<think>and then");
    EXPECT_EQ(piece.said, "");
    EXPECT_EQ(piece.thought, "and then");
}

}  // namespace
}  // namespace app
