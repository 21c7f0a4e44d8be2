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
        // No thread yet.
        ::setenv("INPUTRC", "/dev/null", 1);
        ::setenv("TERM", "xterm-256color", 1);
    }
    LineEditor editor;
};

TEST_F(LineEditorTest, EnvironmentKeepsNoSize) {
    // No thread is there that could change it.
    EXPECT_EQ(std::getenv("LINES"), nullptr);
    EXPECT_EQ(std::getenv("COLUMNS"), nullptr);
}

TEST_F(LineEditorTest, EditsAndAcceptsALine) {
    editor.feed("hello world");
    editor.feed("\x17");  // C-w
    EXPECT_EQ(editor.text(), "hello ");
    editor.feed("\x19!");  // C-y
    EXPECT_EQ(editor.text(), "hello world!");
    EXPECT_EQ(editor.take_line(), std::nullopt);
    editor.feed("\r");
    EXPECT_EQ(editor.take_line(), "hello world!");
    EXPECT_EQ(editor.take_line(), std::nullopt);
    EXPECT_EQ(editor.text(), "");
}

TEST_F(LineEditorTest, CursorMovesByCharactersOfSeveralBytes) {
    editor.feed("日本🙂");
    EXPECT_EQ(editor.cursor(), 10U);
    editor.feed("\x02");  // C-b
    EXPECT_EQ(editor.cursor(), 6U);
    editor.feed("\x7f");
    EXPECT_EQ(editor.text(), "日🙂");
}

TEST_F(LineEditorTest, NewlinesAreCharactersOfTheLine) {
    editor.feed("one\ntwo\x1b\rthree");
    EXPECT_EQ(editor.text(), "one\ntwo\nthree");
    EXPECT_EQ(editor.take_line(), std::nullopt);
    editor.feed("\x01");  // C-a: begin of the row
    EXPECT_EQ(editor.cursor(), 8U);
    editor.feed("\x0b");  // C-k: to its end
    EXPECT_EQ(editor.text(), "one\ntwo\n");
    editor.feed("\r");
    EXPECT_EQ(editor.take_line(), "one\ntwo\n");
}

TEST_F(LineEditorTest, KillToEndAtTheEndOfARowJoinsIt) {
    editor.feed("one\ntwo");
    editor.move_cursor(3);
    editor.feed("\x0b");
    EXPECT_EQ(editor.text(), "onetwo");
}

TEST_F(LineEditorTest, PasteGoesInAsItIsAndIsOneUndo) {
    editor.feed("x");
    editor.paste("one\ntwo\tthree\x03");
    EXPECT_EQ(editor.text(), "xone\ntwo\tthree\x03");
    EXPECT_EQ(editor.take_line(), std::nullopt);
    editor.feed("\x1f");  // C-_
    EXPECT_EQ(editor.text(), "x");
}

TEST_F(LineEditorTest, ALargePasteIsTaken) {
    const std::string text(100'000, 'x');
    editor.paste(text);
    EXPECT_EQ(editor.text(), text);
}

TEST_F(LineEditorTest, HistoryAndItsSearch) {
    editor.add_history("first prompt");
    editor.add_history("zweiter Prompt mit Ümlaut");
    editor.feed("\x10");  // C-p
    EXPECT_EQ(editor.text(), "zweiter Prompt mit Ümlaut");
    editor.feed("\x10");
    EXPECT_EQ(editor.text(), "first prompt");
    editor.feed("\x0e\x0e");
    EXPECT_EQ(editor.text(), "");
    editor.feed("\x12");  // C-r
    EXPECT_TRUE(editor.wants_all_keys());
    editor.feed("Ü");
    EXPECT_EQ(editor.text(), "zweiter Prompt mit Ümlaut");
    EXPECT_NE(editor.prompt().find("Ü"), std::string::npos);
    editor.abort();
    EXPECT_FALSE(editor.wants_all_keys());
    EXPECT_EQ(editor.prompt(), "");
    EXPECT_EQ(editor.text(), "");
}

TEST_F(LineEditorTest, RepeatedLinesAreOnceInTheHistory) {
    editor.add_history("same");
    editor.add_history("same");
    editor.feed("\x10\x10");
    EXPECT_EQ(editor.text(), "same");
    editor.feed("\x0e");
    EXPECT_EQ(editor.text(), "");
}

TEST_F(LineEditorTest, QuotedInsertTakesTheNextKeyWhateverItIs) {
    editor.feed("\x16");
    EXPECT_TRUE(editor.wants_all_keys());
    editor.feed("\x03");
    EXPECT_FALSE(editor.wants_all_keys());
    EXPECT_EQ(editor.text(), "\x03");
    editor.feed("\x16\x1b");
    EXPECT_EQ(editor.text(), "\x03\x1b");
}

TEST_F(LineEditorTest, NumericArgumentsWantTheNextKey) {
    editor.feed(
        "\x1b"
        "3");
    EXPECT_TRUE(editor.wants_all_keys());
    EXPECT_NE(editor.prompt(), "");
    editor.feed("x");
    EXPECT_EQ(editor.text(), "xxx");
    EXPECT_FALSE(editor.wants_all_keys());
}

TEST_F(LineEditorTest, KilledLineComesBack) {
    editor.feed("precious text");
    editor.kill_line();
    EXPECT_EQ(editor.text(), "");
    editor.feed("\x19");
    EXPECT_EQ(editor.text(), "precious text");
}

TEST_F(LineEditorTest, TabCompletesOneMatchAndTellsOfSeveral) {
    editor.set_completer([](std::string_view line) -> std::vector<std::string> {
        if (line == "/he") return {"/help"};
        if (line == "/s") return {"/set", "/show", "/system"};
        return {};
    });
    editor.feed("/he\t");
    EXPECT_EQ(editor.text(), "/help ");
    editor.set_text("/s");
    editor.feed("\t");
    editor.feed("\t");
    EXPECT_EQ(editor.text(), "/s");
    EXPECT_EQ(editor.candidates(), (std::vector<std::string>{"/set", "/show", "/system"}));
    editor.feed("x");
    EXPECT_TRUE(editor.candidates().empty());
    editor.set_text("no completion");
    editor.feed("\t");
    EXPECT_EQ(editor.text(), "no completion");
}

TEST_F(LineEditorTest, ShiftTabGoesBackwardsThroughTheCompletionsAndTabOnFromThere) {
    editor.set_completer([](std::string_view line) -> std::vector<std::string> {
        if (line == "/s") return {"/set", "/show", "/system"};
        return {};
    });
    editor.feed("/s");
    editor.feed("\t");
    editor.feed("\x1b[Z");
    EXPECT_EQ(editor.text(), "/system ");
    EXPECT_EQ(editor.candidates().size(), 3U);
    editor.feed("\x1b[Z");
    EXPECT_EQ(editor.text(), "/show ");
    editor.feed("\t");
    EXPECT_EQ(editor.text(), "/system ");
    editor.feed("x");
    EXPECT_EQ(editor.text(), "/system x");
    EXPECT_TRUE(editor.candidates().empty());
    editor.set_text("/s");
    editor.feed("\t");
    EXPECT_EQ(editor.text(), "/s") << "another key ends it";
}

}  // namespace
}  // namespace ui
