// A tree, not a line: what a user does to it, what is sent, what is kept.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"

namespace app {
namespace {

using chat::TurnState;

std::vector<std::string> sent_texts(const chat::Generate& request) {
    std::vector<std::string> texts;
    for (const chat::Message& message : std::get<std::vector<chat::Message>>(request.prompt))
        texts.push_back(message.text);
    return texts;
}

// A chat in memory with one question and its answer.
class Tree : public testing::Test {
  protected:
    Tree() : chat("", {.temporary = true}) {
        chat.ready();
        chat.converse("first question", {"one", " two", " three"});
        chat.take_generate();
    }

    void answer_with(const std::vector<std::string>& tokens) {
        chat.say(tokens);
        chat.finish();
    }

    KeptChat chat;
};

TEST_F(Tree, RegenerateThreeTimesKeepsEveryAnswer) {
    for (const char* text : {"second", "third", "fourth"}) {
        chat.type("\x18r");
        ASSERT_TRUE(chat.take_generate());
        answer_with({text});
    }
    EXPECT_TRUE(chat.sees("branch 4/4"));
    EXPECT_TRUE(chat.sees("┊4/4┊"));
    chat.type("\x18[");
    EXPECT_TRUE(chat.sees("third")) << chat.screen();
    EXPECT_TRUE(chat.sees("branch 3/4"));
    chat.enter("/prev");
    chat.enter("/prev");
    EXPECT_TRUE(chat.sees("one two three"));
    chat.enter("/next");
    EXPECT_TRUE(chat.sees("second"));
    EXPECT_EQ(chat.conversation().size(), 5U);
}

TEST_F(Tree, SeveralAnswersAtOnceAreSiblingsThatStreamTogether) {
    chat.enter("/regen --n 3 temperature=1.5 seed=7");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->choices, 3U);
    EXPECT_EQ(request->sampling.temperature, 1.5F);
    EXPECT_EQ(request->sampling.seed, 7U);
    EXPECT_EQ(chat.session().sampling().temperature, 0.8F) << "for these answers alone";
    for (uint32_t choice = 0; choice < 3; ++choice)
        chat.emit(chat::Delta{.id = request->id,
                              .choice = choice,
                              .text = "answer " + std::to_string(choice),
                              .tokens = {{.id = 5, .bytes = "answer"}}});
    EXPECT_TRUE(chat.sees("answer 0"));
    // The others can be looked at while they are written.
    chat.type("\x18]");
    EXPECT_TRUE(chat.sees("answer 1")) << chat.screen();
    for (uint32_t choice = 0; choice < 3; ++choice)
        chat.emit(chat::Finished{
            .id = request->id, .choice = choice, .last_choice = choice == 2, .seed = 7});
    EXPECT_FALSE(chat.session().busy());
    const chat::Conversation& tree = chat.conversation();
    EXPECT_EQ(tree.siblings(2).size(), 4U);
    EXPECT_EQ(tree.turn(5).choice, 2U);
    EXPECT_EQ(tree.turn(5).sampling.temperature, 1.5F);
    EXPECT_EQ(tree.turn(5).state, TurnState::done);
}

TEST_F(Tree, StoppingSeveralAnswersKeepsWhatThereIsOfEach) {
    chat.enter("/regen --n 2");
    const auto request = chat.take_generate();
    chat.emit(chat::Delta{.id = request->id, .choice = 1, .text = "some"});
    chat.type("\x03");
    EXPECT_TRUE(request->cancel->load());
    for (uint32_t choice = 0; choice < 2; ++choice)
        chat.emit(chat::Finished{.id = request->id,
                                 .choice = choice,
                                 .last_choice = choice == 1,
                                 .reason = chat::FinishReason::cancelled});
    EXPECT_EQ(chat.conversation().turn(4).state, TurnState::interrupted);
    EXPECT_EQ(chat.conversation().turn(4).text, "some");
}

TEST_F(Tree, WrongArgumentsAreToldAndNothingHappens) {
    chat.enter("/regen --n 99");
    EXPECT_TRUE(chat.sees("--n: is 99, must be a whole number from 1 to 16")) << chat.screen();
    chat.enter("/regen tempratur=1");
    EXPECT_TRUE(chat.sees("did you mean temperature")) << chat.screen();
    chat.enter("/regen 7");
    EXPECT_TRUE(chat.sees("must be a whole number from 1 to 2")) << chat.screen();
    EXPECT_FALSE(chat.take_generate());
}

TEST_F(Tree, AnEditedMessageIsSentAsASiblingOfTheOldOne) {
    chat.enter("/edit 1");
    EXPECT_TRUE(chat.sees("> first question"));
    EXPECT_TRUE(chat.sees("editing message 1"));
    chat.type("\x15");  // C-u
    chat.enter("better question");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_EQ(sent_texts(*request), std::vector<std::string>{"better question"});
    answer_with({"better"});
    EXPECT_EQ(chat.conversation().siblings(1), (std::vector<chat::TurnId>{1, 3}));
    EXPECT_TRUE(chat.sees("┊2/2┊"));
    // The branch nearest to the end is the question now.
    chat.type("\x18[");
    EXPECT_TRUE(chat.sees("one two three"));
}

TEST_F(Tree, AnEditThatIsLeftChangesNothing) {
    chat.enter("/edit");
    chat.type("\x03");
    EXPECT_FALSE(chat.sees("editing message"));
    chat.enter("second question");
    EXPECT_EQ(sent_texts(*chat.take_generate()).size(), 3U);
}

TEST_F(Tree, AnEditedAnswerIsASiblingThatSaysSo) {
    chat.enter("/edit 2");
    chat.enter(" and more");
    EXPECT_FALSE(chat.take_generate());
    EXPECT_TRUE(chat.sees("one two three and more")) << chat.screen();
    EXPECT_TRUE(chat.sees("edited ┊2/2┊"));
}

TEST_F(Tree, UndoAndRedoMoveTheTipAndEraseNothing) {
    chat.converse("second question", {"four"});
    chat.enter("/undo");
    EXPECT_FALSE(chat.sees("second question"));
    EXPECT_TRUE(chat.sees("one two three"));
    chat.enter("/undo");
    EXPECT_TRUE(chat.conversation().line().empty());
    chat.enter("/undo");
    EXPECT_TRUE(chat.sees("There is nothing to undo."));
    chat.enter("/redo");
    EXPECT_TRUE(chat.sees("one two three"));
    chat.enter("/redo");
    EXPECT_TRUE(chat.sees("four")) << chat.screen();
    EXPECT_EQ(chat.conversation().size(), 4U);
    chat.enter("/redo");
    EXPECT_TRUE(chat.sees("There is nothing to redo."));
}

TEST_F(Tree, RedoGoesBackToTheBranchThatWasUndone) {
    chat.type("\x18r");
    chat.take_generate();
    answer_with({"newest"});
    chat.type("\x18[");  // the older answer
    chat.enter("/undo");
    chat.enter("/redo");
    EXPECT_TRUE(chat.sees("one two three")) << chat.screen();
}

TEST_F(Tree, WhatIsSaidAfterUndoIsAnotherBranch) {
    chat.enter("/undo");
    chat.enter("another question");
    EXPECT_EQ(sent_texts(*chat.take_generate()), std::vector<std::string>{"another question"});
    answer_with({"x"});
    EXPECT_EQ(chat.conversation().siblings(1), (std::vector<chat::TurnId>{1, 3}));
}

TEST_F(Tree, ContinueGoesOnWithTheExactTokensInASibling) {
    chat.enter("second question");
    chat.take_generate();
    chat.say({"half", " an"}, 40);
    chat.type("\x03");
    chat.finish(chat::FinishReason::cancelled);
    chat.enter("/continue");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->forced_prefix, (std::vector<chat::TokenId>{40, 41}));
    EXPECT_EQ(request->sampling.seed, 7U) << "the seed of the answer that was stopped";
    EXPECT_EQ(sent_texts(*request).back(), "second question");
    answer_with({"half", " an", " answer"});
    EXPECT_TRUE(chat.sees("half an answer"));
    EXPECT_EQ(chat.conversation().turn(4).text, "half an");
    EXPECT_EQ(chat.conversation().siblings(4).size(), 2U);
}

TEST_F(Tree, ContinueWithATextPutsItBehindTheAnswer) {
    chat.enter("/continue , therefore");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->forced_prefix.size(), 3U);
    EXPECT_EQ(request->forced_text, ", therefore");
}

TEST_F(Tree, AnotherModelContinuesTheText) {
    chat.enter("/model other.gguf");
    chat.ready("other");
    chat.enter("/continue");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_TRUE(request->forced_prefix.empty());
    EXPECT_EQ(request->forced_text, "one two three");
}

TEST_F(Tree, ExcludedMessagesAreNotSentAndWhatThatCostsIsTold) {
    chat.converse("second question", {"four"});
    chat.take_kv();
    chat.enter("/exclude 1");
    chat.enter("/exclude 2");
    EXPECT_TRUE(chat.sees("left out"));
    const auto asked = chat.take_kv();
    ASSERT_FALSE(asked.empty());
    chat.emit(chat::KvListed{.id = asked.back().id,
                             .entries = {{.tokens = 500, .resident = 0, .reread_seconds = 4}}});
    EXPECT_TRUE(chat.sees("The next answer: ○ re-read 500 tokens ~4")) << chat.screen();
    chat.enter("third question");
    EXPECT_EQ(sent_texts(*chat.take_generate()),
              (std::vector<std::string>{"second question", "four", "third question"}));
    answer_with({"five"});
    chat.enter("/exclude 2");
    EXPECT_FALSE(chat.conversation().turn(2).flags.excluded);
}

TEST_F(Tree, PinnedMessagesSaySo) {
    chat.enter("/pin 1");
    EXPECT_TRUE(chat.conversation().turn(1).flags.pinned);
    EXPECT_TRUE(chat.sees("pinned"));
}

TEST_F(Tree, EveryCommandKnowsHelp) {
    for (const char* command : {"/regen", "/continue", "/undo", "/fork", "/new", "/quit"}) {
        chat.enter(std::string(command) + " --help");
        EXPECT_TRUE(chat.sees(std::string(command))) << chat.screen();
    }
    EXPECT_FALSE(chat.app().exit_status());
    EXPECT_TRUE(chat.sees("/regen [n] [--n K] [NAME=VALUE]: another answer"));
}

// --- kept -------------------------------------------------------------------------------------

TEST(TreeOnDisk, ATreeIsTheSameWhenItIsOpenedAgain) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        chat.ready();
        chat.converse("first", {"one"});
        chat.converse("second", {"two"});
        chat.type("\x18r");
        ASSERT_TRUE(chat.take_generate());
        chat.say({"three"});
        chat.finish();
        chat.enter("/exclude 1");
        chat.enter("/pin 2");
        chat.enter("/undo");
        chat.until_idle();
    }
    KeptChat again(folder.path(), {.resume = ""});
    again.ready();
    again.until([&] { return again.conversation().size() == 5; }, "the tree");
    const chat::Conversation& tree = again.conversation();
    EXPECT_TRUE(tree.turn(1).flags.excluded);
    EXPECT_TRUE(tree.turn(2).flags.pinned);
    EXPECT_EQ(tree.tip(), 2U);
    EXPECT_EQ(tree.siblings(4), (std::vector<chat::TurnId>{4, 5}));
    again.enter("/redo");
    EXPECT_TRUE(again.sees("three")) << again.screen();
}

TEST(TreeOnDisk, AForkIsAConversationOfItsOwn) {
    const KeptFolder folder;
    KeptChat chat(folder.path());
    chat.ready();
    chat.converse("first", {"one"});
    chat.converse("second", {"two"});
    const std::string id = chat.session().saver().conversation_id();
    chat.enter("/fork 2 My branch");
    chat.until([&] { return !chat.session().saver().conversation_id().empty(); }, "a saved fork");
    EXPECT_NE(chat.session().saver().conversation_id(), id);
    EXPECT_EQ(chat.conversation().size(), 2U);
    EXPECT_TRUE(chat.sees("My branch")) << chat.screen();
    EXPECT_TRUE(chat.sees("/open " + id + " goes back to it"));
    chat.converse("elsewhere", {"three"});
    EXPECT_EQ(chat.conversation().size(), 4U);
}

}  // namespace
}  // namespace app
