// Chats that are left and opened again, in a real terminal: by quitting, by kill -9, by a second
// instance.
#include <signal.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/tmux.h"

namespace {

namespace fs = std::filesystem;
using e2e::Tmux;

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

class KeptInTmux : public testing::Test {
  protected:
    void SetUp() override {
        if (!Tmux::available()) GTEST_SKIP() << "tmux is not installed";
        std::string pattern = (fs::temp_directory_path() / "moxie-e2e-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        home_ = pattern;
    }

    void TearDown() override {
        terminal_.reset();
        other_.reset();
        if (!home_.empty()) fs::remove_all(home_);
    }

    // The program at 80 x 24 with its files in a directory of the test.
    std::string command(const std::string& arguments) const {
        std::string command;
        for (const char* kind : {"CONFIG", "DATA", "STATE", "CACHE"})
            command += std::string("XDG_") + kind + "_HOME=" + home_.string() + " ";
        return command + MOXIE_BINARY_DIR + "/moxie " + arguments;
    }

    std::string scripted(const std::string& script, const std::string& arguments) const {
        std::ofstream(home_ / "script.toml") << script;
        return command("--backend mock:" + (home_ / "script.toml").string() + " " + arguments);
    }

    void start(const std::string& line) { terminal_ = std::make_unique<Tmux>(80, 24, line); }

    static void see(const Tmux& terminal, const std::string& text) {
        std::string last;
        EXPECT_TRUE(terminal.wait_for(text, &last)) << "no \"" << text << "\" on:\n" << last;
    }
    void see(const std::string& text) const { see(*terminal_, text); }

    void say(const std::string& text) const {
        terminal_->type(text);
        see("> " + text);
        terminal_->keys({"Enter"});
    }

    // Waits until the shell has the terminal again, then runs a line in it.
    void then(const std::string& line) const {
        std::string last;
        EXPECT_TRUE(terminal_->wait_for(
            [&](const std::string&) { return terminal_->ask("#{alternate_on}") == "0"; }, &last))
            << last;
        terminal_->type("clear; " + line);
        terminal_->keys({"Enter"});
    }

    fs::path home_;
    std::unique_ptr<Tmux> terminal_;
    std::unique_ptr<Tmux> other_;
};

constexpr const char* kEcho = R"([[reply]]
text = "You said <{prompt}> as message {messages}.")";

TEST_F(KeptInTmux, AChatThatWasQuitGoesOnWithContinue) {
    start(scripted(kEcho, ""));
    see("idle");
    say("hello");
    see("You said <hello> as message 1.");
    see("idle");
    terminal_->keys({"C-d"});
    see("resume: moxie -r ");
    then(scripted(kEcho, "-c"));
    see("You said <hello> as message 1.");
    see("idle");
    say("again");
    see("You said <again> as message 3.");
    see("idle");
    terminal_->keys({"C-d"});
    see("resume: moxie -r ");

    // By its id, as the farewell says.
    const std::string screen = terminal_->screen();
    const size_t at = screen.find("moxie -r ") + 9;
    const std::string id = screen.substr(at, screen.find_first_of(" \n", at) - at);
    EXPECT_GE(id.size(), 4U);
    then(scripted(kEcho, "-r " + id));
    see("You said <again> as message 3.");
}

TEST_F(KeptInTmux, KillingTheChatWithinAnAnswerKeepsWhatWasWritten) {
    const std::string script = R"([[reply]]
match = "count"
text = "one two three"
tokens = [{ text = " four", hold = "cancel" }]
[[reply]]
text = "fine")";
    start(scripted(script, ""));
    see("idle");
    say("count");
    see("one two three");
    // The answer is on the disk within a second; there is nothing to see of that.
    std::string last;
    EXPECT_TRUE(terminal_->wait_for(
        [&](const std::string&) {
            std::string bytes;
            for (const char* name : {"moxie/chats.db", "moxie/chats.db-wal"}) {
                std::ifstream file(home_ / name, std::ios::binary);
                bytes += std::string(std::istreambuf_iterator<char>(file), {});
            }
            return contains(bytes, "one two three");
        },
        &last))
        << last;
    const auto processes = terminal_->processes("moxie");
    ASSERT_EQ(processes.size(), 2U);
    ::kill(processes.back(), SIGKILL);
    see("signal 9");
    then(scripted(script, "-c"));
    see("one two three");
    see("interrupted");
    see("ended unexpectedly");
    see("idle");
    EXPECT_FALSE(contains(terminal_->screen(), "four"));
    say("go on");
    see("fine");
}

TEST_F(KeptInTmux, ASecondInstanceIsToldWhoHoldsTheChats) {
    start(scripted(kEcho, ""));
    see("idle");
    say("hello");
    see("message 1.");
    other_ = std::make_unique<Tmux>(80, 24, scripted(kEcho, "-c"));
    see(*other_, "Another moxie (pid ");
    see(*other_, "You said <hello>");
    other_->type("second");
    other_->keys({"Enter"});
    see(*other_, "You said <second>");
    other_->keys({"C-d"});
    say("first");
    see("You said <first> as message 3.");
}

bool bundled_model() {
    for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_SOURCE_DIR) / "models"))
        if (entry.path().extension() == ".gguf") return true;
    return false;
}

// The bundled model and the real engine: what was read comes from the disk, as is told.
TEST_F(KeptInTmux, AConversationIsNotReadTwice) {
    if (!bundled_model()) GTEST_SKIP() << "no model in models/";
    start(command("--seed 1 --max-tokens 30"));
    see("idle");
    say("hello, tell me a story about a fox and a river");
    see("cut off by --max-tokens 30");
    see("● resident");
    terminal_->keys({"C-d"});
    then(command("-c --seed 1 --max-tokens 5"));
    see("a story about a fox and a river");
    see("restored ");
    see("● resident");
    say("go on");
    see("cut off by --max-tokens 5");
    EXPECT_FALSE(contains(terminal_->screen(), "re-read")) << terminal_->screen();
}

TEST_F(KeptInTmux, ATemporaryChatLeavesNothing) {
    start(scripted(kEcho, "--temporary"));
    see("idle");
    say("xyzzy");
    see("You said <xyzzy>");
    see("idle");
    terminal_->keys({"C-d"});
    then("echo left");
    see("left");
    for (const auto& entry : fs::recursive_directory_iterator(home_)) {
        if (!entry.is_regular_file()) continue;
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string bytes(std::istreambuf_iterator<char>(file), {});
        EXPECT_FALSE(contains(bytes, "xyzzy")) << entry.path();
    }
}

}  // namespace
