// What the store knows of the KV cache: lines by their ids, to find their pages and forget them.
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/database.h"
#include "core/store/schema.h"
#include "tests/core/store/store_client.h"

namespace core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr Hash128 kModel = {.high = 0x0123456789ABCDEF, .low = 0xFEDCBA9876543210};
constexpr Hash128 kOther = {.high = 1, .low = 0};

CachedLine line_of(std::vector<TokenId> ids, const Hash128& root = kModel) {
    return {.root = root, .version = 7, .ids = std::move(ids)};
}

class StoredLines : public testing::Test {
  protected:
    StoreOptions options() {
        return {.folder = folder.string(), .forget_lines = [this](const auto& lines) {
                    forgotten.insert(forgotten.end(), lines.begin(), lines.end());
                }};
    }
    void keep(StoreClient& client, chat::TurnId answer, CachedLine line, ConversationRef ref = 1) {
        client.ask<Changed>(
            KeepLine{.conversation = ref, .answer = answer, .line = std::move(line)});
    }
    std::vector<ConversationHead> list(StoreClient& client) {
        return client.ask<Listed>(ListConversations{.with_lines = true}).conversations;
    }
    Database database() {
        return Database::open((folder / "chats.db").string(), Database::Access::create);
    }

    TemporaryFolder folder;
    std::vector<CachedLine> forgotten;
};

TEST_F(StoredLines, TheLineOfTheTipIsListedWithTheSpeedsMeasured) {
    StoreClient client(options());
    chat::Turn answer = answer_turn(2, 1, "b");
    answer.usage = {.recomputed = 300,
                    .restored_bytes = 500'000'000,
                    .restore_seconds = 0.5,
                    .prefill_seconds = 1.5};
    client.save(1, {.title = "c", .tip = 2}, {user_turn(1, 0, "a"), answer});
    EXPECT_EQ(list(client).front().line, nullptr) << "nothing is known yet";
    keep(client, 2, line_of({1, -2, 3}));
    const auto listed = list(client).front().line;
    ASSERT_NE(listed, nullptr);
    EXPECT_EQ(listed->line, line_of({1, -2, 3}));
    EXPECT_DOUBLE_EQ(listed->tokens_per_second, 200);
    EXPECT_DOUBLE_EQ(listed->bytes_per_second, 1e9);
    EXPECT_EQ(client.list().front().line, nullptr) << "nobody asked for it";
}

TEST_F(StoredLines, APromptWithoutAnAnswerHasTheLineBeforeItAndAnotherBranchHasNone) {
    StoreClient client(options());
    client.save(1, {.tip = 3},
                {user_turn(1, 0, "a"), answer_turn(2, 1, "b"), user_turn(3, 2, "c"),
                 answer_turn(4, 1, "d")});
    keep(client, 2, line_of({1, 2}));
    ASSERT_NE(list(client).front().line, nullptr);
    client.save(1, {.tip = 4}, {});
    EXPECT_EQ(list(client).front().line, nullptr);
}

TEST_F(StoredLines, BeginningsGiveWayToTheLineThatContinuesThem) {
    StoreClient client(options());
    client.save(1, {.tip = 6},
                {user_turn(1, 0, "a"), answer_turn(2, 1, "b"), user_turn(3, 2, "c"),
                 answer_turn(4, 3, "d"), answer_turn(5, 3, "e"), answer_turn(6, 3, "f")});
    keep(client, 2, line_of({1, 2}));
    keep(client, 4, line_of({1, 2, 3, 4}));
    keep(client, 5, line_of({1, 2, 3, 5}));          // another branch
    keep(client, 6, line_of({1, 2, 3, 4}, kOther));  // another model's
    keep(client, 4, line_of({1, 2, 3, 4, 5}));       // the same answer, continued
    const std::string id = client.list().front().id;
    client.ask<Removed>(RemoveConversation{.conversation = id, .how = Removal::purge});
    EXPECT_THAT(forgotten, UnorderedElementsAre(line_of({1, 2, 3, 4, 5}), line_of({1, 2, 3, 5}),
                                                line_of({1, 2, 3, 4}, kOther)));
    EXPECT_EQ(database().number("SELECT count(*) FROM kv_line"), 0);
}

TEST_F(StoredLines, WhatLeavesTheTrashAfterThirtyDaysIsForgottenByTheCacheToo) {
    {
        StoreClient client(options());
        for (ConversationRef ref = 1; ref <= 3; ++ref) {
            const auto id = static_cast<TokenId>(ref);
            const std::string name =
                client.save(ref, {.tip = 2}, {user_turn(1, 0, "a"), answer_turn(2, 1, "b")});
            keep(client, 2, line_of({id}), ref);
            if (ref < 3) client.ask<Removed>(RemoveConversation{.conversation = name});
        }
        EXPECT_THAT(forgotten, IsEmpty()) << "the trash is no purge";
    }
    database().run("UPDATE conversation SET deleted_at = deleted_at - 31 * 86400000 WHERE id = 1");
    const StoreClient client(options());
    EXPECT_THAT(forgotten, ElementsAre(line_of({1})));
}

TEST_F(StoredLines, PagesAreLookedForByTheLineThatIsShown) {
    StoreOptions with_pages = options();
    with_pages.find_pages = [](const ConversationHead& head) -> std::optional<chat::KvEntry> {
        if (head.line == nullptr) return std::nullopt;
        return chat::KvEntry{.tokens = static_cast<uint32_t>(head.line->line.ids.size())};
    };
    StoreClient client(with_pages);
    client.save(1, {.tip = 2}, {user_turn(1, 0, "a"), answer_turn(2, 1, "b")});
    const std::string id = client.list().front().id;
    EXPECT_FALSE(client.ask<PagesFound>(LookForPages{.conversation = id}).pages);
    keep(client, 2, line_of({1, 2, 3}));
    const auto pages = client.ask<PagesFound>(LookForPages{.conversation = id}).pages;
    ASSERT_TRUE(pages);
    EXPECT_EQ(pages->tokens, 3U);
    client.ask<StoreFailed>(LookForPages{.conversation = "none"});
}

TEST_F(StoredLines, TheShownLineIsReadAsAPromptWouldCarryIt) {
    StoreClient client(options());
    chat::Turn own = answer_turn(2, 1, "b");
    own.tokens = {4, 5};
    own.text_offsets = {0, 0};
    const std::string id = client.save(1, {.system = "Be brief.", .tip = 5},
                                       {user_turn(1, 0, "a"), own, answer_turn(3, 1, "sibling"),
                                        user_turn(4, 2, "c"), answer_turn(5, 4, "d")});
    const auto messages =
        client.ask<LineRead>(ReadLine{.conversation = id, .model = "grok"}).lines.at(0);
    ASSERT_EQ(messages.size(), 5U);
    EXPECT_EQ(messages[0].text, "Be brief.");
    EXPECT_EQ(messages[2].text, "b");
    EXPECT_EQ(messages[2].tokens, (std::vector<TokenId>{4, 5}));
    EXPECT_EQ(messages[4].text, "d");
    EXPECT_TRUE(client.ask<LineRead>(ReadLine{.conversation = id, .model = "x"})
                    .lines.at(0)[2]
                    .tokens.empty());
    const auto all =
        client.ask<LineRead>(ReadLine{.conversation = id, .model = "grok", .all = true}).lines;
    ASSERT_EQ(all.size(), 2U) << "the sibling ends a line of its own";
    EXPECT_EQ(all[0].back().text, "sibling");
    EXPECT_EQ(all[1].back().text, "d");
    client.ask<StoreFailed>(ReadLine{.conversation = "none"});
}

}  // namespace
}  // namespace core
