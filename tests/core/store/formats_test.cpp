// Conversations as files: our own without loss, others' as far as they go, and nonsense.
#include "core/store/formats.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/store/database.h"
#include "core/store/import.h"
#include "tests/core/store/store_client.h"

namespace core {
namespace {

using testing::HasSubstr;

// All that a turn can have.
std::vector<chat::Turn> rich_turns() {
    chat::Turn answer = answer_turn(2, 1, "one \xC3\xA9 <b>");
    answer.system = std::make_shared<const std::string>("Be brief.");
    answer.sampling.temperature = 0.123456F;
    answer.sampling.logit_bias = {{5, -1.5F}};
    answer.seed = 0xFFFFFFFFFFFFFFFFULL;
    answer.choice = 2;
    answer.format = "grok-2";
    answer.tokens = {11, 12, 0};
    answer.text_offsets = {0, 3, 9};
    answer.created = 1'700'000'000'123;
    answer.usage = full_usage();
    answer.usage.restore_seconds = 0.1234567;  // as many digits as a file keeps
    answer.usage.prefill_seconds = 0.3333333;
    chat::Sampling warmer = answer.sampling;
    warmer.temperature = 1.5F;
    answer.marks.push_back({.change = {.at_token = 1, .sampling = warmer}, .text_bytes = 3});
    chat::Turn cut = answer_turn(3, 1, "par", chat::TurnState::interrupted);
    cut.cut_off = true;
    cut.model = "another";
    chat::Turn edited = answer_turn(4, 1, "mine", chat::TurnState::edited);
    edited.flags = {.pinned = true, .excluded = true};
    chat::Turn failed = answer_turn(6, 5, "", chat::TurnState::error);
    failed.error = "Ran out of memory.";
    chat::Turn question = user_turn(5, 2, "line\nof \"text\" \\ and \xF0\x9F\x8C\xBE");
    question.flags.removed = true;
    question.files = {
        std::make_shared<chat::Attachment>(chat::Attachment{.path = "src/a b.cpp", .text = "x\ny"}),
        std::make_shared<chat::Attachment>(
            chat::Attachment{.path = "notes", .first = 2, .last = 9, .code = false, .text = "z"})};
    return {user_turn(1, 0, "q"), answer, cut, edited, question, failed};
}

ConversationHead rich_head() {
    return {.title = "A & B",
            .model = {.name = "grok", .path = "/m.gguf", .family = "grok", .bytes = 5},
            .system = "Other now.",
            .sampling = {.temperature = 0.7F, .seed = 9},
            .fixed_seed = true,
            .stop = {"the \"end\"", "\n\n"},
            .tip = 4};
}

std::string dump(const std::filesystem::path& database, const std::string& sql) {
    // Rows of all columns as one text.
    return Database::open(database.string(), Database::Access::read_only).text(sql);
}

// The rows that make up conversations, in the order of their turns, without rowids (which are the
// database's own) and without paths of models (which are the machine's).
std::vector<std::string> rows(const std::filesystem::path& database) {
    const char* queries[] = {
        "SELECT group_concat(quote(c.short_id) || quote(title) || quote(c.created) || "
        "quote(updated) "
        "|| quote(c.params_json) || quote(c.pinned) || quote(archived) || quote(m.name) || "
        "quote(m.arch) || quote(m.bytes) || quote(s.text) || quote(t.ordinal) || quote(r.ordinal), "
        "char(10)) FROM conversation c LEFT JOIN model m ON m.id = c.model_id LEFT JOIN "
        "system_text s ON s.id = c.system_id LEFT JOIN node t ON t.id = c.tip_node LEFT JOIN node "
        "r ON r.id = c.root_node",
        "SELECT group_concat(row, char(10)) FROM (SELECT quote(n.ordinal) || quote(p.ordinal) || "
        "quote(n.role) || quote(n.state) || quote(n.created) || quote(m.name) || quote(s.text) || "
        "quote(n.params_json) || quote(n.seed) || quote(n.rng_counter) || quote(n.finish_reason) "
        "|| quote(n.error) || quote(n.pinned) || quote(n.excluded) || quote(n.removed) AS row FROM "
        "node n LEFT JOIN node p ON p.id = n.parent_id LEFT JOIN model m ON m.id = "
        "n.author_model_id LEFT JOIN system_text s ON s.id = n.system_id ORDER BY n.ordinal)",
        "SELECT group_concat(row, char(10)) FROM (SELECT quote(n.ordinal) || quote(idx) || "
        "quote(kind) || quote(text) || quote(meta_json) || quote(searchable) AS row FROM part JOIN "
        "node n ON n.id = node_id ORDER BY n.ordinal, idx)",
        "SELECT group_concat(row, char(10)) FROM (SELECT quote(n.ordinal) || quote(n) || "
        "quote(ids) || quote(text_offsets) AS row FROM token JOIN node n ON n.id = node_id ORDER "
        "BY n.ordinal)",
        "SELECT group_concat(row, char(10)) FROM (SELECT quote(n.ordinal) || quote(seq) || "
        "quote(at_token) || quote(key) || quote(old) || quote(new) AS row FROM param_event JOIN "
        "node n ON n.id = node_id ORDER BY n.ordinal, seq, key)",
        "SELECT group_concat(row, char(10)) FROM (SELECT quote(n.ordinal) || quote(prompt_tok) || "
        "quote(cached_tok) || quote(restored_tok) || quote(recomputed_tok) || quote(gen_tok) || "
        "quote(restored_bytes) || quote(restore_ms) || quote(pp_ms) || quote(tg_ms) || "
        "quote(ttft_ms) AS row FROM usage JOIN node n ON n.id = node_id ORDER BY n.ordinal)",
        ("SELECT group_concat(row, char(10)) FROM (SELECT quote(key) || quote(n.ordinal) AS row "
         "FROM bookmark JOIN node n ON n.id = node_id ORDER BY key)"),
    };
    std::vector<std::string> found;
    for (const char* query : queries)
        found.push_back(dump(database, query));
    return found;
}

class Files : public testing::Test {
  protected:
    std::string write(const std::string& name, const std::string& text) {
        std::string path = (folder / name).string();
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
    std::vector<StoredConversation> read(const std::string& text) {
        std::vector<StoredConversation> found;
        read_conversations(write("in.json", text),
                           [&](const StoredConversation& stored) { found.push_back(stored); });
        return found;
    }
    std::string refusal(const std::string& text) {
        try {
            read(text);
        } catch (const Error& error) {
            return error.what();
        }
        return "accepted";
    }

    TemporaryFolder folder;
};

TEST_F(Files, OurOwnTreeGoesOutAndComesInWithTheSameRows) {
    for (const std::string ending : {".jsonl", ".json"}) {
        const TemporaryFolder here;
        const TemporaryFolder there;
        const std::string path = (here / ("chat" + ending)).string();
        {
            StoreClient client({.folder = here.string()});
            const std::string id = client.save(1, rich_head(), rich_turns());
            client.ask<Changed>(
                ChangeConversation{.conversation = id, .pinned = true, .archived = true});
            client.ask<Changed>(SetBookmark{.conversation = 1, .key = "a", .turn = 5});
            client.ask<Exported>(ExportConversation{.stored = id, .path = path});
            StoreClient other({.folder = there.string()});
            const auto imported = other.ask<Imported>(ImportFile{.path = path});
            ASSERT_EQ(imported.conversations.size(), 1U);
            EXPECT_EQ(imported.conversations[0].id, id);
            // Once more: the id is taken, the rest is the same.
            const auto again = other.ask<Imported>(ImportFile{.path = path});
            EXPECT_NE(again.conversations[0].id, id);
            other.ask<Removed>(RemoveConversation{.conversation = again.conversations[0].id,
                                                  .how = Removal::purge});
        }
        const auto before = rows(here / "chats.db");
        const auto after = rows(there / "chats.db");
        for (size_t i = 0; i < before.size(); ++i)
            EXPECT_EQ(before[i], after[i]) << "query " << i << " of " << ending;
        EXPECT_THAT(before[1], HasSubstr("'edited'"));
        EXPECT_THAT(before[2], HasSubstr("'file'"));
        EXPECT_EQ(before.back(), "'a'5");
    }
}

TEST_F(Files, PeopleGetTheLineThatIsShown) {
    StoredConversation stored{.head = rich_head(), .conversation = {}};
    stored.conversation = chat::Conversation(rich_turns(), 2, "Be brief.");
    const std::string markdown = conversation_text(stored, FileFormat::markdown, true);
    EXPECT_THAT(markdown, HasSubstr("# A & B\n\n> Be brief.\n\n## You\n\nq\n\n## grok\n\none"));
    EXPECT_THAT(markdown, testing::Not(HasSubstr("mine")));
    const std::string html = conversation_text(stored, FileFormat::html, true);
    EXPECT_THAT(html, HasSubstr("<h1>A &amp; B</h1>"));
    EXPECT_THAT(html, HasSubstr("&lt;b&gt;"));
    EXPECT_THAT(html, testing::Not(HasSubstr("<b>")));
    EXPECT_THAT(conversation_text(stored, FileFormat::text, true),
                HasSubstr("You: q\n\ngrok: one"));
    const std::string branch = conversation_text(stored, FileFormat::jsonl, false);
    EXPECT_EQ(std::count(branch.begin(), branch.end(), '\n'), 3);
}

TEST_F(Files, NothingIsOverwritten) {
    const std::string path = write("there.md", "precious");
    EXPECT_THROW(write_new_file(path, "new"), Error);
    EXPECT_THROW(write_new_file((folder / "no/such/folder.md").string(), "new"), Error);
    EXPECT_THROW(file_format_of("chat.docx"), Error);
    EXPECT_THROW(file_format_of("chat"), Error);
}

TEST_F(Files, ChatGptTreesKeepTheirBranches) {
    const auto found = read(R"([{"title": "Eggs", "create_time": 1700000000.5, "update_time": 1.7e9,
      "current_node": "c2", "mapping": {
        "root": {"id": "root", "message": null, "parent": null, "children": ["s"]},
        "s": {"message": {"author": {"role": "system"}, "content": {"content_type": "text",
              "parts": [""]}}, "parent": "root", "children": ["a"]},
        "a": {"message": {"author": {"role": "user"}, "create_time": 1700000001,
              "content": {"content_type": "text", "parts": ["How long?", {"asset": 1}]}},
              "parent": "s", "children": ["b1", "b2"]},
        "b1": {"message": {"author": {"role": "assistant"}, "content": {"parts": ["Seven."]},
               "metadata": {"model_slug": "gpt-4"}}, "parent": "a", "children": []},
        "b2": {"message": {"author": {"role": "assistant"}, "content": {"parts": ["Eight."]}},
               "parent": "a", "children": ["tool"]},
        "tool": {"message": {"author": {"role": "tool"}, "content": {"parts": ["x"]}},
                 "parent": "b2", "children": ["c2"]},
        "c2": {"message": {"author": {"role": "user"}, "content": {"parts": ["Sure?"]}},
               "parent": "tool", "children": []}}}])");
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].head.title, "Eggs");
    EXPECT_EQ(found[0].head.created, 1'700'000'000'500);
    const chat::Conversation& tree = found[0].conversation;
    ASSERT_EQ(tree.size(), 4U);
    EXPECT_EQ(tree.turn(1).text, "How long?\n(something that is no text)");
    EXPECT_EQ(tree.siblings(2).size(), 2U);
    EXPECT_EQ(tree.turn(2).model, "gpt-4");
    EXPECT_EQ(tree.turn(tree.tip()).text, "Sure?");
    EXPECT_EQ(tree.line().size(), 3U);
}

std::string twice(const std::string& text, const char* before, const char* between,
                  const char* after) {
    return std::string(before).append(text).append(between).append(text).append(after);
}

TEST_F(Files, ShareGptLinesAndArraysAreRead) {
    const std::string one =
        R"({"id": "x", "conversations": [{"from": "system", "value": "Be kind."},
            {"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]})";
    for (const std::string& text : {twice(one, "", "\n", ""), twice(one, "[", ",\n", "]")}) {
        const auto found = read(text);
        ASSERT_EQ(found.size(), 2U);
        EXPECT_EQ(found[1].head.system, "Be kind.");
        EXPECT_EQ(found[1].conversation.turn(2).text, "hello");
        EXPECT_EQ(found[1].conversation.turn(2).role, chat::Role::assistant);
    }
}

TEST_F(Files, WhatMakesNoSenseIsRefusedWithItsPlace) {
    EXPECT_THAT(refusal(""), HasSubstr("has no conversations in it"));
    EXPECT_THAT(refusal("hello"), HasSubstr("in.json:1: is no JSON with conversations"));
    EXPECT_THAT(refusal("[\n\n{\"a\": "), HasSubstr("in.json:3: ends inside an object"));
    EXPECT_THAT(refusal("{\"a\": \"x"), HasSubstr("ends inside a text"));
    EXPECT_THAT(refusal("{\"a\": 1}"), HasSubstr("is no conversation that this build knows"));
    EXPECT_THAT(refusal("{\"a\" 1}"), HasSubstr("does not make sense"));
    EXPECT_THAT(refusal(std::string(5000, '[') + "{\"a\":" + std::string(200, '[')),
                HasSubstr("nested more than 128 deep"));
    EXPECT_THAT(refusal(R"({"moxie_chat": 2})"), HasSubstr("is of version 2; this build knows 1"));
    EXPECT_THAT(refusal(R"({"moxie_chat": 1, "title": 7})"), HasSubstr("does not make sense"));
    EXPECT_THAT(refusal(R"({"moxie_chat": 1, "tip": 9})"
                        "\n"
                        R"({"turn": 1, "role": "user", "text": "a"})"),
                HasSubstr("its tip 9 is no turn"));
    EXPECT_THAT(refusal(R"({"moxie_chat": 1, "tip": 1})"
                        "\n"
                        R"({"turn": 1, "parent": 3, "role": "user", "text": "a"})"),
                HasSubstr("older than its parent"));
    EXPECT_THAT(refusal(R"({"conversations": []})"), HasSubstr("without messages"));
    EXPECT_THAT(refusal(R"({"mapping": {"a": {"parent": "b"}, "b": {"parent": "a"}}})"),
                HasSubstr("without messages"));
}

TEST_F(Files, AFileThatIsRefusedHalfwayLeavesNothingBehind) {
    const TemporaryFolder database;
    StoreClient client({.folder = database.string()});
    const std::string path =
        write("half.json", R"([{"conversations": [{"from": "human", "value": "hi"}]}, {"x": 1}])");
    const auto failed = client.ask<StoreFailed>(ImportFile{.path = path});
    EXPECT_THAT(failed.sentence, HasSubstr("half.json:1"));
    EXPECT_TRUE(client.list().empty());
}

TEST_F(Files, EveryTruncationOfAFileIsRefusedOrReadButNeverMore) {
    StoredConversation stored{.head = rich_head(), .conversation = {}};
    stored.conversation = chat::Conversation(rich_turns(), 4, "Be brief.");
    const std::string whole = conversation_text(stored, FileFormat::jsonl, true);
    // Without its last line end it is whole.
    for (size_t size = 0; size + 1 < whole.size(); size += 7)
        EXPECT_NE(refusal(whole.substr(0, size)), "accepted") << size;
}

}  // namespace
}  // namespace core
