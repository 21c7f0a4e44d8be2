// kill -9 at 100 random moments of a scripted conversation: a message that was drawn as sent is
// never lost, and the database is always whole. A disk that takes its time does not slow typing.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/store/database.h"
#include "tests/app/kept_chat.h"

namespace app {
namespace {

std::string prompt_text(uint32_t number) {
    return "prompt number " + std::to_string(number) + ".";
}

// Talks for ever, in every way that grows a tree; tells each prompt when the screen shows it sent.
[[noreturn]] void talk(const std::string& folder, uint32_t number, int fd) {
    KeptChat chat(folder, {.resume = ""});
    chat.ready();
    chat.until_idle();
    while (true) {
        ++number;
        chat.enter(prompt_text(number));
        chat.until_seen("you ▸ " + prompt_text(number));
        if (::write(fd, &number, sizeof number) != sizeof number) ::_exit(1);
        chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
        chat.say({"some", " words", " of", " an", " answer"});
        chat.wait(std::chrono::milliseconds(1100));  // a partial is due
        chat.say({" and", " more"});
        chat.finish();
        chat.until_idle();
        switch (number % 4) {
            case 0: chat.enter("/undo"); break;
            case 1: chat.enter("/exclude"); break;
            case 2:
                chat.type("\x18r");
                chat.until([&] { return chat.session().activity() == Activity::prefill; }, "again");
                chat.say({"another"});
                chat.finish();
                break;
            default: chat.enter("/rename title " + std::to_string(number)); break;
        }
        chat.until_idle();
    }
}

void spin_for(std::chrono::microseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

// Adds what was drawn as sent to `drawn`.
void run_and_kill(const std::string& folder, std::set<uint32_t>& drawn, std::mt19937& random) {
    std::array<int, 2> ends = {};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const uint32_t begin = drawn.empty() ? 0 : *drawn.rbegin() + 1;
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        talk(folder, begin, ends[1]);
    }
    ::close(ends[1]);
    uint32_t told = 0;
    for (auto left = 1 + random() % 4; left > 0; --left)
        if (::read(ends[0], &told, sizeof told) == sizeof told) drawn.insert(told);
    spin_for(std::chrono::microseconds(random() % 8000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the chat ended by itself";
    while (::read(ends[0], &told, sizeof told) == sizeof told)
        drawn.insert(told);
    ::close(ends[0]);
}

std::set<std::string> saved_prompts(const std::string& folder) {
    core::Database database =
        core::Database::open(folder + "/chats.db", core::Database::Access::read_only);
    EXPECT_EQ(database.text("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(database.number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    std::set<std::string> found;
    core::Statement rows = database.prepare(
        "SELECT text FROM part JOIN node ON node.id = node_id WHERE role = 'user'");
    while (rows.step())
        found.emplace(rows.text(0));
    return found;
}

TEST(KilledChat, LosesNoMessageThatWasDrawnAsSent) {
    const KeptFolder folder;
    constexpr uint32_t kSeed = 20251121;
    std::mt19937 random(kSeed);
    std::set<uint32_t> drawn;
    for (int round = 0; round < 100; ++round) {
        SCOPED_TRACE("round " + std::to_string(round) + " of seed " + std::to_string(kSeed));
        run_and_kill(folder.path(), drawn, random);
        ASSERT_FALSE(drawn.empty());
        const std::set<std::string> saved = saved_prompts(folder.path());
        for (const uint32_t number : drawn)
            ASSERT_TRUE(saved.count(prompt_text(number)) == 1) << prompt_text(number);
    }
    // What was cut off is marked as such by the next start, and nothing is left streaming.
    {
        core::StoreChannel channel;
        const core::Store store({.folder = folder.path()}, channel);
    }
    core::Database database =
        core::Database::open(folder.path() + "/chats.db", core::Database::Access::read_only);
    EXPECT_EQ(database.number("SELECT count(*) FROM node WHERE state = 'streaming'"), 0);
    EXPECT_GT(database.number("SELECT count(*) FROM node WHERE finish_reason = 'cut_off'"), 0)
        << "no chat was killed within an answer: the test tests nothing";
}

TEST(SlowDisk, AnFsyncOf500MillisecondsLeavesTypingUnder16AtTheNinetyNinthPercentile) {
    const KeptFolder folder;
    KeptChat chat(folder.path(), {}, std::chrono::milliseconds(500));
    chat.ready();
    chat.until_idle();
    std::vector<double> times;
    for (int message = 0; message < 3; ++message) {
        chat.enter("a message");
        while (chat.session().activity() == Activity::saving) {
            const auto begin = std::chrono::steady_clock::now();
            chat.type("x");
            times.push_back(
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
                    .count());
        }
        chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
        chat.finish();
        chat.until_idle();
        chat.type("\x03");
    }
    ASSERT_GT(times.size(), 100U);
    std::sort(times.begin(), times.end());
    EXPECT_LT(times[times.size() * 99 / 100], 16.0);
}

}  // namespace
}  // namespace app
