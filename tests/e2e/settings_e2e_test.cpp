// Configuration, colours, models and the log in the chat, on the real binary in a terminal.
#include <filesystem>
#include <regex>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"
#include "tests/support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using e2e::contains;

class SettingsInTmux : public e2e::ProgramInTmux {
  protected:
    void start_scripted(const std::string& arguments = {}, const std::string& variables = {}) {
        start(scripted("[[reply]]\ntext = \"the answer\"\n", arguments, variables), 100, 30);
        see("idle");
    }
};

TEST_F(SettingsInTmux, ATypoIsToldAndTheSourceOfEveryParameterShown) {
    write("CONFIG/moxie/config.toml", "[sampling]\ntemprature = 0.2\ntop_k = 30\n");
    start_scripted("--top-p 0.5");
    see("config.toml:2: unknown key \"temprature\" in [sampling]");
    say("/show params");
    see("top_k               30        config");
    see("top_p               0.5       cli");
    see("temperature         0.8       default");
}

TEST_F(SettingsInTmux, TheFirstRunSaysHowManyModelsThereAreAndThePanelLoadsOne) {
    if (bundled_model().empty()) GTEST_SKIP() << "no model in models/";
    const std::string models = (home() / "models").string();
    fs::create_directories(models);
    fs::copy_file(bundled_model(), models + "/another-one.gguf");
    write("models/broken.gguf", "GGUF\3");
    write("CONFIG/moxie/config.toml", "[models]\ndirs = [\"" + models + "\"]\n");
    start(command("--max-tokens 4"), 100, 30);
    see("Found 1 model on this machine");
    see("idle");
    terminal->keys({"C-x", "m"});
    see("another-one");
    see("broken");
    terminal->keys({"/"});
    terminal->type("another");
    see_no("broken");
    terminal->keys({"Enter", "Enter"});
    see_no("Enter load");
    say("hello");  // answered by the new model, so that it is there afterwards
    see("t/s");
    see("idle");
    say("/model show");
    see("another-one.gguf");
    say("/model nosuch");
    see("No model \"nosuch\". Closest: ");
    say("/unload");
    see("Unloaded.");
    see("no model");
}

TEST_F(SettingsInTmux, TheSecondRunOpensTheLastConversation) {
    start_scripted();
    say("remember me");
    see("the answer");
    see("idle");
    terminal->keys({"C-d"});
    see("resume: moxie -r ");
    terminal.reset();
    start_scripted();
    see("remember me");
    terminal.reset();
    write("CONFIG/moxie/config.toml", "startup = \"new\"\n");
    start_scripted();
    see("Write a message");
}

TEST_F(SettingsInTmux, ColoursFollowTheFlagAndNoColor) {
    const auto colours = [this](const std::string& arguments, const std::string& variables) {
        start_scripted(arguments + " --temporary", variables);
        say("hello");
        see("the answer");
        see("idle");
        const std::string picture = terminal->picture_with_styles();
        terminal.reset();
        // Foregrounds of the sixteen colours; 39 is the terminal's own, 3 alone is italic.
        static const std::regex coloured("\x1b\\[([0-9;]*;)?(3[0-7]|9[0-7])[;m]");
        return std::regex_search(picture, coloured);
    };
    EXPECT_TRUE(colours("", "NO_COLOR="));
    EXPECT_FALSE(colours("", "NO_COLOR=1"));
    EXPECT_TRUE(colours("--color=always", "NO_COLOR=1"));
    EXPECT_FALSE(colours("--color=never", "NO_COLOR="));
}

TEST_F(SettingsInTmux, TheLogHasTheAnswersFiguresAndPromptsAreKeptInTheHistory) {
    start_scripted();
    say("/log debug");
    say("a secret question");
    see("the answer");
    see("idle");
    terminal->keys({"C-d"});
    see("resume: moxie -r ");
    const std::string log = support::content_of(home() / "STATE/moxie/moxie.log");
    EXPECT_NE(log.find("answer "), std::string::npos) << log;
    EXPECT_NE(log.find("debug   request "), std::string::npos) << log;
    EXPECT_EQ(log.find("secret"), std::string::npos) << log;
    terminal.reset();
    start_scripted();
    terminal->keys({"Up"});
    see("> a secret question");
    EXPECT_EQ(fs::status(home() / "STATE/moxie/history").permissions(), fs::perms(0600));
}

TEST_F(SettingsInTmux, ReasoningIsFoldedAndOpensWithAKey) {
    start(scripted("[[reply]]\ntext = \"<think>because of it</think>So it is.\"\n"), 100, 30);
    see("idle");
    say("why?");
    see("So it is.");
    see("▸ thinking (");
    EXPECT_FALSE(contains(terminal->screen(), "because"));
    terminal->keys({"C-x", "v"});
    see("▾ thinking because of it");
    say("/think hide");
    see_no("thinking because");
    see("So it is.");
}

TEST_F(SettingsInTmux, ThePrefixShowsWhatMayFollowAndTheComposerTakesTheScreen) {
    start_scripted();
    say("hello");
    see("the answer");
    terminal->keys({"C-x"});
    see("regen");
    terminal->keys({"z"});
    see_no("the answer");
    terminal->keys({"C-x", "z"});
    see("the answer");
    terminal->keys({"F1"});
    see("A unique beginning of a command is enough");
}

TEST_F(SettingsInTmux, CompletionsAreGoneThroughBackwardsAndThemesAreListed) {
    start_scripted();
    terminal->type("/theme ");
    terminal->keys({"Tab", "Tab"});
    see("dark high-contrast light mono terminal");
    terminal->keys({"BTab"});
    see("> /theme terminal");
    terminal->keys({"BTab"});
    see("> /theme mono");
    terminal->keys({"Enter"});
    see("theme mono");
}

// What an answer has read is written by the real engine when the program ends, and not before.
TEST_F(SettingsInTmux, PagesAreWrittenAtTheEndWhereThatIsConfigured) {
    if (bundled_model().empty()) GTEST_SKIP() << "no model in models/";
    const auto pages = [this] {
        size_t files = 0;
        std::error_code none;
        for (fs::recursive_directory_iterator at(home() / "CACHE/moxie/kv", none), end;
             !none && at != end; at.increment(none))
            files += at->is_regular_file() ? 1 : 0;
        return files;
    };
    start(command("--seed 1 --max-tokens 8", "MOXIE_KV_SAVE_ON=exit"));
    see("idle");
    say("a story about a fox");
    see("cut off by --max-tokens 8");
    see("● resident");
    EXPECT_EQ(pages(), 0U);
    terminal->keys({"C-d"});
    then(command("-c --max-tokens 2"));
    see("restored ");
    EXPECT_GT(pages(), 0U);
}

}  // namespace
