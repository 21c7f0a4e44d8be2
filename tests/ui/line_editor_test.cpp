// readline behind our fences: editing, rows, history, searches, pastes, and that it never blocks.
#include "ui/line_editor.h"

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "ui/locale.h"

namespace ui {
namespace {

class LineEditorTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        ui::use_utf8_locale();
        ::setenv("INPUTRC", "/dev/null", 1);
        ::setenv("TERM", "xterm-256color", 1);
    }
    LineEditor editor_;
};

TEST_F(LineEditorTest, EnvironmentKeepsNoSize) {
    EXPECT_EQ(std::getenv("LINES"), nullptr);
    EXPECT_EQ(std::getenv("COLUMNS"), nullptr);
}

TEST_F(LineEditorTest, EditsAndAcceptsALine) {
    editor_.feed("hello world");
    editor_.feed("\x17");  // C-w
    EXPECT_EQ(editor_.text(), "hello ");
    editor_.feed("\x19!");  // C-y
    EXPECT_EQ(editor_.text(), "hello world!");
    EXPECT_EQ(editor_.take_line(), std::nullopt);
    editor_.feed("\r");
    EXPECT_EQ(editor_.take_line(), "hello world!");
    EXPECT_EQ(editor_.take_line(), std::nullopt);
    EXPECT_EQ(editor_.text(), "");
}

TEST_F(LineEditorTest, CursorMovesByCharactersOfSeveralBytes) {
    editor_.feed("日本🙂");
    EXPECT_EQ(editor_.cursor(), 10U);
    editor_.feed("\x02");  // C-b
    EXPECT_EQ(editor_.cursor(), 6U);
    editor_.feed("\x7f");
    EXPECT_EQ(editor_.text(), "日🙂");
}

TEST_F(LineEditorTest, NewlinesAreCharactersOfTheLine) {
    editor_.feed("one\ntwo\x1b\rthree");
    EXPECT_EQ(editor_.text(), "one\ntwo\nthree");
    EXPECT_EQ(editor_.take_line(), std::nullopt);
    editor_.feed("\x01");  // C-a: begin of the row
    EXPECT_EQ(editor_.cursor(), 8U);
    editor_.feed("\x0b");  // C-k: to its end
    EXPECT_EQ(editor_.text(), "one\ntwo\n");
    editor_.feed("\r");
    EXPECT_EQ(editor_.take_line(), "one\ntwo\n");
}

TEST_F(LineEditorTest, KillToEndAtTheEndOfARowJoinsIt) {
    editor_.feed("one\ntwo");
    editor_.move_cursor(3);
    editor_.feed("\x0b");
    EXPECT_EQ(editor_.text(), "onetwo");
}

TEST_F(LineEditorTest, PasteGoesInAsItIsAndIsOneUndo) {
    editor_.feed("x");
    editor_.paste("one\ntwo\tthree\x03");
    EXPECT_EQ(editor_.text(), "xone\ntwo\tthree\x03");
    EXPECT_EQ(editor_.take_line(), std::nullopt);
    editor_.feed("\x1f");  // C-_
    EXPECT_EQ(editor_.text(), "x");
}

TEST_F(LineEditorTest, ALargePasteIsTaken) {
    const std::string text(100'000, 'x');
    editor_.paste(text);
    EXPECT_EQ(editor_.text(), text);
}

TEST_F(LineEditorTest, HistoryAndItsSearch) {
    editor_.add_history("first prompt");
    editor_.add_history("zweiter Prompt mit Ümlaut");
    editor_.feed("\x10");  // C-p
    EXPECT_EQ(editor_.text(), "zweiter Prompt mit Ümlaut");
    editor_.feed("\x10");
    EXPECT_EQ(editor_.text(), "first prompt");
    editor_.feed("\x0e\x0e");
    EXPECT_EQ(editor_.text(), "");
    editor_.feed("\x12");  // C-r
    EXPECT_TRUE(editor_.wants_all_keys());
    editor_.feed("Ü");
    EXPECT_EQ(editor_.text(), "zweiter Prompt mit Ümlaut");
    EXPECT_NE(editor_.prompt().find("Ü"), std::string::npos);
    editor_.abort();
    EXPECT_FALSE(editor_.wants_all_keys());
    EXPECT_EQ(editor_.prompt(), "");
    EXPECT_EQ(editor_.text(), "");
}

TEST_F(LineEditorTest, RepeatedLinesAreOnceInTheHistory) {
    editor_.add_history("same");
    editor_.add_history("same");
    editor_.feed("\x10\x10");
    EXPECT_EQ(editor_.text(), "same");
    editor_.feed("\x0e");
    EXPECT_EQ(editor_.text(), "");
}

TEST_F(LineEditorTest, QuotedInsertTakesTheNextKeyWhateverItIs) {
    editor_.feed("\x16");
    EXPECT_TRUE(editor_.wants_all_keys());
    editor_.feed("\x03");
    EXPECT_FALSE(editor_.wants_all_keys());
    EXPECT_EQ(editor_.text(), "\x03");
    editor_.feed("\x16\x1b");
    EXPECT_EQ(editor_.text(), "\x03\x1b");
}

TEST_F(LineEditorTest, NumericArgumentsWantTheNextKey) {
    editor_.feed(
        "\x1b"
        "3");
    EXPECT_TRUE(editor_.wants_all_keys());
    EXPECT_NE(editor_.prompt(), "");
    editor_.feed("x");
    EXPECT_EQ(editor_.text(), "xxx");
    EXPECT_FALSE(editor_.wants_all_keys());
}

TEST_F(LineEditorTest, KilledLineComesBack) {
    editor_.feed("precious text");
    editor_.kill_line();
    EXPECT_EQ(editor_.text(), "");
    editor_.feed("\x19");
    EXPECT_EQ(editor_.text(), "precious text");
}

TEST_F(LineEditorTest, TabCompletesOneMatchAndTellsOfSeveral) {
    editor_.set_completer([](std::string_view line) -> std::vector<std::string> {
        if (line == "/he") return {"/help"};
        if (line == "/s") return {"/set", "/show", "/system"};
        return {};
    });
    editor_.feed("/he\t");
    EXPECT_EQ(editor_.text(), "/help ");
    editor_.set_text("/s");
    editor_.feed("\t");
    editor_.feed("\t");
    EXPECT_EQ(editor_.text(), "/s");
    EXPECT_EQ(editor_.candidates(), (std::vector<std::string>{"/set", "/show", "/system"}));
    editor_.feed("x");
    EXPECT_TRUE(editor_.candidates().empty());
    editor_.set_text("no completion");
    editor_.feed("\t");
    EXPECT_EQ(editor_.text(), "no completion");
}

TEST_F(LineEditorTest, ShiftTabGoesBackwardsThroughTheCompletionsAndTabOnFromThere) {
    editor_.set_completer([](std::string_view line) -> std::vector<std::string> {
        if (line == "/s") return {"/set", "/show", "/system"};
        return {};
    });
    editor_.feed("/s");
    editor_.feed("\t");
    editor_.feed("\x1b[Z");
    EXPECT_EQ(editor_.text(), "/system ");
    EXPECT_EQ(editor_.candidates().size(), 3U);
    editor_.feed("\x1b[Z");
    EXPECT_EQ(editor_.text(), "/show ");
    editor_.feed("\t");
    EXPECT_EQ(editor_.text(), "/system ");
    editor_.feed("x");
    EXPECT_EQ(editor_.text(), "/system x");
    EXPECT_TRUE(editor_.candidates().empty());
    editor_.set_text("/s");
    editor_.feed("\t");
    EXPECT_EQ(editor_.text(), "/s") << "another key ends it";
}

}  // namespace
}  // namespace ui
