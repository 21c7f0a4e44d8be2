// Going through the messages: searching, bookmarks, folding, copying code and rows.
#include <string>

#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

class Browsing : public testing::Test {
  protected:
    Browsing() : chat(folder.path()) {
        ::setenv("XDG_RUNTIME_DIR", files.path().c_str(), 1);
        for (const char* variable : {"TMUX", "DISPLAY", "WAYLAND_DISPLAY"})
            ::unsetenv(variable);
        chat.ready();
        chat.converse("tell me of apples", {"Apples are", " red."});
        chat.converse("and pears", {"Pears:\n", "```py\npear()\n```\n", "```sh\nls\n```\n"});
        chat.converse("and plums", {"Plums are not apples."});
        chat.type("\x1b[1;3A");  // M-Up
    }

    std::string copied() const { return support::content_of(files.path() + "/moxie/last-copy"); }
    chat::TurnId here() { return chat.app().browsed(); }

    support::TemporaryFolder files;
    KeptFolder folder;
    KeptChat chat;
};

TEST_F(Browsing, SearchingGoesFromPlaceToPlaceAndAroundTheEnd) {
    EXPECT_EQ(here(), 6U);
    chat.type("/APPLES");
    EXPECT_TRUE(chat.sees("/APPLES▏")) << chat.screen();
    chat.type("\r");
    EXPECT_EQ(here(), 6U);
    chat.type("n");
    EXPECT_EQ(here(), 1U);
    EXPECT_TRUE(chat.sees("around the end")) << chat.screen();
    chat.type("n");
    EXPECT_EQ(here(), 2U);
    chat.type("N");
    EXPECT_EQ(here(), 1U);
    chat.type("N");
    EXPECT_EQ(here(), 6U);
    chat.type("?pears\r");
    EXPECT_EQ(here(), 4U);
    chat.type("n");
    EXPECT_EQ(here(), 3U);
    chat.type("/cherries\r");
    EXPECT_TRUE(chat.sees("no \"cherries\" in this conversation"));
    EXPECT_EQ(chat.app().composer_text(), "") << "nothing of it reached the composer";
}

TEST_F(Browsing, ALetterMarksAMessageAndGoesBackToIt) {
    chat.type("gma");
    EXPECT_TRUE(chat.sees("bookmark a"));
    chat.type("G'a");
    EXPECT_EQ(here(), 1U);
    chat.type("'b");
    EXPECT_TRUE(chat.sees("no bookmark b"));
    EXPECT_EQ(here(), 1U);
}

TEST_F(Browsing, BlocksOfCodeAreCopiedOneAfterAnother) {
    chat.type("gjjjY");
    EXPECT_EQ(copied(), "pear()\n");
    EXPECT_TRUE(chat.sees("copied the block of code 1 of 2"));
    chat.type("Y");
    EXPECT_EQ(copied(), "ls\n");
    chat.type("jY");
    EXPECT_TRUE(chat.sees("no block of code"));
    chat.type("q");
    chat.enter("/copy code");
    EXPECT_TRUE(chat.sees("/copy code: the last answer has no block of code")) << chat.screen();
    chat.enter("/undo");
    chat.type("\x18k");
    EXPECT_TRUE(chat.sees("2 blocks of code; say which"));
    EXPECT_EQ(chat.app().composer_text(), "/copy code ");
    chat.type("1\r");
    EXPECT_EQ(copied(), "pear()\n");
}

TEST_F(Browsing, RowsAreChosenAndCopied) {
    chat.type("gjv");
    EXPECT_TRUE(chat.sees("rows: j k more or fewer"));
    chat.type(
        "jj"
        "y");
    EXPECT_EQ(copied(), "Apples are red.\nand pears");
    EXPECT_EQ(here(), 2U) << "the message stays selected";
    chat.type("vjv");
    EXPECT_FALSE(chat.sees("rows: j k"));
}

TEST_F(Browsing, EnterFoldsAMessage) {
    EXPECT_TRUE(chat.sees("pear()"));
    chat.type("kk\r");
    EXPECT_FALSE(chat.sees("pear()")) << chat.screen();
    EXPECT_TRUE(chat.sees("more rows"));
    chat.type("\r");
    EXPECT_TRUE(chat.sees("pear()"));
}

TEST(Bookmarks, SurviveARestartAndAreNotThoseOfAFork) {
    const KeptFolder kept;
    {
        KeptChat first(kept.path());
        first.ready();
        first.converse("one", {"two"});
        first.type("\x1b[1;3Agma");
        EXPECT_TRUE(first.sees("bookmark a"));
    }
    KeptChat again(kept.path(), {.resume = ""});
    again.ready();
    again.until_seen("you ▸ one");
    again.type("\x1b[1;3AG'a");
    EXPECT_EQ(again.app().browsed(), 1U);
    again.type("q");
    again.enter("/fork");
    again.until_seen("goes back to it");
    again.type("\x1b[1;3A'a");
    EXPECT_TRUE(again.sees("no bookmark a"));
}

}  // namespace
}  // namespace app
