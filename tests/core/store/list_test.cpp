// Finding, naming and removing saved conversations.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/database.h"
#include "core/store/file_lock.h"
#include "core/store/schema.h"
#include "tests/core/store/store_client.h"

namespace core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> titles(const std::vector<ConversationHead>& heads) {
    std::vector<std::string> found;
    found.reserve(heads.size());
    for (const ConversationHead& head : heads)
        found.push_back(head.title);
    return found;
}

class Lists : public testing::Test {
  protected:
    std::string add(const std::string& title, const std::string& question,
                    const std::string& answer) {
        return client.save(++last, {.title = title, .tip = 2},
                           {user_turn(1, 0, question), answer_turn(2, 1, answer)});
    }
    std::vector<ConversationHead> list(ListKind kind, const std::string& filter = {}) {
        return client.ask<Listed>(ListConversations{.kind = kind, .filter = filter}).conversations;
    }
    std::vector<SearchHit> search(SearchTurns wanted) {
        return client.ask<Found>(std::move(wanted)).hits;
    }

    TemporaryFolder folder;
    StoreClient client{{.folder = folder.string()}};
    ConversationRef last = 0;
};

TEST_F(Lists, PinnedOnesComeFirstThenTheNewest) {
    const std::string first = add("first", "a", "b");
    add("second", "a", "b");
    add("third", "a", "b");
    client.ask<Changed>(ChangeConversation{.conversation = first, .pinned = true});
    EXPECT_THAT(titles(client.list()), ElementsAre("first", "third", "second"));
    EXPECT_TRUE(client.list().front().pinned);
}

TEST_F(Lists, TurnsBranchesAndTokensAreCounted) {
    chat::Turn answer = answer_turn(2, 1, "b");
    answer.tokens = {1, 2, 3};
    answer.text_offsets = {0, 0, 1};
    chat::Turn removed = answer_turn(4, 1, "d");
    removed.flags.removed = true;
    client.save(1, {.tip = 2}, {user_turn(1, 0, "a"), answer, answer_turn(3, 1, "c"), removed});
    const ConversationHead head = client.list().front();
    EXPECT_EQ(head.turns, 3U);
    EXPECT_EQ(head.branches, 2U);
    EXPECT_EQ(head.tokens, 3U);
}

TEST_F(Lists, AFilterIsAPartOfTheTitleAndMeansItself) {
    add("100% sure", "a", "b");
    add("Borrow checker", "a", "b");
    EXPECT_THAT(titles(list(ListKind::open, "borrow")), ElementsAre("Borrow checker"));
    EXPECT_THAT(titles(list(ListKind::open, "0%")), ElementsAre("100% sure"));
    EXPECT_TRUE(list(ListKind::open, "%x").empty());
}

TEST_F(Lists, ArchivedAndDeletedOnesHaveListsOfTheirOwn) {
    const std::string archived = add("archived", "a", "b");
    const std::string deleted = add("deleted", "a", "b");
    add("open", "a", "b");
    client.ask<Changed>(ChangeConversation{.conversation = archived, .archived = true});
    client.ask<Removed>(RemoveConversation{.conversation = deleted});
    EXPECT_THAT(titles(list(ListKind::open)), ElementsAre("open"));
    EXPECT_THAT(titles(list(ListKind::archived)), ElementsAre("archived"));
    EXPECT_THAT(titles(list(ListKind::deleted)), ElementsAre("deleted"));
    const auto back = client.ask<Removed>(RemoveConversation{.how = Removal::restore});
    EXPECT_EQ(back.conversation, deleted);
    EXPECT_TRUE(list(ListKind::deleted).empty());
}

TEST_F(Lists, ATitleThatWasChangedStays) {
    const std::string id = add("before", "a", "b");
    client.ask<Changed>(ChangeConversation{.conversation = id, .title = "after"});
    EXPECT_EQ(client.load(id).head.title, "after");
}

TEST_F(Lists, AConversationIsFoundByItsTitleAlone) {
    const std::string id = add("Borrow checker", "a", "b");
    add("another", "a", "b");
    EXPECT_EQ(client.load("borrow").head.id, id);
    add("borrow a cup", "a", "b");
    const auto failed =
        client.ask<StoreFailed>(LoadConversation{.conversation = 9, .prefix = "borrow"});
    EXPECT_EQ(failed.trouble, StoreTrouble::ambiguous);
    EXPECT_THAT(failed.sentence, HasSubstr("borrow a cup"));
}

TEST_F(Lists, SearchFindsWhatWasSaidWithASnippet) {
    const std::string id = add("Rust", "explain lifetimes", "A lifetime names a region of code");
    add("Cooking", "how long do eggs take", "Seven minutes");
    const auto hits = search({.text = "lifetime region"});
    ASSERT_EQ(hits.size(), 1U);
    EXPECT_EQ(hits[0].conversation, id);
    EXPECT_EQ(hits[0].title, "Rust");
    EXPECT_EQ(hits[0].turn, 2U);
    EXPECT_EQ(hits[0].snippet, "A [lifetime] names a [region] of code");
    EXPECT_EQ(search({.text = "lifet"}).size(), 2U) << "the last word may be a beginning";
    EXPECT_EQ(search({.text = "lifet", .role = chat::Role::user}).size(), 1U);
    EXPECT_EQ(search({.text = "minutes", .model = "grok"}).size(), 1U);
    EXPECT_TRUE(search({.text = "minutes", .model = "other"}).empty());
    EXPECT_TRUE(search({.text = "minutes", .conversation = id}).empty());
}

TEST_F(Lists, SearchTakesEveryTextAsWords) {
    add("t", "say \"hi\" NOT (this) AND* that", "b");
    for (const char* text : {"\"hi\"", "NOT", "(this)", "AND*", "\"", "*", "-", "col:x"})
        EXPECT_NO_THROW(search({.text = text})) << text;
    EXPECT_EQ(search({.text = "NOT (this)"}).size(), 1U);
    EXPECT_TRUE(search({.text = "   "}).empty());
}

TEST_F(Lists, DeletedConversationsAndRemovedTurnsAreNotFound) {
    const std::string id = add("t", "needle", "b");
    client.ask<Changed>(
        FlagTurn{.conversation = last, .turn = 2, .flags = {.pinned = true, .removed = true}});
    EXPECT_TRUE(search({.text = "b"}).empty());
    EXPECT_TRUE(client.load(id).conversation.turn(2).flags.pinned);
    client.ask<Removed>(RemoveConversation{.conversation = id});
    EXPECT_TRUE(search({.text = "needle"}).empty());
}

TEST_F(Lists, TheTrashIsEmptiedAfterThirtyDays) {
    const std::string old = add("old", "a", "b");
    const std::string recent = add("recent", "a", "b");
    client.ask<Removed>(RemoveConversation{.conversation = old});
    client.ask<Removed>(RemoveConversation{.conversation = recent});
    Database::open((folder / "chats.db").string(), Database::Access::create)
        .run("UPDATE conversation SET deleted_at = deleted_at - 31 * 86400000 WHERE title = 'old'");
    const TemporaryFolder elsewhere;
    std::filesystem::copy(folder / "chats.db", elsewhere / "chats.db");
    std::filesystem::copy(folder / "chats.db-wal", elsewhere / "chats.db-wal");
    StoreClient next({.folder = elsewhere.string()});
    EXPECT_THAT(
        titles(next.ask<Listed>(ListConversations{.kind = ListKind::deleted}).conversations),
        ElementsAre("recent"));
}

TEST_F(Lists, AForkRemembersWhereItCameFrom) {
    const std::string id = add("origin", "a", "b");
    const std::string fork =
        client.save(9, {.title = "fork", .tip = 1, .origin = {.conversation = id, .turn = 2}},
                    {user_turn(1, 0, "a")});
    EXPECT_EQ(client.load(fork).head.origin, (ForkOrigin{.conversation = id, .turn = 2}));
}

TEST(OlderDatabase, IsReadAsItIsWhereItMayNotBeWritten) {
    const TemporaryFolder folder;
    const std::string path = (folder / "chats.db").string();
    {
        Database old = Database::open(path, Database::Access::create);
        migrate(old, schema_migrations().first(1));
        old.run(
            "INSERT INTO conversation (id, short_id, title, created, updated) VALUES "
            "(1, 'abcd', 'old one', 1, 2);"
            "INSERT INTO node (id, conv_id, ordinal, role, state, created) VALUES "
            "(1, 1, 1, 'user', 'done', 3);"
            "INSERT INTO part (node_id, idx, kind, text) VALUES (1, 0, 'text', 'hello');"
            "UPDATE conversation SET tip_node = 1, root_node = 1");
    }
    const FileLock other(path + ".lock");
    ASSERT_EQ(other.state(), FileLock::State::held);
    {
        StoreClient client({.folder = folder.string()});
        EXPECT_EQ(client.opened().access, StoreAccess::read_only);
        EXPECT_EQ(client.load("abcd").conversation.turn(1).text, "hello");
        EXPECT_THAT(titles(client.list()), ElementsAre("old one"));
    }
    Database still = Database::open(path, Database::Access::read_only);
    EXPECT_EQ(schema_version(still), 1U);
}

TEST(OlderDatabase, IsSearchedByTheFirstLettersAfterItsIndexWasMadeAnew) {
    const TemporaryFolder folder;
    const std::string path = (folder / "chats.db").string();
    {
        Database old = Database::open(path, Database::Access::create);
        migrate(old, schema_migrations().first(3));
        old.run(
            "INSERT INTO conversation (id, short_id, title, created, updated) VALUES "
            "(1, 'abcd', 'old one', 1, 2);"
            "INSERT INTO node (id, conv_id, ordinal, role, state, created) VALUES "
            "(1, 1, 1, 'user', 'done', 3), (2, 1, 2, 'assistant', 'streaming', 4);"
            "INSERT INTO part (node_id, idx, kind, text, searchable) VALUES "
            "(1, 0, 'text', 'hello there', 1), (2, 0, 'text', 'hello again', 0)");
    }
    StoreClient client({.folder = folder.string()});
    ASSERT_EQ(client.opened().access, StoreAccess::writable) << client.opened().sentence;
    // What was being written is searched once it is finished: here, cut off.
    EXPECT_EQ(client.ask<Found>(SearchTurns{.text = "h"}).hits.size(), 2U);
    Database::open(path, Database::Access::create)
        .run("INSERT INTO node_fts (node_fts, rank) VALUES ('integrity-check', 1)");
}

TEST_F(Lists, EveryBeginningOfAWordFindsIt) {
    add("t", "needlework", "b");
    add("u", "\u00e4hnlich", "c");
    for (const std::string word : {"needlework", "\u00c4hnlich"})
        for (size_t bytes = 1; bytes <= word.size(); ++bytes) {
            if (bytes == 1 && word != "needlework") continue;  // half a letter
            EXPECT_EQ(search({.text = word.substr(0, bytes)}).size(), 1U) << bytes;
        }
    EXPECT_TRUE(search({.text = "needleworks"}).empty());
}

TEST_F(Lists, TheDoctorSaysThatAllIsWellAndMakesTheIndexAnew) {
    add("t", "needle", "b");
    const auto checked = client.ask<Checked>(CheckStore{});
    EXPECT_TRUE(checked.problems.empty());
    EXPECT_EQ(checked.conversations, 1U);
    EXPECT_EQ(checked.turns, 2U);
    EXPECT_TRUE(checked.index_made_anew);
    EXPECT_EQ(search({.text = "needle"}).size(), 1U);
}

}  // namespace
}  // namespace core
