// What the program does with the terminal and the locale it finds: what it can draw there, what a
// paste and a copy are, and what is left when the terminal goes away.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

using e2e::contains;

constexpr const char* kEcho = R"([[reply]]
match = "count"
text = "one two three"
tokens = [{ text = " four", hold = "cancel" }]
[[reply]]
match = "rows"
endless = true
delay_ms = 5
text = "a row of words\n"
[[reply]]
text = "You said <{prompt}>.")";

class TerminalInTmux : public e2e::ProgramInTmux {
  protected:
    void start_chat(const std::string& arguments = {}, const std::string& variables = {},
                    const std::string& after = {}) {
        start(scripted(kEcho, arguments, variables) + after, 100, 30);
    }
    // Whether a foreground of that kind is in the picture, as a pattern of SGR parameters.
    static bool has_colour(const std::string& picture, const char* sgr) {
        const std::regex colour(std::string("\x1b\\[([0-9;]*;)?") + sgr + "[;m]");
        return std::regex_search(picture, colour);
    }
};

// --- locale and terminfo ------------------------------------------------------------------------

TEST_F(TerminalInTmux, WithoutAUtf8LocaleItSaysWhatItUsesAndShowsAllCharacters) {
    start_chat("", "LC_ALL=C LANG=C");
    see("Locale is \"C\"");
    see("idle");
    say("日本語");
    see("You said <日本語>.");
}

TEST_F(TerminalInTmux, ATerminalThatCannotPlaceItsCursorIsASentenceAndStatusTen) {
    start_chat("", "TERM=dumb", "; echo status=$?");
    see("cannot address its cursor");
    see("status=10");
    EXPECT_EQ(terminal->ask("#{alternate_on}"), "0");
}

TEST_F(TerminalInTmux, AnUnknownTerminalIsToldAndTakenForACommonOne) {
    start_chat("", "TERM=no-such-terminal");
    see("No terminfo for \"no-such-terminal\"; using xterm-256color.");
    see("idle");
    say("hello");
    see("You said <hello>.");
}

TEST_F(TerminalInTmux, ATerminalOfFewColoursGetsTheNearestOfThem) {
    write("CONFIG/moxie/themes/many.toml",
          "name = \"many\"\ninherits = \"terminal\"\n[palette]\naccent = \"#ff8800\"\n"
          "[styles]\nrole_user = { fg = \"accent\" }\n");
    const auto picture = [this](const std::string& variables, const std::string& before = {}) {
        start(before + scripted(kEcho, "--temporary --theme many", variables), 100, 30);
        see("idle");
        say("hello");
        see("You said <hello>.");
        see("idle");
        return terminal->picture_with_styles();
    };
    EXPECT_TRUE(has_colour(picture("TERM=xterm-256color"), "38;5;[0-9]+"));
    const std::string few = picture("TERM=xterm");  // of eight
    EXPECT_FALSE(has_colour(few, "38;5;[0-9]+"));
    EXPECT_TRUE(has_colour(few, "3[0-7]"));
    // Sixteen are rare, so that nobody's terminfo has them.
    const std::string source =
        write("sixteen.ti", "sixteen|sixteen colours,\n\tcolors#16, use=xterm-256color,\n");
    const std::string folder = (home() / "terminfo").string();
    const std::string sixteen =
        picture("TERM=sixteen TERMINFO=" + folder, "tic -o " + folder + " " + source + " && ");
    EXPECT_FALSE(has_colour(sixteen, "38;5;[0-9]+"));
    EXPECT_TRUE(has_colour(sixteen, "(3[0-7]|9[0-7])"));
}

TEST_F(TerminalInTmux, TheDoctorNamesWhatIsWrongWithIt) {
    start(command("doctor", "TERM=no-such-terminal LC_ALL=C") + "; echo status=$?", 100, 30);
    see("!!  terminal    no-such-terminal, 100x30");
    see("install ncurses-term");
    see("!!  locale      C");
    see("things to look at.");
    see("status=0");
}

// --- pasting and copying ------------------------------------------------------------------------

TEST_F(TerminalInTmux, APasteOfThreeLinesIsNotSentBeforeEnter) {
    start_chat();
    see("idle");
    terminal->paste("first\nsecond\nthird");
    see("> first");
    see("third");
    EXPECT_FALSE(contains(terminal->screen(), "you ▸"));
    terminal->keys({"Enter"});
    see("You said <first");
    see("third>.");
}

TEST_F(TerminalInTmux, APasteOfTenThousandLinesIsAskedAboutAndCanBecomeAFile) {
    start_chat();
    see("idle");
    std::string text;
    for (int i = 1; i <= 10'000; ++i)
        text += "line number " + std::to_string(i) + "\n";
    terminal->paste(text);
    see("paste 10,001 lines? y yes, f as a file with the message, n no");
    terminal->keys({"n"});
    see_no("paste 10,001 lines?");
    terminal->paste(text);
    see("paste 10,001 lines?");
    terminal->keys({"f"});
    see("attached ▸ ▪ pasted · 10,000 lines");
    terminal->paste(text);
    see("paste 10,001 lines?");
    terminal->keys({"y"});
    see("line number 10000");
    terminal->type("typed behind it");
    see("typed behind it");
    terminal->keys({"Enter"});
    see("does not fit: 60,0");
    terminal->keys({"q"});
    see_no("does not fit");
    see("pasted · 10,000 lines");
    quit();
}

TEST_F(TerminalInTmux, EscapesWithinAPasteAreText) {
    start_chat();
    see("idle");
    terminal->paste("red \x1b[31mand \x1b[2J\x1b]0;title\x07 cleared\rnext");
    see("cleared");
    see("next");
    EXPECT_FALSE(contains(terminal->screen(), "you ▸"));
    terminal->keys({"Enter"});
    see("You said <red ");
    see("next>.");
}

TEST_F(TerminalInTmux, WhatIsCopiedIsInTheBufferOfTmux) {
    start_chat();
    see("idle");
    say("hello");
    see("You said <hello>.");
    see("idle");
    terminal->keys({"C-x", "c"});
    see("via tmux buffer");
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string&) { return terminal->buffer() == "You said <hello>."; }, &last))
        << terminal->buffer();
}

// --- scrolling ----------------------------------------------------------------------------------

TEST_F(TerminalInTmux, ReadingAboveFreezesTheTextWhileAnAnswerGrows) {
    start_chat();
    see("idle");
    say("rows");
    see("gen");
    std::string last;
    ASSERT_TRUE(terminal->wait_for(
        [](const std::string& screen) { return !contains(screen, "you ▸ rows"); }, &last))
        << "the answer does not fill the screen:\n"
        << last;
    terminal->keys({"C-Home"});
    see("you ▸ rows");
    see(" new lines");
    EXPECT_TRUE(contains(terminal->screen(), "you ▸ rows"));
    terminal->keys({"C-End"});
    see_no("you ▸ rows");
    terminal->keys({"C-c"});
    see("stopped");
}

// --- the end of the terminal --------------------------------------------------------------------

class TerminalThatGoes : public TerminalInTmux {
  protected:
    void answer_partly() {
        start_chat();
        see("idle");
        say("count");
        see("one two three");
    }
    void see_the_partial_again() {
        start_chat("-c");
        see("one two three");
        see("idle");
        EXPECT_FALSE(contains(terminal->screen(), "four"));
    }
};

TEST_F(TerminalThatGoes, AHangupKeepsThePartialAndEndsWith129) {
    answer_partly();
    ::kill(terminal->processes("moxie").back(), SIGHUP);
    ended();
    terminal->type("echo status=$?");
    terminal->keys({"Enter"});
    see("status=129");
    see_the_partial_again();
}

TEST_F(TerminalThatGoes, KillingTheSessionKeepsThePartial) {
    answer_partly();
    const std::vector<int> processes = terminal->processes("moxie");
    terminal->kill_session();
    const auto deadline = std::chrono::steady_clock::now() + e2e::kPatience;
    const auto gone = [](int pid) { return ::kill(pid, 0) != 0; };
    while (!std::ranges::all_of(processes, gone) && std::chrono::steady_clock::now() < deadline)
        std::this_thread::yield();
    EXPECT_TRUE(std::ranges::all_of(processes, gone)) << "something outlived its terminal";
    see_the_partial_again();
}

TEST_F(TerminalThatGoes, AfterACrashTheShellHasASaneTerminal) {
    answer_partly();
    ::kill(terminal->processes("moxie").back(), SIGSEGV);
    see("signal 11");
    ended();
    EXPECT_EQ(terminal->ask("#{alternate_on} #{mouse_any_flag} #{cursor_flag}"), "0 0 1");
}

}  // namespace
