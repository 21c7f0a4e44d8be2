// Blocks of code in messages.
#include "app/chat/code_blocks.h"

#include <gtest/gtest.h>

namespace app {
namespace {

TEST(CodeBlocks, AreWhatStandsBetweenFences) {
    const auto blocks = code_blocks(
        "Look:\n```cpp title\nint a;\n```\nand\n~~~\nx ``` y\n````\n~~~\n   "
        "````py\na\n```\nb\n````\n");
    ASSERT_EQ(blocks.size(), 3U);
    EXPECT_EQ(blocks[0].language, "cpp");
    EXPECT_EQ(blocks[0].text, "int a;\n");
    EXPECT_EQ(blocks[1].language, "");
    EXPECT_EQ(blocks[1].text, "x ``` y\n````\n") << "another sign ends no fence";
    EXPECT_EQ(blocks[2].language, "py");
    EXPECT_EQ(blocks[2].text, "a\n```\nb\n") << "neither does a shorter one";
}

TEST(CodeBlocks, OneThatIsStillWrittenGoesToTheEnd) {
    const auto blocks = code_blocks("```sh\necho\nls");
    ASSERT_EQ(blocks.size(), 1U);
    EXPECT_EQ(blocks[0].text, "echo\nls");
    EXPECT_TRUE(code_blocks("no code `here` at all\n    indented").empty());
    EXPECT_EQ(code_blocks("```").size(), 1U);
    EXPECT_TRUE(code_blocks("").empty());
}

}  // namespace
}  // namespace app
