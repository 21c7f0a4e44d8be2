// History, branching and what can happen to the database, in a real terminal.
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "tests/e2e/tmux.h"

namespace {

namespace fs = std::filesystem;
using e2e::Tmux;

constexpr const char* kEcho = R"([[reply]]
match = "count"
text = "one two three"
tokens = [{ text = " four", hold = "cancel" }]
[[reply]]
text = "You said <{prompt}> as message {messages}, choice {choice}.")";

class HistoryInTmux : public testing::Test {
  protected:
    void SetUp() override {
        if (!Tmux::available()) GTEST_SKIP() << "tmux is not installed";
        std::string pattern = (fs::temp_directory_path() / "moxie-e2e-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        home_ = pattern;
        std::ofstream(home_ / "script.toml") << kEcho;
    }

    void TearDown() override {
        terminal_.reset();
        other_.reset();
        std::error_code ignored;
        fs::permissions(home_ / "moxie", fs::perms::owner_all, ignored);
        // The program may still be ending.
        if (mounted_) ::umount2((home_ / "moxie").c_str(), MNT_DETACH);
        if (!home_.empty()) fs::remove_all(home_);
    }

    std::string command(const std::string& arguments) const {
        std::string command;
        for (const char* kind : {"CONFIG", "DATA", "STATE", "CACHE"})
            command += std::string("XDG_") + kind + "_HOME=" + home_.string() + " ";
        return command + MOXIE_BINARY_DIR + "/moxie " + arguments;
    }
    std::string chat(const std::string& arguments) const {
        return command("--backend mock:" + (home_ / "script.toml").string() + " " + arguments);
    }

    void start(const std::string& arguments) {
        terminal_ = std::make_unique<Tmux>(100, 30, chat(arguments));
        see("idle");
    }
    static void see(const Tmux& terminal, const std::string& text) {
        std::string last;
        EXPECT_TRUE(terminal.wait_for(text, &last)) << "no \"" << text << "\" on:\n" << last;
    }
    void see(const std::string& text) const { see(*terminal_, text); }
    void gone(const std::string& text) const {
        std::string last;
        EXPECT_TRUE(terminal_->wait_for(
            [&](const std::string& screen) { return screen.find(text) == std::string::npos; },
            &last))
            << "still \"" << text << "\" on:\n"
            << last;
    }
    void say(const std::string& text) const {
        terminal_->type(text);
        see("> " + text);
        terminal_->keys({"Enter"});
    }
    // Until the store has closed, too: SQLite then removes its log.
    void quit() const {
        terminal_->keys({"C-d"});
        see("resume: moxie -r ");
        const auto deadline = std::chrono::steady_clock::now() + e2e::kPatience;
        while (fs::exists(home_ / "moxie/chats.db-wal") &&
               std::chrono::steady_clock::now() < deadline)
            std::this_thread::yield();
    }
    void then(const std::string& line) const {
        terminal_->type("clear; " + line);
        terminal_->keys({"Enter"});
    }

    fs::path home_;
    bool mounted_ = false;
    std::unique_ptr<Tmux> terminal_;
    std::unique_ptr<Tmux> other_;
};

TEST_F(HistoryInTmux, RegenerateSiblingsForkAndTree) {
    start("");
    say("hello");
    see("as message 1, choice 0.");
    see("idle");
    for (int i = 0; i < 2; ++i) {
        terminal_->keys({"C-x", "r"});
        see("branch " + std::to_string(i + 2) + "/" + std::to_string(i + 2));
        see("idle");
    }
    say("/regen --n 2");
    see("branch 4/5");
    see("idle");
    terminal_->keys({"C-x", "]"});
    see("choice 1.");
    see("┊5/5┊");
    terminal_->keys({"C-x", "["});
    see("┊4/5┊");
    say("and more");
    see("<and more> as message 3");
    see("idle");
    terminal_->keys({"C-x", "t"});
    see("branches");
    see("▸ hello");
    see("▸ and more");
    terminal_->keys({"q"});
    gone("branches");
    say("/fork 2 Another way");
    see("goes back to it");
    see("Another way");
    gone("and more");
    terminal_->keys({"C-x", "s"});
    see("conversations");
    see("hello");
    terminal_->keys({"j", "Enter"});
    see("<and more> as message 3");
    quit();
}

TEST_F(HistoryInTmux, AnEditedMessageStandsBesideTheOldOne) {
    start("");
    say("hello");
    see("<hello>");
    see("idle");
    say("/edit");
    see("> hello");
    terminal_->type(" world");
    see("> hello world");
    terminal_->keys({"Enter"});
    see("<hello world> as message 1");
    see("┊2/2┊");
    see("idle");
    say("/undo");
    gone("<hello world>");
    say("/redo");
    see("<hello world>");
    quit();
}

TEST_F(HistoryInTmux, AfterAKillOneKeyContinuesTheAnswer) {
    start("");
    say("count");
    see("one two three");
    // The partial is on the disk within a second; a second chat, which may only read, sees it.
    std::string last;
    ASSERT_TRUE(terminal_->wait_for(
        [&](const std::string&) {
            std::ifstream file(home_ / "moxie/chats.db-wal", std::ios::binary);
            const std::string bytes(std::istreambuf_iterator<char>(file), {});
            return bytes.find("one two three") != std::string::npos;
        },
        &last))
        << last;
    ::kill(terminal_->processes("moxie").back(), SIGKILL);
    see("signal 9");
    then(chat("-c"));
    see("Last session ended unexpectedly during a reply (3 tokens kept). c continue");
    see("idle");
    terminal_->keys({"c"});
    see("┊2/2┊");
    see("gen");
    terminal_->keys({"C-c"});
    see("stopped");
}

TEST_F(HistoryInTmux, ASecondInstanceIsAskedAndGoesOnTemporary) {
    start("");
    say("hello");
    see("<hello>");
    other_ = std::make_unique<Tmux>(100, 30, chat(""));
    see(*other_, "holds this database. Continue here read-only, or with a temporary one?");
    see(*other_, "idle");
    other_->keys({"t"});
    see(*other_, "temporary");
}

TEST_F(HistoryInTmux, ADatabaseFromANewerVersionIsReadAndNotWritten) {
    start("");
    say("hello");
    see("<hello>");
    see("idle");
    quit();
    {
        // user_version is a big-endian number at byte 60 of the file (SQLite file format, 1.3).
        std::fstream file(home_ / "moxie/chats.db",
                          std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(60);
        file.write("\0\0\0\x63", 4);
    }
    then(chat("-c"));
    see("chats.db is version 99; this build knows");
    see("Opened read-only. Upgrade, or moxie chats export.");
    see("<hello>");
    say("more");
    see("<more> as message 3");
    terminal_->keys({"C-d"});
    then(command("export"));
    see("## You");
}

TEST_F(HistoryInTmux, AReadOnlyFolderIsToldAndTheChatGoesOn) {
    const std::string folder = (home_ / "moxie").string();
    fs::create_directories(folder);
    if (::geteuid() == 0) {
        // Who may write everywhere needs a file system that says no.
        mounted_ = ::mount("moxie-test", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
        const bool fixed = mounted_ && ::mount("moxie-test", folder.c_str(), "tmpfs",
                                               MS_REMOUNT | MS_RDONLY, nullptr) == 0;
        if (!fixed) GTEST_SKIP() << "mounting is not allowed here";
    } else {
        fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
    }
    start("");
    see("read-only");
    say("hello");
    see("<hello>");
}

TEST_F(HistoryInTmux, AFullDiskIsToldAndWhatWasMissingIsSavedLater) {
    fs::create_directories(home_ / "moxie");
    mounted_ = ::mount("moxie-test", (home_ / "moxie").c_str(), "tmpfs", 0, "size=1m") == 0;
    if (!mounted_) GTEST_SKIP() << "mounting is not allowed here";
    start("");
    say("first");
    see("<first>");
    see("idle");
    const fs::path filler = home_ / "moxie/filler";
    {
        std::ofstream file(filler, std::ios::binary);
        for (int i = 0; i < 2000 && file.flush(); ++i)
            file << std::string(1024, 'x');
    }
    say("second");
    see("Cannot save: disk full (" + (home_ / "moxie").string());
    see("<second>");
    see("idle");
    fs::remove(filler);
    say("third");
    see("Saving works again");
    see("<third>");
    see("idle");
    quit();
    then(chat("-c"));
    see("<second>");
}

TEST_F(HistoryInTmux, ExportAndTheChatsCommandSpeakOfTheSameConversation) {
    start("");
    say("hello");
    see("<hello>");
    see("idle");
    say("/export " + (home_ / "out.jsonl").string());
    see("Exported to");
    quit();
    then(command("chats"));
    see("hello · mock · 2 turns");
    then(command("chats import " + (home_ / "out.jsonl").string()));
    see("Imported 1 conversation.");
    then(command("chats search hello --json"));
    see("\"snippet\"");
    then(command("chats doctor"));
    see("the database is whole");
}

}  // namespace
