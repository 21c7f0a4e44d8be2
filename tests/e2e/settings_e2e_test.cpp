// Configuration, colours, models and the log in the chat, on the real binary in a terminal.
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/tmux.h"
#include "tests/support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using e2e::Tmux;

std::string bundled_model() {
    for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_SOURCE_DIR) / "models"))
        if (entry.path().extension() == ".gguf") return entry.path();
    return {};
}

class SettingsInTmux : public testing::Test {
  protected:
    void SetUp() override {
        if (!Tmux::available()) GTEST_SKIP() << "tmux is not installed";
    }
    std::string write(const std::string& name, const std::string& text) {
        const std::string path = folder.path() + "/" + name;
        fs::create_directories(fs::path(path).parent_path());
        std::ofstream(path) << text;
        return path;
    }
    // The program at 100 x 30 with its files, and a home, in a folder of the test.
    void start(const std::string& arguments, const std::string& variables = {}) {
        std::string command = "HOME=" + folder.path() + " " + variables + " ";
        for (const char* kind : {"CONFIG", "DATA", "STATE", "CACHE"})
            command += std::string("XDG_") + kind + "_HOME=" + folder.path() + "/" + kind + " ";
        terminal =
            std::make_unique<Tmux>(100, 30, command + MOXIE_BINARY_DIR + "/moxie " + arguments);
    }
    void start_scripted(const std::string& arguments = {}, const std::string& variables = {}) {
        start("--backend mock:" + write("script.toml", "[[reply]]\ntext = \"the answer\"\n") + " " +
                  arguments,
              variables);
        see("idle");
    }
    void see(const std::string& text) {
        std::string last;
        EXPECT_TRUE(terminal->wait_for(text, &last)) << "no \"" << text << "\" on:\n" << last;
    }
    void see_no(const std::string& text) {
        std::string last;
        EXPECT_TRUE(terminal->wait_for(
            [&](const std::string& screen) { return screen.find(text) == std::string::npos; },
            &last))
            << text << " on:\n"
            << last;
    }
    void say(const std::string& text) {
        terminal->type(text);
        see("> " + text);
        terminal->keys({"Enter"});
    }

    support::TemporaryFolder folder;
    std::unique_ptr<Tmux> terminal;
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
    const std::string models = folder.path() + "/models";
    fs::create_directories(models);
    fs::copy_file(bundled_model(), models + "/another-one.gguf");
    write("models/broken.gguf", "GGUF\3");
    write("CONFIG/moxie/config.toml", "[models]\ndirs = [\"" + models + "\"]\n");
    start("--max-tokens 4");
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
        static const std::regex kColour("\x1b\\[([0-9;]*;)?(3[0-7]|9[0-7])[;m]");
        return std::regex_search(picture, kColour);
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
    const std::string log = support::content_of(folder.path() + "/STATE/moxie/moxie.log");
    EXPECT_NE(log.find("answer "), std::string::npos) << log;
    EXPECT_NE(log.find("debug   request "), std::string::npos) << log;
    EXPECT_EQ(log.find("secret"), std::string::npos) << log;
    terminal.reset();
    start_scripted();
    terminal->keys({"Up"});
    see("> a secret question");
    EXPECT_EQ(fs::status(folder.path() + "/STATE/moxie/history").permissions(), fs::perms(0600));
}

}  // namespace
