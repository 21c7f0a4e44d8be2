// Reasoning in front of an answer.
#include "app/session/thinking.h"

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

TEST(Reasoning, IsFoundInTheWholeTextAsTheFilterTellsIt) {
    const std::string text = "\n<think>\na < b </thin\nso\n</think>\n\nIt is <think> b";
    const Reasoning found = reasoning_of(text, true);
    EXPECT_TRUE(found.there);
    EXPECT_EQ(text.substr(found.begin, found.end - found.begin), "a < b </thin\nso");
    EXPECT_EQ(text.substr(found.answer), "It is <think> b");
    EXPECT_FALSE(reasoning_of("<thinker> x", true).there);
    EXPECT_EQ(reasoning_of("<thinker> x", true).answer, 0U);
    EXPECT_EQ(reasoning_of("  <thi", true).answer, 0U) << "it is complete, so that is no tag";
}

TEST(Reasoning, OnlyGrowsWithTheText) {
    const std::string text = " <think> one </thi two </think> three";
    Reasoning before;
    bool said = false;
    for (size_t size = 0; size <= text.size(); ++size) {
        const Reasoning now = reasoning_of(text.substr(0, size), false);
        EXPECT_GE(now.end, before.end) << size;
        EXPECT_TRUE(now.there || !before.there) << size;
        said = said || (now.there && now.answer < size);
        EXPECT_TRUE(said || now.answer == size) << "nothing of it is shown as an answer";
        before = now;
    }
    EXPECT_TRUE(said);
    EXPECT_EQ(text.substr(before.begin, before.end - before.begin), "one </thi two");
    EXPECT_EQ(text.substr(before.answer), "three");
}

}  // namespace
}  // namespace app
