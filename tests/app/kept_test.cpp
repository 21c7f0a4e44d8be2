// What is kept of a chat, and when: saving, opening again, removing.
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"

namespace app {
namespace {

using core::SaveTurns;
using core::StoreFailed;
using std::chrono::milliseconds;
using testing::HasSubstr;

// The only answer to a save that there can be: it worked.
void acknowledge(KeptChat& chat, const SaveTurns& save) {
    chat.tell(
        core::Saved{.id = save.id, .conversation = save.conversation, .conversation_id = "3f2a"});
}

TEST(Kept, APromptIsDrawnAsSentOnlyWhenItIsOnTheDisk) {
    KeptChat chat("");
    chat.ready();
    chat.enter("hello disk");
    EXPECT_TRUE(chat.sees("saving ▸ hello disk")) << chat.screen();
    EXPECT_FALSE(chat.sees("you ▸"));
    EXPECT_FALSE(chat.take_generate());
    const auto save = chat.take_request<SaveTurns>();
    ASSERT_TRUE(save);
    EXPECT_TRUE(save->durable);
    EXPECT_EQ(save->head.title, "hello disk");
    ASSERT_EQ(save->turns.size(), 1U);
    EXPECT_EQ(save->turns[0].text, "hello disk");

    // The disk takes its time; typing does not.
    chat.type("the next");
    chat.wait(milliseconds(500));
    EXPECT_TRUE(chat.sees("> the next"));
    EXPECT_FALSE(chat.take_generate());

    acknowledge(chat, *save);
    EXPECT_TRUE(chat.sees("you ▸ hello disk"));
    ASSERT_TRUE(chat.take_generate());
}

TEST(Kept, AStoppedSaveIsNotAnswered) {
    KeptChat chat("");
    chat.ready();
    chat.enter("hello");
    chat.type("\x03");
    acknowledge(chat, *chat.take_request<SaveTurns>());
    EXPECT_FALSE(chat.take_generate());
    EXPECT_FALSE(chat.session().busy());
    EXPECT_TRUE(chat.sees("you ▸ hello"));
}

TEST(Kept, APartialAnswerIsSavedEverySecondAndNotMoreOften) {
    KeptChat chat("");
    chat.ready();
    chat.enter("count");
    acknowledge(chat, *chat.take_request<SaveTurns>());
    const auto begun = chat.take_request<SaveTurns>();
    ASSERT_TRUE(begun);
    EXPECT_FALSE(begun->durable);
    ASSERT_EQ(begun->turns.size(), 1U);
    EXPECT_EQ(begun->turns[0].state, chat::TurnState::streaming);
    acknowledge(chat, *begun);

    chat.say({"one", " two"});
    EXPECT_FALSE(chat.take_request<SaveTurns>());
    ASSERT_TRUE(chat.app().next_wakeup()) << "nothing would save these if no more tokens came";
    chat.wait(milliseconds(1000));
    const auto partial = chat.take_request<SaveTurns>();
    ASSERT_TRUE(partial);
    EXPECT_EQ(partial->turns[0].text, "one two");
    EXPECT_EQ(partial->turns[0].tokens.size(), 2U);

    // The disk is slow: nothing piles up behind it.
    chat.say({" three"});
    chat.wait(milliseconds(3000));
    EXPECT_FALSE(chat.take_request<SaveTurns>());
    acknowledge(chat, *partial);
    chat.wait(milliseconds(0));
    const auto later = chat.take_request<SaveTurns>();
    ASSERT_TRUE(later);
    EXPECT_EQ(later->turns[0].text, "one two three");
    acknowledge(chat, *later);
    // Nothing new, nothing to save.
    chat.wait(milliseconds(5000));
    EXPECT_FALSE(chat.take_request<SaveTurns>());

    chat.finish();
    const auto last = chat.take_request<SaveTurns>();
    ASSERT_TRUE(last);
    EXPECT_EQ(last->turns[0].state, chat::TurnState::done);
    EXPECT_EQ(last->head.model.name, "grok");
    EXPECT_EQ(last->head.model.path, "/models/default.gguf");
}

TEST(Kept, WhatCouldNotBeSavedIsSavedWithTheNextMessage) {
    KeptChat chat("");
    chat.ready();
    chat.enter("first");
    auto save = chat.take_request<SaveTurns>();
    chat.tell(StoreFailed{.id = save->id,
                          .trouble = core::StoreTrouble::disk_full,
                          .sentence = "Cannot save: disk full (/home, 0 B free)."});
    EXPECT_TRUE(chat.sees("Cannot save: disk full (/home, 0 B free)."));
    EXPECT_TRUE(chat.take_generate());  // the chat goes on in memory
    save = chat.take_request<SaveTurns>();
    chat.tell(StoreFailed{.id = save->id, .sentence = "Cannot save: again."});
    EXPECT_FALSE(chat.sees("Cannot save: again.")) << "once is enough";
    chat.say({"answer"});
    chat.finish();
    save = chat.take_request<SaveTurns>();
    chat.tell(StoreFailed{.id = save->id, .sentence = "Cannot save: again."});

    chat.enter("second");
    save = chat.take_request<SaveTurns>();
    ASSERT_EQ(save->turns.size(), 3U);
    EXPECT_EQ(save->turns[0].text, "first");
    EXPECT_EQ(save->turns[1].text, "answer");
    EXPECT_EQ(save->turns[2].text, "second");
    acknowledge(chat, *save);
    EXPECT_TRUE(chat.sees("Saving works again"));
}

TEST(Kept, AnAnswerThatRunsWhenTheProgramEndsIsKept) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter("count");
        chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
        chat.say({"one", " two"});
    }
    KeptChat chat(folder.path(), {.resume = ""});
    chat.ready();
    chat.until_seen("one two");
    EXPECT_TRUE(chat.sees("stopped"));
    EXPECT_EQ(chat.conversation().turn(2).state, chat::TurnState::interrupted);
    EXPECT_FALSE(chat.conversation().turn(2).cut_off);
}

TEST(Kept, AConversationIsReopenedWithAllItHad) {
    const KeptFolder folder;
    std::string id;
    std::vector<chat::Message> before;
    {
        KeptChat chat(folder.path(), {.model_path = "/models/mine.gguf", .model_chosen = true});
        chat.ready("mine");
        chat.enter("/system Be brief.");
        chat.enter("/set temperature 1.25");
        chat.converse("explain lifetimes", {"A", " lifetime"}, {.prompt = 20});
        chat.type("\x18r");  // another answer, whose parameters change while it is written
        chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
        chat.say({"Short"});
        chat.enter("/set temperature 0.5");
        chat.say({" one"});
        chat.finish();
        chat.until_idle();
        chat.converse("go on", {"more"});
        chat.type("\x18[");
        chat.type("\x18]");
        id = chat.session().saver().conversation_id();
        before = chat.conversation().messages(chat.conversation().tip(), "mine");
        EXPECT_THAT(chat.app().farewell(), HasSubstr("resume: moxie -r " + id));
    }
    KeptChat chat(folder.path(), {.resume = id});
    chat.until([&] { return chat.load().id != 0; }, "a LoadModel");
    EXPECT_EQ(chat.load().path, "/models/mine.gguf");
    chat.ready("mine");
    chat.until_seen("more");
    const chat::Conversation& conversation = chat.conversation();
    EXPECT_EQ(conversation.size(), 5U);
    EXPECT_EQ(conversation.siblings(2).size(), 2U);
    EXPECT_EQ(conversation.system(), "Be brief.");
    EXPECT_EQ(chat.session().sampling().temperature, 0.5F);
    ASSERT_EQ(conversation.turn(3).marks.size(), 1U);
    EXPECT_TRUE(chat.sees("Short┊T 1.25→0.5 @1┊ one")) << chat.screen();

    // The same messages with the same ids.
    const std::vector<chat::Message> after = conversation.messages(conversation.tip(), "mine");
    ASSERT_EQ(after.size(), before.size());
    for (size_t i = 0; i < after.size(); ++i) {
        EXPECT_EQ(after[i].text, before[i].text);
        EXPECT_EQ(after[i].tokens, before[i].tokens);
    }
    EXPECT_EQ(after[2].tokens, (std::vector<chat::TokenId>{100, 101}));

    chat.converse("and now", {"continued"});
    EXPECT_EQ(chat.session().saver().conversation_id(), id);
}

TEST(Kept, WhatTheCommandLineSetsStaysWhenAConversationIsOpened) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter("/set temperature 1.25");
        chat.enter("/set top_k 7");
        chat.converse("hello", {"hi"});
    }
    SamplingLayers sampling;
    sampling.set(SamplingSource::flag, "temperature", "0.1");
    KeptChat chat(folder.path(), {.model_path = "/models/other.gguf",
                                  .model_chosen = true,
                                  .resume = "",
                                  .sampling = sampling,
                                  .system = "Shout.",
                                  .system_chosen = true});
    chat.ready("other");
    chat.until_seen("hi");
    EXPECT_EQ(chat.session().sampling().temperature, 0.1F);
    EXPECT_EQ(chat.session().sampling().top_k, 7);
    EXPECT_EQ(chat.conversation().system(), "Shout.");
    EXPECT_EQ(chat.session().model()->name, "other");
}

TEST(Kept, AMessageWithoutAnAnswerIsToldWhenItIsOpenedAgain) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.enter(std::string(9000, 'x'));  // more than fits
        chat.until_seen("does not fit");
    }
    KeptChat chat(folder.path(), {.resume = ""});
    chat.ready();
    chat.until_seen("The last message has no answer; C-x r asks for one.");
}

TEST(Kept, AModelThatIsGoneIsReplacedByTheUsualOne) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path(), {.model_path = "/models/gone.gguf", .model_chosen = true});
        chat.ready("gone");
        chat.converse("hello", {"hi"});
    }
    KeptChat chat(folder.path(), {.resume = ""});
    chat.until([&] { return chat.load().path == "/models/gone.gguf"; }, "first load");
    chat.emit(chat::Failed{.id = chat.load().id, .sentence = "No such file."});
    chat.until([&] { return chat.load().path == "/models/default.gguf"; }, "second load");
    chat.ready("usual");
    chat.until_seen("No such file. Another model answers instead.");
    EXPECT_TRUE(chat.sees("hi"));
}

TEST(Kept, NothingToOpenIsSaidAndANewChatBegins) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path(), {.resume = ""});
        chat.ready();
        chat.until_seen("There is no conversation yet.");
    }
    KeptChat chat(folder.path(), {.resume = "beef"});
    chat.ready();
    chat.until_seen("No conversation has the id beef");
    chat.converse("hello", {"hi"});
    EXPECT_FALSE(chat.session().saver().conversation_id().empty());
}

TEST(Kept, NewKeepsTheConversationBefore) {
    const KeptFolder folder;
    std::string first;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.converse("the first one", {"a"});
        first = chat.session().saver().conversation_id();
        chat.enter("/new");
        EXPECT_FALSE(chat.sees("the first one"));
        chat.converse("the second one", {"b"});
        EXPECT_NE(chat.session().saver().conversation_id(), first);
    }
    KeptChat chat(folder.path(), {.resume = first});
    chat.ready();
    chat.until_seen("the first one");
}

TEST(Kept, NothingOfATemporaryChatIsKept) {
    const KeptFolder folder;
    KeptChat chat(folder.path());
    chat.ready();
    chat.enter("/temporary");
    chat.enter("secret");
    const auto generate = chat.take_generate();
    ASSERT_TRUE(generate);
    EXPECT_FALSE(generate->persist);
    EXPECT_TRUE(chat.sees("temporary"));
    chat.say({"shh"});
    chat.finish();
    EXPECT_TRUE(chat.session().saver().conversation_id().empty());
    EXPECT_THAT(chat.app().farewell(), testing::Not(HasSubstr("resume")));
    chat.enter("/new");
    chat.converse("public", {"yes"});
    EXPECT_FALSE(chat.session().saver().conversation_id().empty());
}

TEST(Kept, ATemporarySessionStaysTemporary) {
    KeptChat chat("", {.temporary = true});
    chat.ready();
    for (const char* prompt : {"secret", "another"}) {
        chat.enter(prompt);
        const auto generate = chat.take_generate();
        ASSERT_TRUE(generate);
        EXPECT_FALSE(generate->persist);
        EXPECT_FALSE(chat.take_request<SaveTurns>());
        chat.finish();
        chat.enter("/new");
    }
}

TEST(Kept, ASecondInstanceIsToldAndGoesOnInMemory) {
    const KeptFolder folder;
    {
        KeptChat first(folder.path());
        first.ready();
        first.converse("hello", {"from the first"});
    }
    {
        core::StoreChannel channel;
        const core::Store holder({.folder = folder.path()}, channel);
        while (!channel.events.pop()) {
        }
        KeptChat second(folder.path(), {.resume = ""});
        second.ready();
        second.until_seen("Another moxie (pid ");
        second.until_seen("from the first");
        second.converse("only here", {"fine"});
        EXPECT_EQ(second.conversation().size(), 4U);
    }
    KeptChat third(folder.path(), {.resume = ""});
    third.ready();
    third.until_seen("from the first");
    EXPECT_EQ(third.conversation().size(), 2U);
}

TEST(Kept, ACrashInTheMiddleOfAnAnswerIsSaid) {
    const KeptFolder folder;
    leave_cut_off_answer(folder.path());
    KeptChat chat(folder.path(), {.resume = ""});
    chat.ready();
    chat.until_seen(
        "Last session ended unexpectedly during a reply (2 tokens kept). c continue · r");
    EXPECT_TRUE(chat.sees("one two"));
    EXPECT_TRUE(chat.sees("interrupted"));
}

TEST(Kept, ADeletedConversationComesBackAndAPurgedOneDoesNot) {
    const KeptFolder folder;
    auto owner = std::make_unique<KeptChat>(folder.path());
    KeptChat& chat = *owner;
    chat.ready();
    chat.converse("remember this", {"ok"});
    const std::string id = chat.session().saver().conversation_id();
    chat.enter("/delete");
    chat.until_seen("/undelete brings it back");
    EXPECT_TRUE(chat.conversation().empty());
    chat.enter("/undelete");
    chat.until_seen("remember this");
    EXPECT_EQ(chat.session().saver().conversation_id(), id);

    chat.type("\x18r");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "prefill");
    chat.say({"again"});
    chat.finish();
    chat.until_idle();
    chat.take_kv();
    chat.enter("/purge");
    EXPECT_FALSE(chat.conversation().empty()) << "it asks first";
    chat.enter("/purge yes");
    chat.until_seen("Purged");
    const std::vector<chat::Kv> kv = chat.take_kv();
    ASSERT_EQ(kv.size(), 1U);
    EXPECT_EQ(kv[0].action, chat::KvAction::drop);
    EXPECT_EQ(kv[0].lines.size(), 2U);  // both answers
    chat.enter("/undelete");
    chat.until_seen("The trash is empty.");
    owner.reset();
    KeptChat other(folder.path(), {.resume = id});
    other.ready();
    other.until_seen("No conversation has the id " + id);
}

}  // namespace
}  // namespace app
