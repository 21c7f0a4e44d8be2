// Writing a message: files with it, the editor and the pager in place of the screen, and what waits
// while an answer is written.
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

namespace fs = std::filesystem;

constexpr const char* kEcho = R"([[reply]]
match = "slowly"
text = " one two three four five six seven eight nine ten eleven twelve"
delay_ms = 20
[[reply]]
match = "wait"
tokens = ["begun", { text = " ended", hold = "cancel" }]
[[reply]]
text = "You said <{prompt}> as message {messages}.")";

class MessageInTmux : public e2e::ProgramInTmux {
  protected:
    void start_chat(const std::string& arguments = {}, const std::string& variables = {}) {
        start(scripted(kEcho, arguments, variables), 100, 30);
        see("idle");
    }
    // A program of a few lines of shell.
    std::string program(const std::string& name, const std::string& lines) const {
        std::string path = write(name, "#!/bin/sh\n" + lines);
        fs::permissions(path, fs::perms::owner_all);
        return path;
    }
};

TEST_F(MessageInTmux, FilesGoWithItSurviveReopeningAndAreReadAsTheyWere) {
    const std::string notes = write("notes.txt", "alpha\nbeta\ngamma\n");
    start_chat();
    terminal->type("explain @" + home().string() + "/no");
    see("/no");
    terminal->keys({"Tab"});
    see("> explain @" + notes);
    terminal->keys({"Enter"});
    see("▪ " + notes + " · 3 lines · ");
    see("gamma");
    see("as message 1.");
    see("idle");
    say("/file " + notes + " --lines 2 --as text");
    see("attached ▸ ▪ " + notes + ":2 · 1 line");
    say("and this");
    see(notes + ":2:");
    see("as message 3.");
    see("idle");
    quit();
    fs::remove(notes);
    then(scripted(kEcho, "-c"));
    see("▪ " + notes + ":2 · 1 line");
    see("idle");
    terminal->keys({"C-x", "r"});
    see("┊2/2┊");
    see("beta");
    see("idle");
    say("again @" + notes);
    see("no such file");
    see("> again @" + notes);
}

TEST_F(MessageInTmux, BinaryFilesFoldersAndPatternsWithoutFilesAreRefused) {
    write("picture.png", std::string("\x89PNG\r\n\0\0", 8));
    start_chat();
    say("/file " + (home() / "picture.png").string());
    see("is no text file");
    say("/file " + home().string());
    see("is a folder");
    say("/file " + (home() / "*.zz").string());
    see("no file matches");
}

TEST_F(MessageInTmux, TheEditorWritesTheMessageWhileTheAnswerGoesOn) {
    const std::string editor = program("editor",
                                       "cat \"$1\"; printf '\\nEDITING\\n'\n"
                                       "while [ ! -e \"$HOME/go\" ]; do sleep 0.02; done\n"
                                       "printf 'from the editor\\nsecond line\\n' > \"$1\"\n");
    start_chat("", "VISUAL=" + editor);
    say("slowly");
    see("one");
    terminal->type("begun here");
    see("> begun here");
    terminal->keys({"C-x", "C-e"});
    see("EDITING");
    see("begun here");
    EXPECT_EQ(terminal->ask("#{alternate_on}"), "0");
    terminal->keys({"C-c"});  // is for the group; the answer goes on, and this editor ends
    see("ended with status");
    see("> begun here");
    see("twelve");
    see("idle");
    EXPECT_EQ(terminal->ask("#{alternate_on}"), "1");
    terminal->keys({"C-x", "C-e"});
    see("EDITING");
    write("go", "");
    see("> from the editor");
    see("second line");
    terminal->keys({"Enter"});
    see("second line> as message 3.");
}

TEST_F(MessageInTmux, SuspendedWithinTheEditorBothGoOnTogether) {
    const std::string editor = program("editor",
                                       "echo EDITING\n"
                                       "while [ ! -e \"$HOME/go\" ]; do sleep 0.02; done\n"
                                       "printf 'written after fg\\n' > \"$1\"\n");
    start_chat("", "VISUAL=" + editor);
    terminal->keys({"C-x", "C-e"});
    see("EDITING");
    terminal->keys({"C-z"});
    see("Stopped");
    terminal->type("echo $((40+2)) in the shell");
    terminal->keys({"Enter"});
    see("42 in the shell");
    terminal->resize(90, 24);
    write("go", "");
    terminal->type("fg");
    terminal->keys({"Enter"});
    see("> written after fg");
    EXPECT_EQ(terminal->ask("#{alternate_on}"), "1");
    terminal->keys({"Enter"});
    see("You said <written after fg> as message 1.");
    see("idle");
    quit();
}

TEST_F(MessageInTmux, ThePagerShowsTheConversationAndTheScreenComesBack) {
    const std::string pager = program("pager", "cat; echo END OF PAGER; read line </dev/tty\n");
    start_chat("", "PAGER=" + pager);
    say("hello");
    see("<hello> as message 1.");
    see("idle");
    terminal->keys({"C-x", "o"});
    see("END OF PAGER");
    see("You: hello");
    EXPECT_EQ(terminal->ask("#{alternate_on}"), "0");
    terminal->resize(90, 20);
    terminal->keys({"Enter"});
    see("you ▸ hello");
    see("idle");
    say("still here");
    see("<still here> as message 3.");
    quit();
}

TEST_F(MessageInTmux, KillingTheChatWithinAnEditorLeavesASaneTerminal) {
    const std::string editor = program(
        "editor", "echo EDITING\nstty -echo raw\nwhile [ -e \"$1\" ]; do sleep 0.02; done\n");
    start_chat("", "VISUAL=" + editor);
    terminal->keys({"C-x", "C-e"});
    see("EDITING");
    const std::vector<int> processes = terminal->processes("moxie");
    ASSERT_EQ(processes.size(), 2U);
    ::kill(processes.back(), SIGTERM);
    ended();
    terminal->type("stty -a; clear; echo status $((40+2))");
    terminal->keys({"Enter"});
    see("status 42");
}

TEST_F(MessageInTmux, ACommandOfTheShellRunsBesideTheChatAndCtrlCStopsIt) {
    start_chat();
    say("/run !echo from the shell; sleep 1000");
    see("run in sh: echo from the shell; sleep 1000 ? y yes, n no");
    terminal->keys({"y"});
    see("running echo from the shell; sleep 1000 (C-c stops it)");
    terminal->type("still typing");
    see("> still typing");
    terminal->keys({"C-c"});
    see("attached 1 line, stopped");
    see("attached ▸ ▪ !echo from the shell; sleep 1000 · 1 line");
    EXPECT_TRUE(terminal->processes("sleep").empty());
    terminal->keys({"Enter"});
    see("You said <still typing");
}

TEST_F(MessageInTmux, APersonaIsWrittenInTheEditorAndInForceAtOnce) {
    const std::string editor = program("editor", "printf 'Answer in one line.\n' > \"$1\"\n");
    start(scripted("[[reply]]\ntext = \"<{system}>\"\n", "", "VISUAL=" + editor), 100, 30);
    see("idle");
    say("/persona edit brief");
    see("personas/brief.md");
    say("/persona brief");
    see("Persona brief");
    say("hello");
    see("<Answer in one line.>");
    quit();
    then(scripted("[[reply]]\ntext = \"again <{system}>\"\n", "-c"));
    see("idle");
    say("once more");
    see("again <Answer in one line.>");
}

TEST_F(MessageInTmux, MessagesWaitWhileTheModelIsLoaded) {
    const std::string gate = (home() / "go").string();
    start(scripted("[model]\nload_waits_for = \"" + gate + "\"\n" + kEcho), 100, 30);
    see("load ");
    say("first message");
    see("queued ▸ first message");
    say("second message");
    see("queued ▸ second message");
    see("q2");
    write("go", "");
    see("You said <first message> as message 1.");
    see("You said <second message> as message 3.");
    see("idle");
    see_no("queued ▸");
}

TEST_F(MessageInTmux, CtrlCWhileTheModelIsLoadedStopsThatAndKeepsWhatWaits) {
    start(scripted("[model]\nhold_load = true\n" + std::string(kEcho)), 100, 30);
    see("load ");
    say("kept message");
    see("queued ▸ kept message");
    terminal->keys({"C-c"});
    see("Loading stopped.");
    see("> kept message");
    see("no model");
    terminal->keys({"C-c"});
    see("cleared");
    terminal->keys({"C-c"});
    see("C-d to quit");
}

TEST_F(MessageInTmux, WhatWaitsIsLostNeitherByCtrlCNorByQuitting) {
    start_chat();
    say("wait");
    see("begun");
    say("second message");
    say("third message");
    see("queued ▸ second message");
    see("queued ▸ third message");
    see("q2");
    say("/queue drop 1");
    see_no("queued ▸ second message");
    terminal->keys({"C-y"});
    see("> second message");
    terminal->keys({"Enter"});
    see("queued ▸ second message");
    terminal->keys({"C-c"});
    see("stopped");
    see("> third message");  // both are in the composer
    see("idle");
    terminal->keys({"C-c"});
    see("cleared");
    say("wait");
    say("never sent");
    see("queued ▸ never sent");
    terminal->keys({"C-d"});
    see("1 message waits; once more to quit");
    terminal->keys({"C-d"});
    ended();
    then(scripted(kEcho));
    see("idle");
    terminal->keys({"Up"});
    see("> never sent");
}

}  // namespace
