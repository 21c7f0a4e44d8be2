// What is given to the store comes back, whole; what cannot be saved is said.
#include "core/store/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/database.h"
#include "core/store/schema.h"
#include "tests/core/store/store_client.h"

namespace core {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

chat::Sampling unusual_sampling() {
    return {.temperature = 0.1F,
            .top_k = -1,
            .top_p = 1.0F / 3.0F,
            .min_p = std::numeric_limits<float>::denorm_min(),
            .repetition_penalty = 1.07F,
            .repetition_window = -1,
            .frequency_penalty = -0.5F,
            .presence_penalty = 2,
            .logit_bias = {{5, -std::numeric_limits<float>::infinity()}, {70000, 0.1F}},
            .seed = std::numeric_limits<uint64_t>::max(),
            .grok1_order = true};
}

// A tree with everything that a turn can have: two answers, the second of which was changed while
// it was written, a follow-up, a failed answer and one that was stopped.
std::vector<chat::Turn> whole_tree() {
    const auto system = std::make_shared<const std::string>("Be brief.");
    chat::Turn first = answer_turn(2, 1, "one \xC3\xA9");
    first.system = system;
    first.seed = 7;
    first.tokens = {11, 12, 0};
    first.created = 1234;
    first.choice = 3;
    first.format = "grok-2";
    first.flags = {.pinned = true};
    first.text_offsets = {0, 3, 6};
    first.usage = full_usage();
    chat::Turn second = answer_turn(3, 1, "two three");
    second.system = system;
    second.sampling = {.temperature = 0.5F};
    second.tokens = {21, 22};
    second.flags = {.excluded = true};
    second.text_offsets = {0, 3};
    second.reason = chat::FinishReason::length;
    chat::Sampling warmer = second.sampling;
    warmer.temperature = 1.5F;
    warmer.top_k = 3;
    second.marks.push_back({.change = {.at_token = 1, .sampling = warmer}, .text_bytes = 3});
    second.marks.push_back(
        {.change = {.at_token = 2, .sampling = unusual_sampling()}, .text_bytes = 9});
    chat::Turn failed = answer_turn(5, 4, "", chat::TurnState::error);
    failed.error = "Ran out of memory.";
    chat::Turn stopped = answer_turn(6, 4, "par", chat::TurnState::interrupted);
    stopped.reason = chat::FinishReason::cancelled;
    stopped.model = "another";
    return {user_turn(1, 0, "q"),
            first,
            second,
            user_turn(4, 2, std::string("nul \0 in", 8)),
            failed,
            stopped};
}

void expect_same_mark(const chat::ParameterMark& a, const chat::ParameterMark& b) {
    EXPECT_EQ(a.change.at_token, b.change.at_token);
    EXPECT_EQ(a.text_bytes, b.text_bytes);
    EXPECT_EQ(a.change.sampling, b.change.sampling);
}

void expect_same_usage(const chat::Usage& a, const chat::Usage& b) {
    EXPECT_EQ(a.prompt, b.prompt);
    EXPECT_EQ(a.reused, b.reused);
    EXPECT_EQ(a.restored, b.restored);
    EXPECT_EQ(a.recomputed, b.recomputed);
    EXPECT_EQ(a.generated, b.generated);
    EXPECT_EQ(a.restored_bytes, b.restored_bytes);
    EXPECT_EQ(a.restore_seconds, b.restore_seconds);
    EXPECT_EQ(a.prefill_seconds, b.prefill_seconds);
    EXPECT_EQ(a.decode_seconds, b.decode_seconds);
    EXPECT_EQ(a.first_token_seconds, b.first_token_seconds);
}

void expect_same(const chat::Turn& a, const chat::Turn& b) {
    SCOPED_TRACE("turn " + std::to_string(a.id));
    EXPECT_EQ(a.id, b.id);
    EXPECT_EQ(a.parent, b.parent);
    EXPECT_EQ(a.role, b.role);
    EXPECT_EQ(a.state, b.state);
    EXPECT_EQ(a.text, b.text);
    EXPECT_EQ(a.model, b.model);
    EXPECT_EQ(a.format, b.format);
    EXPECT_EQ(*a.system, *b.system);
    EXPECT_EQ(a.sampling, b.sampling);
    EXPECT_EQ(a.reason, b.reason);
    EXPECT_EQ(a.seed, b.seed);
    EXPECT_EQ(a.error, b.error);
    EXPECT_EQ(a.text_offsets, b.text_offsets);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.choice, b.choice);
    EXPECT_EQ(a.flags, b.flags);
    if (a.created != 0) {
        EXPECT_EQ(a.created, b.created);
    }
    ASSERT_EQ(a.marks.size(), b.marks.size());
    for (size_t i = 0; i < a.marks.size(); ++i)
        expect_same_mark(a.marks[i], b.marks[i]);
    expect_same_usage(a.usage, b.usage);
}

std::string integrity(const TemporaryFolder& folder) {
    Database database = Database::open((folder / "chats.db").string(), Database::Access::read_only);
    return database.text("PRAGMA integrity_check") +
           (database.number("SELECT count(*) FROM pragma_foreign_key_check") == 0
                ? ""
                : ", foreign keys broken");
}

// Every byte of every file below the folder.
std::string all_bytes(const TemporaryFolder& folder) {
    std::string bytes;
    for (const auto& entry : fs::recursive_directory_iterator(folder.string())) {
        if (!entry.is_regular_file()) continue;
        std::ifstream file(entry.path(), std::ios::binary);
        bytes += std::string(std::istreambuf_iterator<char>(file), {});
    }
    return bytes;
}

TEST(Store, ATreeWithEveryFieldComesBackTheSame) {
    const TemporaryFolder folder;
    const std::vector<chat::Turn> turns = whole_tree();
    const ConversationHead head{
        .title = "a title",
        .model = {.name = "grok", .path = "/models/grok.gguf", .family = "grok", .bytes = 1000},
        .system = "Be long.",
        .sampling = unusual_sampling(),
        .fixed_seed = true,
        .tip = 3};
    std::string id;
    {
        StoreClient client({.folder = folder.string()});
        EXPECT_EQ(client.opened().access, StoreAccess::writable);
        id = client.save(1, head, turns, true);
    }
    StoreClient client({.folder = folder.string()});
    const StoredConversation stored = client.load(id);
    EXPECT_EQ(stored.head.id, id);
    EXPECT_EQ(stored.head.title, head.title);
    EXPECT_EQ(stored.head.model, head.model);
    EXPECT_EQ(stored.head.system, head.system);
    EXPECT_EQ(stored.head.sampling, head.sampling);
    EXPECT_TRUE(stored.head.fixed_seed);
    EXPECT_EQ(stored.head.tip, 3U);
    EXPECT_EQ(stored.head.turns, turns.size());
    EXPECT_GT(stored.head.created, 1'600'000'000'000);
    EXPECT_EQ(stored.conversation.tip(), 3U);
    EXPECT_EQ(stored.conversation.system(), "Be long.");
    ASSERT_EQ(stored.conversation.size(), turns.size());
    for (const chat::Turn& turn : turns)
        expect_same(turn, stored.conversation.turn(turn.id));
    // One copy of the instructions, not one for every answer.
    EXPECT_EQ(stored.conversation.turn(2).system, stored.conversation.turn(3).system);
    EXPECT_EQ(integrity(folder), "ok");
}

TEST(Store, ALetterIsOfOneTurnAndComesBackWithTheConversation) {
    const TemporaryFolder folder;
    {
        StoreClient client({.folder = folder.string()});
        client.save(1, {.tip = 2}, {user_turn(1, 0, "a"), answer_turn(2, 1, "b")});
        client.ask<Changed>(SetBookmark{.conversation = 1, .key = "x", .turn = 1});
        client.ask<Changed>(SetBookmark{.conversation = 1, .key = "x", .turn = 2});
        client.ask<Changed>(SetBookmark{.conversation = 1, .key = "y", .turn = 1});
        client.ask<StoreFailed>(SetBookmark{.conversation = 1, .key = "z", .turn = 9});
    }
    StoreClient client({.folder = folder.string()});
    const std::map<std::string, chat::TurnId> marks = {{"x", 2}, {"y", 1}};
    EXPECT_EQ(client.load().head.bookmarks, marks);
}

TEST(Store, AnAnswerGrowsUntilItIsFinishedAndNeverChangesAfterwards) {
    const TemporaryFolder folder;
    StoreClient client({.folder = folder.string()});
    client.save(1, {.tip = 1}, {user_turn(1, 0, "q")}, true);
    chat::Turn answer = answer_turn(2, 1, "on", chat::TurnState::streaming);
    client.save(1, {.tip = 2}, {answer});
    answer.text = "one two";
    answer.tokens = {5};
    answer.text_offsets = {0};
    client.save(1, {.tip = 2}, {answer});
    answer.state = chat::TurnState::done;
    client.save(1, {.tip = 2}, {answer});
    chat::Turn forged = answer;
    forged.text = "something else";
    forged.tokens.clear();
    client.save(1, {.tip = 2}, {forged});
    const chat::Conversation loaded = client.load().conversation;
    EXPECT_EQ(loaded.turn(2).text, "one two");
    EXPECT_EQ(loaded.turn(2).tokens.size(), 1U);
    EXPECT_EQ(loaded.turn(2).state, chat::TurnState::done);
}

TEST(Store, TheLastConversationIsTheOneThatWasChangedLast) {
    const TemporaryFolder folder;
    StoreClient client({.folder = folder.string()});
    EXPECT_EQ(client.ask<StoreFailed>(LoadConversation{.conversation = 9}).trouble,
              StoreTrouble::not_found);
    const std::string first = client.save(1, {.tip = 1}, {user_turn(1, 0, "a")});
    const std::string second = client.save(2, {.tip = 1}, {user_turn(1, 0, "b")});
    EXPECT_NE(first, second);
    EXPECT_EQ(client.load().head.id, second);
}

TEST(Store, IdsAreShortAndTheirUniqueBeginningIsEnough) {
    const TemporaryFolder folder;
    StoreClient client({.folder = folder.string()});
    std::vector<std::string> ids;
    for (ConversationRef ref = 1; ref <= 40; ++ref)
        ids.push_back(client.save(ref, {.tip = 1}, {user_turn(1, 0, std::to_string(ref))}));
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
    // 40 ids share 16 first digits.
    for (const std::string& id : ids) {
        EXPECT_EQ(id.size(), 4U);
        EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
        EXPECT_EQ(client.load(id).head.id, id);
        const auto same = [&](const std::string& other) {
            return other.substr(0, 1) == id.substr(0, 1);
        };
        if (std::count_if(ids.begin(), ids.end(), same) > 1) {
            const auto failed = client.ask<StoreFailed>(
                LoadConversation{.conversation = 99, .prefix = id.substr(0, 1)});
            EXPECT_EQ(failed.trouble, StoreTrouble::ambiguous);
            EXPECT_THAT(failed.sentence, HasSubstr(id.substr(0, 1)));
        } else {
            EXPECT_EQ(client.load(id.substr(0, 1)).head.id, id);
        }
    }
    EXPECT_EQ(client.ask<StoreFailed>(LoadConversation{.conversation = 99, .prefix = "*"}).trouble,
              StoreTrouble::not_found);
}

TEST(Store, ALoadedConversationGoesOnUnderItsNewName) {
    const TemporaryFolder folder;
    std::string id;
    {
        StoreClient client({.folder = folder.string()});
        id = client.save(1, {.tip = 1}, {user_turn(1, 0, "a")});
    }
    StoreClient client({.folder = folder.string()});
    client.load(id, 5);
    EXPECT_EQ(client.save(5, {.tip = 2}, {answer_turn(2, 1, "b")}), id);
    EXPECT_EQ(client.load(id).conversation.size(), 2U);
    EXPECT_EQ(client.list().size(), 1U);
}

TEST(Store, AnAnswerThatWasBeingWrittenIsInterruptedNextTime) {
    const TemporaryFolder folder;
    {
        StoreClient client({.folder = folder.string()});
        client.save(1, {.tip = 2},
                    {user_turn(1, 0, "q"),
                     answer_turn(2, 1, "partly written", chat::TurnState::streaming)});
    }
    StoreClient client({.folder = folder.string()});
    const chat::Turn answer = client.load().conversation.turn(2);
    EXPECT_EQ(answer.state, chat::TurnState::interrupted);
    EXPECT_TRUE(answer.cut_off);
    EXPECT_EQ(answer.text, "partly written");
    // It can be searched now.
    Database database = Database::open((folder / "chats.db").string(), Database::Access::read_only);
    EXPECT_EQ(database.number("SELECT count(*) FROM node_fts WHERE node_fts MATCH 'partly'"), 1);
}

TEST(Store, FullTextSearchFindsFinishedTurnsOnce) {
    const TemporaryFolder folder;
    StoreClient client({.folder = folder.string()});
    chat::Turn answer = answer_turn(2, 1, "Lifetimes name", chat::TurnState::streaming);
    client.save(1, {.tip = 2}, {user_turn(1, 0, "caf\xC3\xA9 regions"), answer});
    Database database = Database::open((folder / "chats.db").string(), Database::Access::read_only);
    const auto hits = [&](const std::string& word) {
        return database.number("SELECT count(*) FROM node_fts WHERE node_fts MATCH '" + word + "'");
    };
    EXPECT_EQ(hits("cafe"), 1);
    EXPECT_EQ(hits("lifetimes"), 0);  // still being written
    answer.text = "Lifetimes name regions";
    answer.state = chat::TurnState::done;
    client.save(1, {.tip = 2}, {answer});
    EXPECT_EQ(hits("lifetimes"), 1);
    EXPECT_EQ(hits("regions"), 2);
}

TEST(Store, DeletedConversationsComeBackAndPurgedOnesLeaveNoTrace) {
    const TemporaryFolder folder;
    StoreClient client({.folder = folder.string()});
    const std::string kept =
        client.save(1, {.system = "shared words", .tip = 1}, {user_turn(1, 0, "stays here")}, true);
    const std::string id =
        client.save(2, {.title = "xyzzy title", .system = "xyzzy system", .tip = 2},
                    {user_turn(1, 0, "the xyzzy phrase"), answer_turn(2, 1, "xyzzy again")}, true);
    client.ask<Removed>(RemoveConversation{.conversation = id, .how = Removal::remove});
    EXPECT_EQ(client.list().size(), 1U);
    EXPECT_EQ(client.ask<StoreFailed>(LoadConversation{.prefix = id}).trouble,
              StoreTrouble::not_found);
    client.ask<Removed>(RemoveConversation{.conversation = id, .how = Removal::restore});
    EXPECT_EQ(client.load(id).conversation.size(), 2U);

    EXPECT_THAT(all_bytes(folder), HasSubstr("xyzzy"));
    client.ask<Removed>(RemoveConversation{.conversation = id, .how = Removal::purge});
    EXPECT_EQ(client.list().size(), 1U);
    EXPECT_THAT(all_bytes(folder), testing::Not(HasSubstr("xyzzy")));
    EXPECT_THAT(all_bytes(folder), HasSubstr("stays here"));
    EXPECT_EQ(client.load(kept).head.system, "shared words");
    EXPECT_EQ(integrity(folder), "ok");
}

TEST(Store, FilesAreForTheirOwnerAlone) {
    const TemporaryFolder folder;
    const StoreOptions options{.folder = (folder / "made").string()};
    StoreClient client(options);
    client.save(1, {.tip = 1}, {user_turn(1, 0, "a")}, true);
    const auto mode = [](const fs::path& path) {
        struct stat status = {};
        ::stat(path.c_str(), &status);
        return status.st_mode & 0777U;
    };
    EXPECT_EQ(mode(options.folder), 0700U);
    int files = 0;
    for (const auto& entry : fs::directory_iterator(options.folder)) {
        EXPECT_EQ(mode(entry.path()), 0600U) << entry.path();
        ++files;
    }
    EXPECT_GE(files, 3);  // database, log, lock
}

TEST(Store, ASecondInstanceIsToldAndReadsOnly) {
    const TemporaryFolder folder;
    StoreClient writer({.folder = folder.string()});
    const std::string id = writer.save(1, {.tip = 1}, {user_turn(1, 0, "a")});
    StoreClient reader({.folder = folder.string()});
    EXPECT_EQ(reader.opened().access, StoreAccess::read_only);
    EXPECT_THAT(reader.opened().sentence,
                HasSubstr("Another moxie (pid " + std::to_string(::getpid()) + ")"));
    EXPECT_EQ(reader.load(id).conversation.turn(1).text, "a");
    EXPECT_EQ(reader.ask<StoreFailed>(SaveTurns{.conversation = 1}).trouble,
              StoreTrouble::read_only);
    EXPECT_EQ(writer.save(1, {.tip = 2}, {user_turn(2, 1, "b")}), id);
}

TEST(Store, TheNextInstanceWritesWhenTheFirstHasEnded) {
    const TemporaryFolder folder;
    { const StoreClient first({.folder = folder.string()}); }
    const StoreClient second({.folder = folder.string()});
    EXPECT_EQ(second.opened().access, StoreAccess::writable);
}

TEST(Store, AFullDiskIsSaidAndSavingGoesOnWhenThereIsRoom) {
    const TemporaryFolder folder;
    const std::string big(1 << 20, 'x');
    {
        StoreClient client({.folder = folder.string(), .page_limit = 100});
        const auto failed = client.ask<StoreFailed>(
            SaveTurns{.conversation = 1, .head = {.tip = 1}, .turns = {user_turn(1, 0, big)}});
        EXPECT_EQ(failed.trouble, StoreTrouble::disk_full);
        EXPECT_THAT(
            failed.sentence,
            testing::MatchesRegex(
                "Cannot save: disk full \\(/.*, .* free\\)\\. The chat continues in memory\\. .*"));
        // A conversation that could not be made is made when it can be.
        client.save(1, {.tip = 1}, {user_turn(1, 0, "small")});
        EXPECT_EQ(client.load().conversation.turn(1).text, "small");
    }
    EXPECT_EQ(integrity(folder), "ok");
}

TEST(Store, AReadOnlyFolderIsSaidAndRead) {
    if (::geteuid() == 0) GTEST_SKIP() << "everything is writable for root";
    const TemporaryFolder folder;
    std::string id;
    {
        StoreClient client({.folder = folder.string()});
        id = client.save(1, {.tip = 1}, {user_turn(1, 0, "a")}, true);
    }
    fs::remove(folder / "chats.db.lock");
    ::chmod(folder.string().c_str(), 0500);
    StoreClient client({.folder = folder.string()});
    EXPECT_EQ(client.opened().access, StoreAccess::read_only);
    EXPECT_THAT(client.opened().sentence, HasSubstr("read-only"));
    EXPECT_EQ(client.load(id).conversation.turn(1).text, "a");
}

TEST(Store, AFolderThatCannotBeMadeIsSaid) {
    const TemporaryFolder folder;
    std::ofstream(folder / "file") << "in the way";
    const StoreClient client({.folder = (folder / "file").string()});
    EXPECT_EQ(client.opened().access, StoreAccess::none);
    EXPECT_THAT(client.opened().sentence, HasSubstr("Cannot save: "));
    EXPECT_THAT(client.opened().sentence, HasSubstr("The chat continues in memory."));
}

TEST(Store, AFileThatIsNoDatabaseIsSaidAndLeftAlone) {
    const TemporaryFolder folder;
    const std::string text(5000, 'n');
    std::ofstream(folder / "chats.db") << text;
    {
        StoreClient client({.folder = folder.string()});
        EXPECT_EQ(client.opened().access, StoreAccess::none);
        EXPECT_THAT(client.opened().sentence, HasSubstr("not a database"));
        EXPECT_EQ(client.ask<StoreFailed>(SaveTurns{.conversation = 1}).trouble,
                  StoreTrouble::read_only);
    }
    std::stringstream now;
    now << std::ifstream(folder / "chats.db").rdbuf();
    EXPECT_EQ(now.str(), text);
}

TEST(Store, ADatabaseFromANewerVersionOpensReadOnly) {
    const TemporaryFolder folder;
    std::string id;
    {
        StoreClient client({.folder = folder.string()});
        id = client.save(1, {.tip = 1}, {user_turn(1, 0, "a")});
    }
    Database::open((folder / "chats.db").string(), Database::Access::create)
        .run("PRAGMA user_version = 99");
    StoreClient client({.folder = folder.string()});
    EXPECT_EQ(client.opened().access, StoreAccess::read_only);
    EXPECT_THAT(client.opened().sentence,
                HasSubstr("chats.db is version 99; this build knows " +
                          std::to_string(schema_migrations().size()) + ". Opened read-only"));
    EXPECT_EQ(client.load(id).conversation.turn(1).text, "a");
}

TEST(Store, RowsThatAreNoTreeAreRefusedAndTheStoreGoesOn) {
    const TemporaryFolder folder;
    std::string id;
    {
        StoreClient client({.folder = folder.string()});
        id = client.save(1, {.tip = 2}, {user_turn(1, 0, "a"), user_turn(2, 1, "b")});
    }
    Database::open((folder / "chats.db").string(), Database::Access::create)
        .run("DELETE FROM node WHERE ordinal = 1");
    StoreClient client({.folder = folder.string()});
    EXPECT_EQ(client.ask<StoreFailed>(LoadConversation{.prefix = id}).trouble,
              StoreTrouble::damaged);
    EXPECT_EQ(client.list().size(), 1U);
}

TEST(Store, WhatIsInTheQueueIsWrittenBeforeTheStoreEnds) {
    const TemporaryFolder folder;
    {
        StoreClient client({.folder = folder.string()});
        for (chat::TurnId id = 1; id <= 50; ++id)
            client.channel().requests.push(
                SaveTurns{.id = id,
                          .conversation = 1,
                          .head = {.tip = id},
                          .turns = {user_turn(id, id - 1, std::to_string(id))}});
    }
    StoreClient client({.folder = folder.string()});
    EXPECT_EQ(client.load().conversation.size(), 50U);
}

}  // namespace
}  // namespace core
