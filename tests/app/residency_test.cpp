// What the user is told of the KV cache: labels, restores, what is read again and why.
#include "app/session/residency.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"

namespace app {
namespace {

using std::chrono::milliseconds;

TEST(Residency, LabelsSayWhereALineIsAndWhatItCosts) {
    EXPECT_EQ(residency_label({.tokens = 3121, .resident = 3120}), "● resident");
    EXPECT_EQ(residency_label({.tokens = 3121,
                               .resident = 64,
                               .on_disk = 3056,
                               .disk_bytes = 310'000'000,
                               .restore_seconds = 0.8}),
              "◐ on disk 310 MB ~0.8 s");
    EXPECT_EQ(residency_label({.tokens = 3121,
                               .resident = 21,
                               .on_disk = 1000,
                               .disk_bytes = 100'000'000,
                               .restore_seconds = 0.3,
                               .reread_seconds = 40.7}),
              "○ re-read 2,100 tokens ~41 s");
    EXPECT_EQ(residency_label({.tokens = 8}), "○ re-read 8 tokens");
    // A rate that is not known yet is not invented.
    EXPECT_EQ(residency_label({.tokens = 500, .on_disk = 499, .disk_bytes = 9'950'000}),
              "◐ on disk 10 MB");
}

TEST(Residency, EveryAnswerHasItsLineInTheQuestion) {
    chat::Conversation conversation;
    const chat::TurnId prompt = conversation.add_user("q");
    const auto answer = [&](chat::TurnId parent, const char* text) {
        const chat::TurnId id = conversation.begin_answer(parent, "m", {});
        conversation.append(id, {.text = text});
        conversation.finish(id, {});
        return id;
    };
    const chat::TurnId first = answer(prompt, "one");
    answer(conversation.add_user("more"), "deep");
    const chat::TurnId second = answer(prompt, "two");
    Residency residency;
    const chat::Kv question = residency.question(conversation, "m", 5);
    ASSERT_EQ(question.lines.size(), 2U);
    EXPECT_EQ(question.lines[0].back().text, "deep");  // the end of the line through the first
    EXPECT_EQ(question.lines[1].back().text, "two");
    EXPECT_FALSE(residency.on({.id = 4, .entries = {{}, {}}}));
    EXPECT_TRUE(
        residency.on({.id = 5,
                      .entries = {{.tokens = 9, .on_disk = 9}, {.tokens = 4, .resident = 4}},
                      .memory_budget = 2'000'000'000,
                      .memory_pages = 1,
                      .disk_pages = 2}));
    EXPECT_EQ(residency.of(first)->on_disk, 9U);
    EXPECT_EQ(residency.current()->resident, 4U);
    EXPECT_EQ(residency.of(second), residency.current());
    EXPECT_EQ(residency.report(),
              "answer 1: ◐ on disk 0 B, 9 tokens\n"
              "answer 2 (shown): ● resident, 4 tokens\n"
              "memory: 0 B of 2.0 GB, 1 page\n"
              "disk: nothing is kept there");
}

// Answers the newest list request.
void list(KeptChat& chat, std::vector<chat::KvEntry> entries) {
    const std::vector<chat::Kv> asked = chat.take_kv();
    ASSERT_FALSE(asked.empty());
    ASSERT_EQ(asked.back().action, chat::KvAction::list);
    chat.emit(chat::KvListed{.id = asked.back().id,
                             .entries = std::move(entries),
                             .disk_bytes = 1'200'000'000,
                             .disk_budget = 20'000'000'000});
}

TEST(Residency, TheChatShowsItForTheConversationAndForEachBranch) {
    const KeptFolder folder;
    KeptChat chat(folder.path());
    chat.ready();
    chat.converse("q", {"one"});
    list(chat, {{.tokens = 400, .resident = 399}});
    EXPECT_TRUE(chat.sees("● resident")) << chat.screen();
    chat.type("\x18r");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
    chat.say({"two"});
    chat.finish();
    chat.until_idle();
    list(chat, {{.tokens = 400, .on_disk = 399, .disk_bytes = 40'000'000, .restore_seconds = 0.1},
                {.tokens = 300, .resident = 299}});
    EXPECT_TRUE(chat.sees("branch 2/2 ◐●")) << chat.screen();
    EXPECT_TRUE(chat.sees("● resident"));
    chat.type("\x18[");  // moving asks again
    list(chat, {{.tokens = 400, .on_disk = 399, .disk_bytes = 40'000'000, .restore_seconds = 0.1},
                {.tokens = 300, .resident = 299}});
    EXPECT_TRUE(chat.sees("◐ on disk 40 MB ~0.1 s")) << chat.screen();

    chat.enter("/kv");
    list(chat, {{.tokens = 400, .on_disk = 399, .disk_bytes = 40'000'000}, {.tokens = 300}});
    EXPECT_TRUE(chat.sees("answer 1 (shown): ◐ on disk 40 MB, 400 tokens")) << chat.screen();
    EXPECT_TRUE(chat.sees("disk: 1.2 GB of 20 GB"));
}

TEST(Residency, TheLastConversationIsRestoredWhileTheUserTypes) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.converse("q", {"one"});
    }
    KeptChat chat(folder.path(), {.resume = ""});
    chat.ready();
    const std::vector<chat::Kv> asked = chat.take_kv();
    ASSERT_EQ(asked.size(), 2U);
    ASSERT_EQ(asked[0].action, chat::KvAction::prefetch);
    ASSERT_EQ(asked[0].lines.size(), 1U);
    EXPECT_EQ(asked[0].lines[0].back().text, "one");
    chat.emit(chat::Progress{
        .id = asked[0].id, .phase = chat::Phase::restoring, .done = 780, .total = 3120});
    EXPECT_TRUE(chat.sees("restoring 25%")) << chat.screen();
    EXPECT_FALSE(chat.session().busy());
    chat.type("typing goes on");
    EXPECT_TRUE(chat.sees("> typing goes on"));
    chat.emit(chat::Progress{
        .id = asked[0].id, .phase = chat::Phase::restoring, .done = 3120, .total = 3120});
    chat.emit(chat::Done{.id = asked[0].id});
    EXPECT_TRUE(chat.sees("restored 3,120 tokens in ")) << chat.screen();
    EXPECT_FALSE(chat.sees("restoring"));
}

TEST(Residency, ARestoreForAnAnswerIsTold) {
    KeptChat chat("", {.temporary = true});
    chat.ready();
    chat.enter("q");
    chat.emit(chat::Progress{.id = chat.take_generate()->id,
                             .phase = chat::Phase::restoring,
                             .done = 100,
                             .total = 200});
    chat.wait(milliseconds(300));  // numbers are shown four times a second
    EXPECT_TRUE(chat.sees("restoring 50%")) << chat.screen();
    chat.say({"answer"});
    chat.finish(chat::FinishReason::stop,
                {.prompt = 3200, .reused = 3199, .restored = 3120, .restore_seconds = 0.2});
    EXPECT_TRUE(chat.sees("restored 3,120 tokens in 0.2 s")) << chat.screen();
}

TEST(Residency, WhatIsReadAgainIsToldWithItsReason) {
    KeptChat chat("", {.temporary = true});
    chat.ready();
    chat.converse("q", {"one"}, {.prompt = 1200});
    chat.converse("fine", {"two"}, {.prompt = 1300, .reused = 1201});
    EXPECT_FALSE(chat.sees("re-read")) << chat.screen();

    chat.enter("/system Be brief.");
    chat.enter("next");
    chat.emit(chat::Progress{
        .id = chat.take_generate()->id, .phase = chat::Phase::prefill, .done = 0, .total = 1400});
    chat.wait(milliseconds(300));
    EXPECT_TRUE(chat.sees("re-reading 1,301 tokens: the system prompt")) << chat.screen();
    chat.say({"three"});
    chat.finish(chat::FinishReason::stop, {.prompt = 1400, .reused = 1});
    EXPECT_TRUE(chat.sees("re-read 1,300 tokens: the system prompt changed")) << chat.screen();

    chat.enter("/model /models/default.gguf");
    chat.ready("grok", 8000, "grok-2");
    chat.converse("again", {"like this"}, {.prompt = 1450, .reused = 0});
    EXPECT_TRUE(chat.sees("re-read 1,401 tokens: the chat template changed (grok-1 before)"))
        << chat.screen();

    chat.converse("lost", {"four"}, {.prompt = 1500, .reused = 0});
    EXPECT_TRUE(chat.sees("re-read 1,451 tokens: the cache did not have them any more"))
        << chat.screen();

    chat.enter("/model /models/other.gguf");
    chat.ready("other");
    chat.converse("who?", {"five"}, {.prompt = 1700, .reused = 0});
    EXPECT_TRUE(chat.sees("re-read 1,700 tokens: another model answered before (grok)"))
        << chat.screen();
}

TEST(Residency, PagesOfAnotherBuildAreToldOfAndTheConversationIsUnchanged) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.converse("q", {"one"}, {.prompt = 3100, .generated = 20});
    }
    const chat::KvEntry useless = {.tokens = 3120, .reread_seconds = 28, .made_otherwise = true};
    {
        KeptChat chat(folder.path(), {.resume = ""});
        chat.ready();
        list(chat, {useless});
        EXPECT_TRUE(
            chat.sees("Saved state was made with a different build/quantisation; "
                      "re-reading 3,120 tokens (~28 s). Conversation"))
            << chat.screen();
        chat.enter("/kv");
        list(chat, {useless});
        EXPECT_TRUE(chat.sees("3,120 tokens; saved state was made with a different"))
            << chat.screen();
        chat.converse("next", {"two"}, {.prompt = 3140, .reused = 0});
        EXPECT_TRUE(chat.sees("re-read 3,101 tokens: saved state was made with a different"))
            << chat.screen();
    }
    KeptChat chat(folder.path(), {.resume = ""});
    chat.ready("another");  // whose pages under the same ids are nothing of this conversation
    list(chat, {useless});
    EXPECT_FALSE(chat.sees("Saved state")) << chat.screen();
}

TEST(Residency, ATemporaryChatSavesNoPages) {
    KeptChat chat("", {.temporary = true});
    chat.ready();
    chat.converse("q", {"one"});
    chat.take_kv();
    chat.enter("/kv save");
    EXPECT_TRUE(chat.sees("A temporary chat keeps nothing on the disk.")) << chat.screen();
    EXPECT_TRUE(chat.take_kv().empty());
}

TEST(Residency, KvCommandsSayHowTheyEnded) {
    const KeptFolder folder;
    KeptChat chat(folder.path());
    chat.enter("/kv drop");
    EXPECT_TRUE(chat.sees("No model is loaded"));
    chat.ready();
    chat.converse("q", {"one"});
    chat.take_kv();
    for (const auto& [command, told] :
         {std::pair{"/kv save", "is on the disk"}, std::pair{"/kv drop", "reads it all again"},
          std::pair{"/kv prefetch", "nothing to restore"}}) {
        chat.enter(command);
        const std::vector<chat::Kv> asked = chat.take_kv();
        ASSERT_EQ(asked.size(), 1U) << command;
        chat.emit(chat::Done{.id = asked[0].id});
        EXPECT_TRUE(chat.sees(told)) << chat.screen();
        chat.take_kv();
    }
    chat.enter("/kv save");
    chat.emit(chat::Failed{.id = chat.take_kv()[0].id, .sentence = "There is no disk."});
    EXPECT_TRUE(chat.sees("There is no disk."));
    chat.enter("/kv away");
    EXPECT_TRUE(chat.sees("there are list, save, drop and prefetch"));
}

}  // namespace
}  // namespace app
