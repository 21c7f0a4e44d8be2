// The real program in a real terminal: what a person sees when they type, interrupt, resize,
// suspend and kill. Scripts play the model where the moment matters; the bundled model answers
// where it is the point.
#include <signal.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

using e2e::contains;

class ChatInTmux : public e2e::ProgramInTmux {
  protected:
    void start_with_script(const std::string& script, const std::string& after = {}) {
        start(scripted(script) + after);
        see("idle");
    }

    // Starts an answer that never ends; returns the supervisor's process and the chat's.
    std::vector<int> start_endless_answer() {
        start_with_script(R"([[reply]]
endless = true
delay_ms = 5
text = "words ")");
        say("go");
        see("words words");
        return terminal->processes("moxie");
    }

    // The shell's own view of the terminal once the program is gone.
    void expect_sane_terminal() {
        ended();
        terminal->type(
            "case \"$(stty -a)\" in *-icanon*|*'-echo '*|*-opost*) echo BRO''KEN;; *) echo "
            "SA''NE;; esac");
        terminal->keys({"Enter"});
        see("SANE");
        EXPECT_EQ(terminal->ask("#{alternate_on} #{mouse_any_flag} #{cursor_flag}"), "0 0 1");
    }
};

TEST_F(ChatInTmux, FirstRunAnswersFromTheBundledModel) {
    if (bundled_model().empty()) GTEST_SKIP() << "no model in models/";
    start(command("--seed 1 --max-tokens 40"));
    see("idle");
    say("hello, who are you?");
    // The answer is there when the program is idle again with more context in use than before.
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [](const std::string& screen) {
            return contains(screen, "idle") && contains(screen, "t/s") &&
                   contains(screen, "hello, who are you?");
        },
        &last))
        << last;
    terminal->keys({"C-d"});
    expect_sane_terminal();
}

TEST_F(ChatInTmux, CtrlCWhileAnsweringKeepsThePartial) {
    start_with_script(R"([[reply]]
text = "one two three"
tokens = [{ text = " four", hold = "cancel" }])");
    say("count");
    see("one two three");
    terminal->keys({"C-c"});
    see("stopped");
    see("idle");
    EXPECT_TRUE(contains(terminal->screen(), "one two three"));
    EXPECT_FALSE(contains(terminal->screen(), "four"));
}

TEST_F(ChatInTmux, CtrlCWhileReadingThePromptStops) {
    start_with_script(R"([[reply]]
prompt_tokens = 5000
hold_prefill = true
text = "never said")");
    say("read this");
    see("prefill");
    terminal->keys({"C-c"});
    see("stopped");
    see("idle");
    EXPECT_FALSE(contains(terminal->screen(), "never said"));
}

TEST_F(ChatInTmux, ATemperatureChangedWhileItAnswersLeavesAMark) {
    start_with_script(R"([[reply]]
text = "one two"
tokens = [{ text = " three", hold = "update" }, " at {temperature}"])");
    say("count");
    see("one two");
    say("/set temperature 0.25");
    see("one two┊T 0.8→0.25 @2┊ three at 0.25");
    see("idle");
    terminal->keys({"C-d"});
    ended();
    terminal->type("clear; " + scripted("[[reply]]\ntext = \"again\"", "-c"));
    terminal->keys({"Enter"});
    see("one two┊T 0.8→0.25 @2┊ three at 0.25");
}

TEST_F(ChatInTmux, AnswersGoOnWhileTheWindowIsResized) {
    start_with_script(R"([[reply]]
endless = true
delay_ms = 5
text = "a line of words that has to be wrapped again and again ")");
    say("go");
    see("wrapped again");
    for (const auto& [width, height] : {std::pair{200, 60}, std::pair{20, 5}, std::pair{60, 20}}) {
        terminal->resize(width, height);
        const std::string size = std::to_string(width) + " " + std::to_string(height);
        std::string last;
        EXPECT_TRUE(terminal->wait_for(
            [&](const std::string&) {
                return terminal->ask("#{pane_width} #{pane_height}") == size;
            },
            &last));
    }
    see("wrapped");
    see("gen");
    terminal->keys({"C-c"});
    see("stopped");
}

TEST_F(ChatInTmux, SuspendedAndResumedAtAnotherSize) {
    start_with_script(R"([[reply]]
text = "an answer to remember")");
    say("first");
    see("an answer to remember");
    terminal->keys({"C-z"});
    see("$");
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string&) { return terminal->ask("#{alternate_on}") == "0"; }, &last))
        << last;
    terminal->resize(50, 15);
    terminal->type("fg");
    terminal->keys({"Enter"});
    see("an answer to remember");
    EXPECT_EQ(terminal->ask("#{alternate_on}"), "1");
    say("second");
    see("idle");
    terminal->keys({"C-d"});
    expect_sane_terminal();
}

TEST_F(ChatInTmux, KillingTheChatLeavesASaneTerminal) {
    const auto processes = start_endless_answer();
    ASSERT_EQ(processes.size(), 2U);
    ::kill(processes.back(), SIGKILL);
    see("signal 9");
    expect_sane_terminal();
}

TEST_F(ChatInTmux, KillingTheSupervisorLeavesASaneTerminal) {
    const auto processes = start_endless_answer();
    ASSERT_EQ(processes.size(), 2U);
    ::kill(processes.front(), SIGKILL);
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string&) { return ::kill(processes.back(), 0) != 0; }, &last))
        << "the chat outlived its parent:\n"
        << last;
    expect_sane_terminal();
}

TEST_F(ChatInTmux, WideCharactersKeepTheirColumns) {
    start_with_script(R"([[reply]]
text = "日本語|テスト|한국어|end")");
    say("漢字 ok");
    see("日本語|テスト|한국어|end");
    see("漢字 ok");
    terminal->type("漢字");
    see("> 漢字");
    // The prompt, two wide characters, then the cursor.
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string& screen) {
            const auto column = std::stoi(terminal->ask("#{cursor_x}"));
            const auto row = std::stoi(terminal->ask("#{cursor_y}"));
            size_t begin = 0;
            for (int line = 0; line < row; ++line)
                begin = screen.find('\n', begin) + 1;
            const std::string text = screen.substr(begin, screen.find('\n', begin) - begin);
            const auto prompt = text.find("> ");
            return prompt != std::string::npos && column == static_cast<int>(prompt) + 2 + 4;
        },
        &last))
        << last;
}

TEST_F(ChatInTmux, HostileOutputIsShownInert) {
    start_with_script(R"([[reply]]
tokens = ["safe ", "\u001b[2J", "\u001b]52;c;aGk=\u0007", "\r\u009b31m", " still here"])");
    say("attack");
    see("still here");
    EXPECT_TRUE(contains(terminal->screen(), "safe"));
    EXPECT_TRUE(contains(terminal->screen(), "attack"));
}

TEST_F(ChatInTmux, CtrlDOnAnEmptyLineQuitsWithSuccess) {
    start_with_script("", "; echo status=$?");
    terminal->keys({"C-d"});
    see("status=0");
    expect_sane_terminal();
}

TEST_F(ChatInTmux, AMissingModelIsOneSentenceAndExitStatusFour) {
    start(command("-m " + (home() / "nothing.gguf").string()) + "; echo status=$?");
    see("nothing.gguf: no such file");
    see("no model");
    terminal->keys({"C-d"});
    see("status=4");
    expect_sane_terminal();
}

TEST_F(ChatInTmux, TheChatSurvivesAModelThatCannotBeLoaded) {
    if (bundled_model().empty()) GTEST_SKIP() << "no model in models/";
    const std::string damaged = write("damaged.gguf", "GGUF but nothing else");
    start(command("--max-tokens 8"));
    see("idle");
    say("/model " + damaged);
    see("damaged.gguf:");
    see("idle");
    say("still there?");
    see("t/s");
    terminal->keys({"C-d"});
    expect_sane_terminal();
}

}  // namespace
