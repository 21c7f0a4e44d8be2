// The tree of turns: lines, siblings, what is sent to the model.
#include "core/chat/conversation.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace chat {
namespace {

Delta words(std::vector<std::string> tokens) {
    Delta delta;
    for (std::string& token : tokens) {
        delta.text += token;
        delta.tokens.push_back(
            {.id = static_cast<TokenId>(delta.tokens.size() + 1), .bytes = std::move(token)});
    }
    return delta;
}

TurnId answer(Conversation& conversation, TurnId prompt, std::vector<std::string> tokens,
              FinishReason reason = FinishReason::stop) {
    const TurnId id = conversation.begin_answer(prompt, "m", {});
    conversation.append(id, words(std::move(tokens)));
    conversation.finish(id, {.reason = reason});
    return id;
}

TEST(Conversation, AnswersStreamAndEndInTheirStates) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("hello");
    const TurnId id = conversation.begin_answer(prompt, "m", {});
    EXPECT_EQ(conversation.turn(id).state, TurnState::streaming);
    conversation.append(id, words({"Hi", " there"}));
    EXPECT_EQ(conversation.turn(id).text, "Hi there");
    conversation.finish(id, {.reason = FinishReason::cancelled, .seed = 7});
    EXPECT_EQ(conversation.turn(id).state, TurnState::interrupted);
    EXPECT_EQ(conversation.turn(id).seed, 7U);
    const TurnId failed = conversation.begin_answer(prompt, "m", {});
    conversation.fail(failed, "No.");
    EXPECT_EQ(conversation.turn(failed).state, TurnState::error);
}

TEST(Conversation, RegenerateAddsASiblingAndKeepsWhatWasThere) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId second = answer(conversation, prompt, {"two"});
    EXPECT_EQ(conversation.line(), (std::vector<TurnId>{prompt, second}));
    EXPECT_EQ(conversation.siblings(first), (std::vector<TurnId>{first, second}));
    EXPECT_TRUE(conversation.show_sibling(second, -1));
    EXPECT_EQ(conversation.line(), (std::vector<TurnId>{prompt, first}));
    EXPECT_TRUE(conversation.show_sibling(first, -1));  // wraps around
    EXPECT_EQ(conversation.tip(), second);
    EXPECT_EQ(conversation.turn(first).text, "one");
}

TEST(Conversation, ASiblingIsShownWithWhatFollowedIt) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId next = conversation.add_user("more");
    const TurnId deep = answer(conversation, next, {"deep"});
    const TurnId second = answer(conversation, prompt, {"two"});
    EXPECT_FALSE(conversation.show_sibling(deep, 1));
    EXPECT_TRUE(conversation.show_sibling(second, 1));
    EXPECT_EQ(conversation.line(), (std::vector<TurnId>{prompt, first, next, deep}));
    EXPECT_EQ(conversation.last_answer(), deep);
}

TEST(Conversation, MessagesAreTheLineWithTheSystemPromptInFront) {
    Conversation conversation;
    conversation.set_system("Be brief.");
    const TurnId prompt = conversation.add_user("q");
    answer(conversation, prompt, {"one", " two"});
    const TurnId next = conversation.add_user("more");
    const TurnId failed = conversation.begin_answer(next, "m", {});
    conversation.fail(failed, "No.");
    const TurnId last = conversation.add_user("again");
    const std::vector<Message> messages = conversation.messages(last, "m");
    ASSERT_EQ(messages.size(), 5U);  // the failed answer has no text and is left out
    EXPECT_EQ(messages[0].role, Role::system);
    EXPECT_EQ(messages[2].role, Role::assistant);
    EXPECT_EQ(messages[2].text, "one two");
    EXPECT_EQ(messages[2].tokens, (std::vector<TokenId>{1, 2}));
    EXPECT_EQ(messages[4].text, "again");
}

TEST(Conversation, ExactIdsGoOnlyToTheModelThatMadeThem) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    answer(conversation, prompt, {"one"});
    const TurnId next = conversation.add_user("more");
    EXPECT_EQ(conversation.messages(next, "m")[1].tokens.size(), 1U);
    EXPECT_TRUE(conversation.messages(next, "other")[1].tokens.empty());
}

// What of them spells the text is for the chat format to say; here none is lost.
TEST(Conversation, AnswersKeepEveryIdWhateverTheTextShows) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId id = conversation.begin_answer(prompt, "m", {});
    Delta delta = words({" one", " two", "</s>"});
    delta.text = "one two";  // the leading space and the stop string are no content
    conversation.append(id, delta);
    EXPECT_EQ(conversation.messages(id, "m")[1].tokens, (std::vector<TokenId>{1, 2, 3}));

    const TurnId broken = conversation.begin_answer(prompt, "m", {});
    delta = words({"caf\xC3"});
    delta.text = "caf\uFFFD";  // bytes that were no UTF-8
    conversation.append(broken, delta);
    EXPECT_EQ(conversation.messages(broken, "m")[1].tokens, (std::vector<TokenId>{1}));
}

TEST(Conversation, TokensKnowWhatTextStandsBeforeThem) {
    Conversation conversation;
    const TurnId id = conversation.begin_answer(conversation.add_user("q"), "m", {});
    conversation.append(id, words({"one", " two"}));
    Delta held = words({"\xC3"});
    held.text = "";
    conversation.append(id, held);
    held = words({"\xA9"});
    held.text = "\u00E9";
    conversation.append(id, held);
    EXPECT_EQ(conversation.turn(id).text_offsets, (std::vector<uint32_t>{0, 3, 7, 7}));
}

TEST(Conversation, AnswersRememberTheInstructionsTheyWereGivenUnder) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    conversation.set_system("Be brief.");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId second = answer(conversation, prompt, {"two"});
    conversation.set_system("Be long.");
    EXPECT_EQ(*conversation.turn(first).system, "Be brief.");
    EXPECT_EQ(conversation.turn(first).system, conversation.turn(second).system);
    EXPECT_EQ(conversation.system(), "Be long.");
}

std::vector<Turn> turns_of(const Conversation& conversation) {
    std::vector<Turn> turns;
    for (TurnId id = 1; id <= conversation.size(); ++id)
        turns.push_back(conversation.turn(id));
    return turns;
}

TEST(Conversation, IsMadeAgainFromItsTurns) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    answer(conversation, prompt, {"two"});
    const Conversation again(turns_of(conversation), first, "Be brief.");
    EXPECT_EQ(again.line(), (std::vector<TurnId>{prompt, first}));
    EXPECT_EQ(again.siblings(first).size(), 2U);
    EXPECT_EQ(again.messages(first, "m").front().text, "Be brief.");
}

TEST(Conversation, TurnsThatAreNoTreeAreRefused) {
    Conversation conversation;
    conversation.add_user("q");
    conversation.add_user("more");
    const std::vector<Turn> turns = turns_of(conversation);
    EXPECT_THROW(Conversation({turns[1]}, 2, ""), core::Error);
    EXPECT_THROW(Conversation(turns, 3, ""), core::Error);
    EXPECT_TRUE(Conversation(turns, 0, "").line().empty()) << "that is the beginning of a tree";
    std::vector<Turn> circle = turns;
    circle[0].parent = 2;
    EXPECT_THROW(Conversation(circle, 2, ""), core::Error);
}

TEST(Conversation, LeavesAreTheEndsOfItsLines) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId deep = answer(conversation, conversation.add_user("more"), {"deep"});
    const TurnId second = answer(conversation, prompt, {"two"});
    EXPECT_EQ(conversation.leaves(), (std::vector<TurnId>{deep, second}));
    EXPECT_EQ(conversation.newest_leaf(first), deep);
    EXPECT_EQ(conversation.newest_leaf(prompt), second);
    EXPECT_EQ(conversation.newest_leaf(second), second);
}

TEST(Conversation, ChangesOfParametersRememberTheirToken) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId id = conversation.begin_answer(prompt, "m", {});
    conversation.append(id, words({"one", " two"}));
    conversation.mark_change(id, {.temperature = 1.5F});
    conversation.append(id, words({" three"}));
    ASSERT_EQ(conversation.turn(id).marks.size(), 1U);
    EXPECT_EQ(conversation.turn(id).marks[0].change.at_token, 2U);
    EXPECT_EQ(conversation.turn(id).marks[0].text_bytes, 7U);
}

TEST(Conversation, TurnsDoNotMoveWhileOthersAreAdded) {
    Conversation conversation;
    const Turn& first = conversation.turn(conversation.add_user("q"));
    for (int i = 0; i < 5000; ++i)
        conversation.add_user("x");
    EXPECT_EQ(&first, &conversation.turn(1));
    EXPECT_EQ(first.text, "q");
}

TEST(Conversation, AnEditedPromptIsASiblingAndTheOldOneKeepsItsAnswers) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId edited = conversation.add_user({.text = "better q"}, 0);
    const TurnId second = answer(conversation, edited, {"two"});
    EXPECT_EQ(conversation.line(), (std::vector<TurnId>{edited, second}));
    EXPECT_EQ(conversation.siblings(prompt), (std::vector<TurnId>{prompt, edited}));
    EXPECT_EQ(conversation.last_branch(), edited);
    EXPECT_TRUE(conversation.show_sibling(edited, -1));
    EXPECT_EQ(conversation.line(), (std::vector<TurnId>{prompt, first}));
}

TEST(Conversation, AnEditedAnswerHasNoIdsOfAModel) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId edited = conversation.add_edited(first, "mine");
    EXPECT_EQ(conversation.turn(edited).state, TurnState::edited);
    EXPECT_EQ(conversation.siblings(edited), (std::vector<TurnId>{first, edited}));
    const auto messages = conversation.messages(edited, "m");
    EXPECT_EQ(messages.back().text, "mine");
    EXPECT_TRUE(messages.back().tokens.empty());
}

TEST(Conversation, ExcludedTurnsAreShownAndNotSent) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId next = conversation.add_user("more");
    conversation.set_flags(prompt, {.excluded = true});
    conversation.set_flags(first, {.excluded = true});
    EXPECT_EQ(conversation.line(), (std::vector<TurnId>{prompt, first, next}));
    const auto messages = conversation.messages(next, "m");
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_EQ(messages[0].text, "more");
    // What is asked is sent in any case.
    conversation.set_flags(next, {.excluded = true});
    EXPECT_EQ(conversation.messages(next, "m").size(), 1U);
}

TEST(Conversation, ARemovedTurnIsNoSiblingAndNoBranch) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    const TurnId first = answer(conversation, prompt, {"one"});
    const TurnId second = answer(conversation, prompt, {"two"});
    conversation.set_flags(first, {.removed = true});
    EXPECT_EQ(conversation.siblings(second), std::vector<TurnId>{second});
    EXPECT_EQ(conversation.last_branch(), 0U);
    EXPECT_FALSE(conversation.show_sibling(second, 1));
    EXPECT_EQ(conversation.newest_leaf(prompt), second);
    EXPECT_EQ(conversation.leaves(), (std::vector<TurnId>{first, second}));
    conversation.set_flags(first, {});
    EXPECT_EQ(conversation.siblings(second).size(), 2U);
}

TEST(Conversation, AForkIsTheLineAlone) {
    Conversation conversation;
    conversation.set_system("Be brief.");
    const TurnId prompt = conversation.add_user("q");
    answer(conversation, prompt, {"one"});
    const TurnId second = answer(conversation, prompt, {"two", " words"});
    conversation.add_user("more");
    const Conversation fork = conversation.fork(second);
    EXPECT_EQ(fork.line(), (std::vector<TurnId>{1, 2}));
    EXPECT_EQ(fork.turn(2).text, "two words");
    EXPECT_EQ(fork.turn(2).tokens, (std::vector<TokenId>{1, 2}));
    EXPECT_EQ(fork.system(), "Be brief.");
    EXPECT_EQ(conversation.size(), 4U);
}

TEST(Conversation, TheBeginningIsALineWithoutTurns) {
    Conversation conversation;
    const TurnId prompt = conversation.add_user("q");
    conversation.move_tip(0);
    EXPECT_TRUE(conversation.line().empty());
    EXPECT_EQ(conversation.last_answer(), 0U);
    EXPECT_EQ(conversation.newest_child(0), prompt);
    EXPECT_FALSE(conversation.is_on_line(prompt));
}

}  // namespace
}  // namespace chat
