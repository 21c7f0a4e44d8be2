// The context window: nothing leaves it silently.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/app/kept_chat.h"

namespace app {
namespace {

std::vector<std::string> sent_texts(const chat::Generate& request) {
    std::vector<std::string> texts;
    for (const chat::Message& message : std::get<std::vector<chat::Message>>(request.prompt))
        texts.push_back(message.text);
    return texts;
}

const std::vector<std::string> kAnswer(40, "x");  // 40 tokens
const std::string kAnswerText(40, 'x');
const std::vector<std::string> kLastThree = {"prompt 2", kAnswerText, "prompt 3", kAnswerText,
                                             "prompt 4"};

// Four exchanges of 48 tokens in a window of 400, of which 200 are kept for an answer. A fifth
// prompt makes 203.
void fill(KeptChat& chat) {
    chat.ready("grok", 400);
    for (int i = 0; i < 4; ++i)
        chat.converse("prompt " + std::to_string(i), kAnswer);
    ASSERT_TRUE(chat.take_generate());
}

class ContextWindow : public testing::Test {
  protected:
    ContextWindow() : chat("", {.temporary = true}) { fill(chat); }

    KeptChat chat;
};

TEST_F(ContextWindow, PromptThatDoesNotFitIsAskedAboutWithExactCounts) {
    chat.enter("prompt 4");
    EXPECT_FALSE(chat.take_generate());
    EXPECT_TRUE(chat.sees("does not fit: 203 of 200 tokens")) << chat.screen();
    EXPECT_TRUE(chat.sees("leave out the oldest 4 turns")) << chat.screen();
    EXPECT_TRUE(chat.sees("then 107 tokens")) << chat.screen();
    EXPECT_TRUE(chat.sees("enlarge the context to 800")) << chat.screen();
}

TEST_F(ContextWindow, LeavingOutSendsTheRestAndDrawsTheDivider) {
    chat.enter("prompt 4");
    chat.type("1");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request) << chat.screen();
    EXPECT_EQ(sent_texts(*request), kLastThree);
    EXPECT_TRUE(chat.sees("4 turns above are outside the context window")) << chat.screen();
    EXPECT_TRUE(chat.sees("shifted −4")) << chat.screen();
    EXPECT_TRUE(chat.sees("Context shifted: 4 turns left it")) << chat.screen();
    EXPECT_EQ(chat.conversation().size(), 10U) << "nothing is lost";
    chat.say({"fine"});
    chat.finish();
    chat.enter("next");
    const auto next = chat.take_generate();
    ASSERT_TRUE(next) << "a quarter was freed, so the next prompt fits";
    EXPECT_EQ(sent_texts(*next).front(), "prompt 2");
}

TEST_F(ContextWindow, SummingUpPutsASummaryInFrontOfTheRest) {
    chat.enter("prompt 4");
    chat.type("2");
    const auto summing = chat.take_generate();
    ASSERT_TRUE(summing) << chat.screen();
    const std::vector<std::string> sent = sent_texts(*summing);
    ASSERT_EQ(sent.size(), 5U);
    EXPECT_EQ(sent[0], "prompt 0") << "what the cache has is not read again";
    EXPECT_TRUE(sent[4].starts_with("Sum up our conversation")) << sent[4];
    EXPECT_GT(summing->max_tokens, 0U);
    chat.emit(chat::Delta{.id = summing->id, .text = "two greetings"});
    chat.emit(chat::Finished{.id = summing->id});
    const auto request = chat.take_generate();
    ASSERT_TRUE(request) << chat.screen();
    const std::vector<std::string> texts = sent_texts(*request);
    ASSERT_EQ(texts.size(), 6U);
    EXPECT_EQ(texts[0], "Summary of what was said before:\ntwo greetings");
    EXPECT_EQ(texts[1], "prompt 2");
    EXPECT_TRUE(chat.sees("two greetings")) << chat.screen();
}

TEST_F(ContextWindow, StoppedSummaryChangesNothingAndAsksAgain) {
    chat.enter("prompt 4");
    chat.type("2");
    const auto summing = chat.take_generate();
    ASSERT_TRUE(summing);
    chat.emit(chat::Delta{.id = summing->id, .text = "half of"});
    chat.type("\x03");
    EXPECT_TRUE(summing->cancel->load());
    chat.emit(chat::Finished{.id = summing->id, .reason = chat::FinishReason::cancelled});
    EXPECT_TRUE(chat.sees("There is no summary; nothing has changed."));
    EXPECT_TRUE(chat.sees("does not fit"));
    EXPECT_TRUE(chat.conversation().system().empty());
}

TEST_F(ContextWindow, EnlargingLoadsTheModelAnewAndThenAnswers) {
    chat.enter("prompt 4");
    chat.type("3");
    chat.ready("grok", 800);
    EXPECT_FALSE(chat.sees("does not fit")) << chat.screen();
    const auto request = chat.take_generate();
    ASSERT_TRUE(request) << chat.screen();
    EXPECT_EQ(sent_texts(*request).size(), 9U);
}

TEST_F(ContextWindow, ForkGoesOnWithoutTheOldestTurns) {
    const uint32_t before = chat.session().conversation_number();
    chat.enter("prompt 4");
    chat.type("4");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request) << chat.screen();
    EXPECT_EQ(sent_texts(*request), kLastThree);
    EXPECT_NE(chat.session().conversation_number(), before);
}

TEST_F(ContextWindow, CancelKeepsTheMessageAndCanBeAskedAgain) {
    chat.enter("prompt 4");
    chat.type("q");
    EXPECT_FALSE(chat.take_generate());
    EXPECT_TRUE(chat.sees("The message was not answered: its prompt has 203 tokens and 200 fit."))
        << chat.screen();
    EXPECT_EQ(chat.conversation().turn(9).text, "prompt 4");
    chat.type("\x18r");
    EXPECT_TRUE(chat.sees("does not fit")) << chat.screen();
}

TEST(ContextKeys, ThatLeaveThingsElsewhereCancelAndLoseNothing) {
    for (const char* key : {"\x04", "\x03", "\x07"}) {  // C-d, C-c, C-g
        KeptChat each("", {.temporary = true});
        fill(each);
        each.enter("prompt 4");
        EXPECT_TRUE(each.sees("the message stays and is not")) << each.screen();
        each.type("draft");
        each.type(key);
        EXPECT_FALSE(each.take_generate());
        EXPECT_FALSE(each.sees("does not fit")) << each.screen();
        EXPECT_TRUE(each.sees("The message was not answered")) << each.screen();
        EXPECT_EQ(each.conversation().turn(9).text, "prompt 4");
        EXPECT_FALSE(each.app().exit_status());
    }
}

TEST_F(ContextWindow, PolicyShiftTellsAndDoesNotAsk) {
    chat.enter("/ctx policy shift");
    chat.enter("prompt 4");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request) << chat.screen();
    EXPECT_EQ(sent_texts(*request), kLastThree);
    EXPECT_TRUE(chat.sees("Context shifted: 4 turns left it")) << chat.screen();
}

TEST_F(ContextWindow, PinnedExchangeStays) {
    chat.enter("/ctx policy shift");
    chat.enter("/pin 1");
    chat.enter("prompt 4");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request) << chat.screen();
    EXPECT_EQ(sent_texts(*request).front(), "prompt 0");
}

TEST_F(ContextWindow, PromptThatNothingHelpsIsNotCut) {
    chat.enter("/ctx policy shift");
    chat.enter(std::string(300, 'y'));
    EXPECT_FALSE(chat.take_generate());
    EXPECT_FALSE(chat.sees("leave out the oldest")) << chat.screen();
    EXPECT_TRUE(chat.sees("enlarge the context")) << chat.screen();
}

TEST_F(ContextWindow, CountingCanBeStopped) {
    chat.answers_counts = false;
    chat.enter("prompt 4");
    EXPECT_TRUE(chat.session().busy());
    chat.type("\x03");
    EXPECT_TRUE(chat.sees("stopping")) << chat.screen();
}

TEST_F(ContextWindow, CompactWithPreviewOnlyTells) {
    chat.enter("/compact keep-last 1 --preview");
    const auto summing = chat.take_generate();
    ASSERT_TRUE(summing) << chat.screen();
    EXPECT_EQ(sent_texts(*summing).size(), 7U) << "three exchanges and the request";
    chat.emit(chat::Delta{.id = summing->id, .text = "a summary"});
    chat.emit(chat::Finished{.id = summing->id});
    EXPECT_TRUE(chat.sees("a summary")) << chat.screen();
    EXPECT_EQ(chat.session().turns_outside(), 0U);
    chat.enter("/compact keep-last 9");
    EXPECT_TRUE(chat.sees("There is nothing to sum up")) << chat.screen();
}

TEST(ContextWindowKept, TurnsOutsideStayOutsideAfterARestart) {
    const KeptFolder folder;
    {
        KeptChat chat(folder.path());
        fill(chat);
        chat.enter("/ctx policy shift");
        chat.enter("prompt 4");
        chat.until([&] { return chat.session().turns_outside() == 4; }, "the shift");
        chat.say({"fine"});
        chat.finish();
        chat.until_idle();
    }
    KeptChat chat(folder.path(), {.resume = ""});
    chat.until_seen("4 turns above are outside the context window");
    EXPECT_EQ(chat.session().turns_outside(), 4U);
}

}  // namespace
}  // namespace app
