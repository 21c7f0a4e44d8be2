// The log tells the figures of answers, the life of requests at debug, and texts only when asked.
#include "core/chat/request_log.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/log.h"
#include "core/chat/channel.h"
#include "tests/support/temporary_folder.h"

namespace chat {
namespace {

using testing::HasSubstr;
using testing::Not;

class RequestLogTest : public testing::Test {
  protected:
    ~RequestLogTest() override {
        core::close_log();
        log_prompts(false);
    }
    // What a request and its events leave in the log.
    std::string log_of_an_answer(core::LogLevel level) {
        const std::string path = folder.path() + "/log";
        core::open_log({.path = path, .level = level});
        Channel channel;
        channel.submit(Generate{.id = 7,
                                .prompt = std::vector<Message>{{.text = "my secret"}},
                                .sampling = {.seed = 5},
                                .max_tokens = 9});
        channel.emit(Progress{.id = 7, .phase = Phase::prefill, .done = 64, .total = 100});
        channel.emit(Delta{.id = 7, .text = "its words", .tokens = {{.id = 3}}});
        channel.emit(Finished{.id = 7,
                              .reason = FinishReason::length,
                              .usage = {.prompt = 100,
                                        .reused = 60,
                                        .recomputed = 40,
                                        .generated = 9,
                                        .prefill_seconds = 0.5,
                                        .decode_seconds = 2,
                                        .first_token_seconds = 0.75},
                              .seed = 5});
        channel.emit(Failed{.id = 8, .sentence = "It broke."});
        while (channel.poll_event()) {
        }
        core::close_log();
        return support::content_of(path);
    }

    support::TemporaryFolder folder;
};

TEST_F(RequestLogTest, TheFiguresOfAnAnswerAreInfo) {
    const std::string text = log_of_an_answer(core::LogLevel::info);
    EXPECT_THAT(text, HasSubstr("info    answer 7: length, prompt 100 tokens, 60 reused, 40 read "
                                "in 0.50 s (80.0/s), 9 written in 2.00 s (4.0/s), first after "
                                "0.75 s, seed 5\n"));
    EXPECT_THAT(text, HasSubstr("warning request 8: It broke."));
    EXPECT_THAT(text, Not(HasSubstr("generate")));
}

TEST_F(RequestLogTest, DebugShowsTheLifeOfARequestWithoutItsText) {
    const std::string text = log_of_an_answer(core::LogLevel::debug);
    EXPECT_THAT(text, HasSubstr("request 7: generate, temperature 0.8, top_k 40"));
    EXPECT_THAT(text, HasSubstr("max_tokens 9, 1 messages\n"));
    EXPECT_THAT(text, HasSubstr("request 7: prefill 64/100\n"));
    EXPECT_THAT(text, HasSubstr("request 7: 1 tokens\n"));
    EXPECT_THAT(text, Not(HasSubstr("secret")));
    EXPECT_THAT(text, Not(HasSubstr("its words")));
}

TEST_F(RequestLogTest, TextsAreLoggedOnlyWhenAskedFor) {
    log_prompts(true);
    const std::string text = log_of_an_answer(core::LogLevel::debug);
    EXPECT_THAT(text, HasSubstr("user \"my secret\""));
    EXPECT_THAT(text, HasSubstr("\"its words\""));
}

}  // namespace
}  // namespace chat
