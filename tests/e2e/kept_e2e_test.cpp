// Chats that are left and opened again, in a real terminal: by quitting, by kill -9, by a second
// instance.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

namespace fs = std::filesystem;
using e2e::contains;
using e2e::Tmux;

using KeptInTmux = e2e::ProgramInTmux;

constexpr const char* kEcho = R"([[reply]]
text = "You said <{prompt}> as message {messages}.")";

TEST_F(KeptInTmux, AChatThatWasQuitGoesOnWithContinue) {
    start(scripted(kEcho, ""));
    see("idle");
    say("hello");
    see("You said <hello> as message 1.");
    see("idle");
    terminal->keys({"C-d"});
    see("resume: moxie -r ");
    then(scripted(kEcho, "-c"));
    see("You said <hello> as message 1.");
    see("idle");
    say("again");
    see("You said <again> as message 3.");
    see("idle");
    terminal->keys({"C-d"});
    see("resume: moxie -r ");

    // By its id, as the farewell says.
    const std::string screen = terminal->screen();
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
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string&) {
            std::string bytes;
            for (const char* name : {"chats.db", "chats.db-wal"}) {
                std::ifstream file(data() / name, std::ios::binary);
                bytes += std::string(std::istreambuf_iterator<char>(file), {});
            }
            return contains(bytes, "one two three");
        },
        &last))
        << last;
    const auto processes = terminal->processes("moxie");
    ASSERT_EQ(processes.size(), 2U);
    ::kill(processes.back(), SIGKILL);
    see("signal 9");
    see("resume: moxie -c");
    then(scripted(script, "-c"));
    see("one two three");
    see("interrupted");
    see("ended unexpectedly");
    see("idle");
    EXPECT_FALSE(contains(terminal->screen(), "four"));
    say("go on");
    see("fine");
}

TEST_F(KeptInTmux, ASecondInstanceIsToldWhoHoldsTheChats) {
    start(scripted(kEcho, ""));
    see("idle");
    say("hello");
    see("message 1.");
    other = std::make_unique<Tmux>(80, 24, scripted(kEcho, "-c"));
    see(*other, "Another moxie (pid ");
    see(*other, "You said <hello>");
    other->type("second");
    other->keys({"Enter"});
    see(*other, "You said <second>");
    other->keys({"C-d"});
    say("first");
    see("You said <first> as message 3.");
}

// The bundled model and the real engine: what was read comes from the disk, as is told.
TEST_F(KeptInTmux, AConversationIsNotReadTwice) {
    if (bundled_model().empty()) GTEST_SKIP() << "no model in models/";
    start(command("--seed 1 --max-tokens 30"));
    see("idle");
    say("hello, tell me a story about a fox and a river");
    see("cut off by --max-tokens 30");
    see("● resident");
    terminal->keys({"C-d"});
    then(command("-c --seed 1 --max-tokens 5"));
    see("a story about a fox and a river");
    see("restored ");
    see("● resident");
    say("go on");
    see("cut off by --max-tokens 5");
    EXPECT_FALSE(contains(terminal->screen(), "re-read")) << terminal->screen();
}

TEST_F(KeptInTmux, ATemporaryChatLeavesNothing) {
    start(scripted(kEcho, "--temporary"));
    see("idle");
    say("xyzzy");
    see("You said <xyzzy>");
    see("idle");
    terminal->keys({"C-d"});
    then("echo left");
    see("left");
    for (const auto& entry : fs::recursive_directory_iterator(home())) {
        if (!entry.is_regular_file()) continue;
        std::ifstream file(entry.path(), std::ios::binary);
        const std::string bytes(std::istreambuf_iterator<char>(file), {});
        EXPECT_FALSE(contains(bytes, "xyzzy")) << entry.path();
    }
}

}  // namespace
