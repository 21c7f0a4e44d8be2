#include "core/chat/protocol.h"

#include <gtest/gtest.h>

namespace chat {
namespace {

TEST(Protocol, ExactlyTheEventsThatEndARequestAreTerminal) {
    EXPECT_TRUE(is_terminal(ModelReady{}));
    EXPECT_TRUE(is_terminal(Done{}));
    EXPECT_TRUE(is_terminal(Counted{}));
    EXPECT_TRUE(is_terminal(Previewed{}));
    EXPECT_TRUE(is_terminal(KvListed{}));
    EXPECT_TRUE(is_terminal(Captured{}));
    EXPECT_TRUE(is_terminal(Failed{}));
    EXPECT_FALSE(is_terminal(Progress{}));
    EXPECT_FALSE(is_terminal(Delta{}));
    EXPECT_FALSE(is_terminal(Stats{}));
}

TEST(Protocol, OnlyTheLastOfSeveralChoicesEndsTheRequest) {
    EXPECT_FALSE(is_terminal(Finished{.last_choice = false}));
    EXPECT_TRUE(is_terminal(Finished{.last_choice = true}));
}

TEST(Protocol, EventsKnowTheirRequest) {
    EXPECT_EQ(request_of(Event{Delta{.id = 7, .text = {}, .tokens = {}}}), 7U);
    EXPECT_EQ(request_of(Event{Failed{.id = 8, .sentence = {}}}), 8U);
    EXPECT_EQ(request_of(Event{Stats{}}), 0U);
}

TEST(Protocol, RequestsThatTakeLongCanBeCancelled) {
    const Generate generate{.id = 3};
    EXPECT_EQ(cancel_flag_of(Request{generate}), generate.cancel);
    EXPECT_NE(cancel_flag_of(Request{LoadModel{}}), nullptr);
    EXPECT_NE(cancel_flag_of(Request{Prefill{}}), nullptr);
    EXPECT_EQ(cancel_flag_of(Request{Count{}}), nullptr);
    EXPECT_EQ(request_of(Request{generate}), 3U);
}

TEST(Protocol, TheSizeOfAnEventCountsWhatItCarries) {
    Delta delta{.text = std::string(1000, 'x'), .tokens = {}};
    const size_t text_only = byte_size(Event{delta});
    EXPECT_GE(text_only, 1000U);
    Token token;
    token.alternatives.resize(20);
    token.experts.resize(16);
    delta.tokens.push_back(token);
    EXPECT_GE(byte_size(Event{delta}),
              text_only + sizeof(Token) + 20 * sizeof(Alternative) + 16 * sizeof(ExpertChoice));
}

}  // namespace
}  // namespace chat
