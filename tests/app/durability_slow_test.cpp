// The real program: kill -9 at 100 random moments of a scripted conversation never loses a message
// that was drawn as sent, and the database is always whole. A disk that takes its time does not
// slow typing.
#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "bench/pty_chat.h"
#include "core/store/database.h"
#include "core/store/waiting_store.h"
#include "tests/app/kept_chat.h"
#include "tests/app/program.h"

namespace app {
namespace {

using namespace std::chrono_literals;
using bench::Clock;

// A hundred milliseconds of answer.
constexpr const char* kScript = R"(
[[reply]]
delay_ms = 8
text = "some words of an answer that takes a while to be written."
)";

std::string prompt_text(uint32_t number) {
    return "prompt number " + std::to_string(number) + ".";
}

class RealChat {
  public:
    explicit RealChat(const std::string& home, bench::PtyChat::Environment more = {})
        : chat_(MOXIE_BINARY_DIR "/moxie",
                {"--no-supervisor", "--backend", "mock:" + script_.path()},
                environment(home, std::move(more))) {
        chat_.ask("wait idle", 60s);
    }

    bench::PtyChat& terminal() { return chat_; }
    bool shows(const std::string& text) {
        return chat_.ask("dump-screen", 60s).find(text) != std::string::npos;
    }
    void until_shown(const std::string& text) {
        const auto deadline = Clock::now() + 60s;
        while (!shows(text))
            if (Clock::now() > deadline) throw std::runtime_error("never shown: " + text);
    }
    void enter(const std::string& line) { chat_.write(line + "\r"); }
    void until_idle() { chat_.ask("wait idle", 60s); }

  private:
    static bench::PtyChat::Environment environment(const std::string& home,
                                                   bench::PtyChat::Environment more) {
        for (const char* name : {"CONFIG", "DATA", "STATE", "CACHE"})
            more.emplace_back("XDG_" + std::string(name) + "_HOME", home + "/" + name);
        return more;
    }

    TemporaryFile script_{"durability.toml", kScript};
    bench::PtyChat chat_;
};

// What else makes a tree grow and change.
void do_something_else(RealChat& chat, uint32_t number) {
    switch (number % 4) {
        case 0: chat.enter("/undo"); break;
        case 1: chat.enter("/exclude"); break;
        case 2: chat.terminal().write("\x18r"); break;
        default: chat.enter("/rename title " + std::to_string(number)); break;
    }
    chat.until_idle();
}

// Adds what was drawn as sent to `drawn`.
void talk_and_be_killed(const std::string& home, std::set<uint32_t>& drawn, std::mt19937& random) {
    RealChat chat(home);
    uint32_t number = drawn.empty() ? 0 : *drawn.rbegin() + 1;
    for (auto left = random() % 3; left > 0; --left) {
        chat.enter(prompt_text(++number));
        chat.until_shown("you ▸ " + prompt_text(number));
        drawn.insert(number);
        chat.until_idle();
        do_something_else(chat, number);
    }
    // The last is killed on its way to the disk, while it is answered, or after that.
    chat.enter(prompt_text(++number));
    const auto end = Clock::now() + std::chrono::microseconds(random() % 150'000);
    while (Clock::now() < end)
        if (chat.shows("you ▸ " + prompt_text(number))) drawn.insert(number);
    chat.terminal().kill_now();
}

std::string database_of(const std::string& home) {
    return home + "/DATA/moxie/chats.db";
}

std::set<std::string> saved_prompts(const std::string& home) {
    core::Database database =
        core::Database::open(database_of(home), core::Database::Access::read_only);
    EXPECT_EQ(database.text("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(database.number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    std::set<std::string> found;
    core::Statement rows = database.prepare(
        "SELECT text FROM part JOIN node ON node.id = node_id WHERE role = 'user'");
    while (rows.step())
        found.emplace(rows.text(0));
    return found;
}

TEST(KilledProgram, LosesNoMessageThatWasDrawnAsSentInAHundredKills) {
    const KeptFolder home;
    constexpr uint32_t kSeed = 20251121;
    std::mt19937 random(kSeed);
    std::set<uint32_t> drawn;
    for (int round = 0; round < 100; ++round) {
        SCOPED_TRACE("round " + std::to_string(round) + " of seed " + std::to_string(kSeed));
        talk_and_be_killed(home.path(), drawn, random);
        const std::set<std::string> saved = saved_prompts(home.path());
        for (const uint32_t number : drawn)
            ASSERT_TRUE(saved.count(prompt_text(number)) == 1) << prompt_text(number);
    }
    EXPECT_GT(drawn.size(), 100U);
    // What was cut off is marked as such by the next start, and nothing is left streaming.
    { const core::WaitingStore store({.folder = home.path() + "/DATA/moxie"}); }
    core::Database database =
        core::Database::open(database_of(home.path()), core::Database::Access::read_only);
    EXPECT_EQ(database.number("SELECT count(*) FROM node WHERE state = 'streaming'"), 0);
    EXPECT_GT(database.number("SELECT count(*) FROM node WHERE finish_reason = 'cut_off'"), 10)
        << "hardly any was killed within an answer: the test tests little";
}

TEST(SlowDisk, AnFsyncOf500MillisecondsLeavesTypingUnder16AtTheNinetyNinthPercentile) {
    const KeptFolder home;
    RealChat chat(home.path(), {{"LD_PRELOAD", MOXIE_SLOW_SYNC}});
    std::vector<double> times;
    for (int message = 0; message < 4; ++message) {
        const std::string text = prompt_text(static_cast<uint32_t>(message));
        chat.until_idle();
        chat.enter(text);
        const auto sent = Clock::now();
        for (int i = 0; Clock::now() - sent < 450ms; ++i) {
            const std::string letter = bench::rare_letter(i);
            const auto time = chat.terminal().time_until(letter, letter, 10s);
            ASSERT_TRUE(time) << "a letter did not appear";
            times.push_back(*time);
            chat.terminal().write("\x7f");
            chat.terminal().drain(2);
        }
        ASSERT_FALSE(chat.shows("you ▸ " + text)) << "the disk was not slow";
        chat.until_shown("you ▸ " + text);
    }
    ASSERT_GT(times.size(), 100U);
    std::sort(times.begin(), times.end());
    EXPECT_LT(times[times.size() * 99 / 100], 16.0);
}

}  // namespace
}  // namespace app
