// History, branching and what can happen to the database, in a real terminal.
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/program_in_tmux.h"

namespace {

namespace fs = std::filesystem;
using e2e::Tmux;

constexpr const char* kEcho = R"([[reply]]
match = "count"
text = "one two three"
tokens = [{ text = " four", hold = "cancel" }]
[[reply]]
text = "You said <{prompt}> as message {messages}, choice {choice}.")";

class HistoryInTmux : public e2e::ProgramInTmux {
  protected:
    void TearDown() override {
        ProgramInTmux::TearDown();
        std::error_code ignored;
        fs::permissions(data(), fs::perms::owner_all, ignored);
        // The program may still be ending.
        if (mounted) ::umount2(data().c_str(), MNT_DETACH);
    }

    std::string chat(const std::string& arguments = {}) const { return scripted(kEcho, arguments); }
    void start_chat() {
        start(chat(), 100, 30);
        see("idle");
    }

    bool mounted = false;
};

TEST_F(HistoryInTmux, RegenerateSiblingsForkAndTree) {
    start_chat();
    say("hello");
    see("as message 1, choice 0.");
    see("idle");
    for (int i = 0; i < 2; ++i) {
        terminal->keys({"C-x", "r"});
        see("branch " + std::to_string(i + 2) + "/" + std::to_string(i + 2));
        see("idle");
    }
    say("/regen --n 2");
    see("branch 4/5");
    see("idle");
    terminal->keys({"C-x", "]"});
    see("choice 1.");
    see("┊5/5┊");
    terminal->keys({"C-x", "["});
    see("┊4/5┊");
    say("and more");
    see("<and more> as message 3");
    see("idle");
    terminal->keys({"C-x", "t"});
    see("branches");
    see("▸ hello");
    see("▸ and more");
    terminal->keys({"q"});
    see_no("branches");
    say("/fork 2 Another way");
    see("goes back to it");
    see("Another way");
    see_no("and more");
    terminal->keys({"C-x", "s"});
    see("conversations");
    see("hello");
    terminal->keys({"j", "Enter"});
    see("<and more> as message 3");
    quit();
}

TEST_F(HistoryInTmux, AnEditedMessageStandsBesideTheOldOne) {
    start_chat();
    say("hello");
    see("<hello>");
    see("idle");
    say("/edit");
    see("> hello");
    terminal->type(" world");
    see("> hello world");
    terminal->keys({"Enter"});
    see("<hello world> as message 1");
    see("┊2/2┊");
    see("idle");
    say("/undo");
    see_no("<hello world>");
    say("/redo");
    see("<hello world>");
    quit();
}

TEST_F(HistoryInTmux, AfterAKillOneKeyContinuesTheAnswer) {
    start_chat();
    say("count");
    see("one two three");
    // The partial is on the disk within a second; a second chat, which may only read, sees it.
    std::string last;
    ASSERT_TRUE(terminal->wait_for(
        [&](const std::string&) {
            std::ifstream file(data() / "chats.db-wal", std::ios::binary);
            const std::string bytes(std::istreambuf_iterator<char>(file), {});
            return bytes.find("one two three") != std::string::npos;
        },
        &last))
        << last;
    ::kill(terminal->processes("moxie").back(), SIGKILL);
    see("signal 9");
    then(chat("-c"));
    see("Last session ended unexpectedly during a reply (3 tokens kept). c continue");
    see("idle");
    terminal->keys({"c"});
    see("┊2/2┊");
    see("gen");
    terminal->keys({"C-c"});
    see("stopped");
}

TEST_F(HistoryInTmux, ASecondInstanceIsAskedAndGoesOnTemporary) {
    start_chat();
    say("hello");
    see("<hello>");
    other = std::make_unique<Tmux>(100, 30, chat());
    see(*other, "holds this database. Continue here read-only, or with a temporary one?");
    see(*other, "idle");
    other->keys({"t"});
    see(*other, "temporary");
}

TEST_F(HistoryInTmux, ADatabaseFromANewerVersionIsReadAndNotWritten) {
    start_chat();
    say("hello");
    see("<hello>");
    see("idle");
    quit();
    {
        // user_version is a big-endian number at byte 60 of the file (SQLite file format, 1.3).
        std::fstream file(data() / "chats.db", std::ios::binary | std::ios::in | std::ios::out);
        file.seekp(60);
        file.write("\0\0\0\x63", 4);
    }
    then(chat("-c"));
    see("chats.db is version 99; this build knows");
    see("Opened read-only. Upgrade, or moxie chats export.");
    see("<hello>");
    say("more");
    see("<more> as message 3");
    terminal->keys({"C-d"});
    then(command("export"));
    see("## You");
}

TEST_F(HistoryInTmux, AReadOnlyFolderIsToldAndTheChatGoesOn) {
    const std::string folder = data().string();
    fs::create_directories(folder);
    if (::geteuid() == 0) {
        // Who may write everywhere needs a file system that says no.
        mounted = ::mount("moxie-test", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
        const bool fixed = mounted && ::mount("moxie-test", folder.c_str(), "tmpfs",
                                              MS_REMOUNT | MS_RDONLY, nullptr) == 0;
        if (!fixed) GTEST_SKIP() << "mounting is not allowed here";
    } else {
        fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
    }
    start_chat();
    see("read-only");
    say("hello");
    see("<hello>");
}

TEST_F(HistoryInTmux, AFullDiskIsToldAndWhatWasMissingIsSavedLater) {
    fs::create_directories(data());
    mounted = ::mount("moxie-test", data().c_str(), "tmpfs", 0, "size=1m") == 0;
    if (!mounted) GTEST_SKIP() << "mounting is not allowed here";
    start_chat();
    say("first");
    see("<first>");
    see("idle");
    const fs::path filler = data() / "filler";
    {
        std::ofstream file(filler, std::ios::binary);
        for (int i = 0; i < 2000 && file.flush(); ++i)
            file << std::string(1024, 'x');
    }
    say("second");
    see("Cannot save: disk full (" + data().string());
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
    start_chat();
    say("hello");
    see("<hello>");
    see("idle");
    say("/export " + (home() / "out.jsonl").string());
    see("Exported to");
    quit();
    then(command("chats"));
    see("hello · mock · 2 turns");
    then(command("chats import " + (home() / "out.jsonl").string()));
    see("Imported 1 conversation.");
    then(command("chats search hello --json"));
    see("\"snippet\"");
    then(command("chats doctor"));
    see("the database is whole");
}

}  // namespace
