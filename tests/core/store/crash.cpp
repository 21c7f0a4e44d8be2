#include "tests/core/store/crash.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "core/store/database.h"
#include "tests/core/store/store_client.h"

namespace core {
namespace {

std::string prompt_text(chat::TurnId id) {
    return "prompt " + std::to_string(id);
}

// A chat as the program saves it: a durable prompt, a partial answer a few times, the whole answer.
// Each acknowledged prompt is told through `fd`.
[[noreturn]] void write_for_ever(const std::string& folder, chat::TurnId turns, int fd) {
    StoreClient client({.folder = folder});
    ConversationRef ref = 1;
    if (turns > 0) client.load({}, ref);
    for (chat::TurnId id = turns + 1;; id += 2) {
        client.save(ref, {.tip = id}, {user_turn(id, id - 1, prompt_text(id))}, true);
        const uint32_t told = id;
        if (::write(fd, &told, sizeof told) != sizeof told) ::_exit(1);
        chat::Turn answer = answer_turn(id + 1, id, "", chat::TurnState::streaming);
        for (int step = 0; step < 4; ++step) {
            answer.text += " some more words of an answer";
            answer.tokens.push_back(step);
            answer.text_offsets.push_back(0);
            if (step == 3) answer.state = chat::TurnState::done;
            client.save(ref, {.tip = id + 1}, {answer});
        }
    }
}

void spin_for(std::chrono::microseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

// Returns the last turn whose Saved had arrived.
chat::TurnId run_and_kill(const std::string& folder, chat::TurnId turns, std::mt19937& random) {
    std::array<int, 2> ends = {};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ends[0]);
        write_for_ever(folder, turns, ends[1]);
    }
    ::close(ends[1]);
    chat::TurnId last = turns;
    uint32_t told = 0;
    for (auto left = 1 + random() % 6; left > 0; --left)
        if (::read(ends[0], &told, sizeof told) == sizeof told) last = told;
    spin_for(std::chrono::microseconds(random() % 3000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";
    // What it was told between the last read and its end counts too.
    while (::read(ends[0], &told, sizeof told) == sizeof told)
        last = told;
    ::close(ends[0]);
    return last;
}

}  // namespace

void kill_writers(int rounds, uint32_t seed) {
    const TemporaryFolder folder;
    std::mt19937 random(seed);
    chat::TurnId turns = 0;
    int cut_off = 0;
    for (int round = 0; round < rounds; ++round) {
        SCOPED_TRACE("round " + std::to_string(round) + " of seed " + std::to_string(seed));
        const chat::TurnId promised = run_and_kill(folder.string(), turns, random);
        ASSERT_GT(promised, turns);
        StoreClient client({.folder = folder.string()});
        ASSERT_EQ(client.opened().access, StoreAccess::writable) << client.opened().sentence;
        const chat::Conversation conversation = client.load().conversation;
        ASSERT_GE(conversation.size(), promised);
        for (chat::TurnId id = 1; id <= conversation.size(); ++id) {
            const chat::Turn& turn = conversation.turn(id);
            EXPECT_NE(turn.state, chat::TurnState::streaming);
            if (turn.role == chat::Role::user) {
                EXPECT_EQ(turn.text, prompt_text(id));
            }
            EXPECT_EQ(turn.tokens.size(), turn.text_offsets.size());
            cut_off += turn.cut_off && id > turns ? 1 : 0;
        }
        Database database =
            Database::open((folder / "chats.db").string(), Database::Access::read_only);
        ASSERT_EQ(database.text("PRAGMA integrity_check"), "ok");
        ASSERT_EQ(database.number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
        // A prompt without an answer stays; the next process goes on behind it.
        turns = conversation.size();
        ASSERT_EQ(conversation.tip(), turns);
    }
    EXPECT_GT(cut_off, 0) << "no process was killed within an answer: the test tests nothing";
}

}  // namespace core
