#include "core/chat/channel.h"

#include <poll.h>

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/chat/channel_stress.h"

namespace chat {
namespace {

bool readable_now(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
}

TEST(Channel, RequestsArriveInOrderAndMakeTheDescriptorReadable) {
    Channel channel;
    EXPECT_FALSE(readable_now(channel.request_fd()));
    channel.submit(Count{.id = channel.next_id(), .what = "one"});
    channel.submit(UnloadModel{.id = channel.next_id()});
    EXPECT_TRUE(readable_now(channel.request_fd()));
    channel.acknowledge_requests();
    EXPECT_FALSE(readable_now(channel.request_fd()));

    auto first = channel.poll_request();
    ASSERT_TRUE(first);
    EXPECT_EQ(std::get<std::string>(std::get<Count>(*first).what), "one");
    auto second = channel.poll_request();
    ASSERT_TRUE(second);
    EXPECT_EQ(request_of(*second), 2U);
    EXPECT_FALSE(channel.poll_request());
}

TEST(Channel, UndrainedBytesAreWhatWasEmittedAndNotPolled) {
    Channel channel;
    EXPECT_EQ(channel.undrained(), 0U);
    const size_t size = byte_size(delta(1));
    channel.emit(delta(1));
    channel.emit(delta(2));
    EXPECT_EQ(channel.undrained(), 2 * size);
    channel.poll_event();
    EXPECT_EQ(channel.undrained(), size);
    channel.poll_event();
    EXPECT_EQ(channel.undrained(), 0U);
}

TEST(Channel, AClientThatDrainsNothingLosesDeltasButNotTheEnd) {
    Channel channel;
    const std::string text(64 << 10, 'x');
    size_t delivered = 0;
    while (channel.emit(Delta{.id = 1, .text = text, .tokens = {}}))
        ++delivered;
    EXPECT_GE(delivered * text.size(), Channel::kMaxUndrained - 2 * text.size());
    EXPECT_LE(channel.undrained(), Channel::kMaxUndrained);
    EXPECT_FALSE(channel.emit(Delta{.id = 1, .text = text, .tokens = {}}));
    EXPECT_TRUE(channel.emit(Failed{.id = 1, .sentence = std::string(64 << 10, 'y')}));

    size_t received = 0;
    std::optional<Event> last;
    while (auto event = channel.poll_event()) {
        if (std::holds_alternative<Delta>(*event)) ++received;
        last = std::move(event);
    }
    EXPECT_EQ(received, delivered);
    EXPECT_TRUE(std::holds_alternative<Failed>(*last));
    EXPECT_EQ(channel.undrained(), 0U);
    EXPECT_TRUE(channel.emit(Delta{.id = 2, .text = text, .tokens = {}}));
}

TEST(Channel, AClientThatSleepsThroughFiveThousandTokensGetsAllOfThemAndFinishedLast) {
    constexpr uint64_t kTokens = 5000;
    Channel channel;
    std::thread engine([&channel] {
        for (uint64_t i = 0; i < kTokens; ++i) {
            Delta event{.id = 1, .text = "token " + std::to_string(i), .tokens = {}};
            Token token{.id = static_cast<TokenId>(i), .bytes = event.text};
            token.alternatives.resize(20);
            event.tokens.push_back(std::move(token));
            EXPECT_TRUE(channel.emit(std::move(event)));
        }
        channel.emit(Finished{.id = 1});
    });
    engine.join();

    ASSERT_TRUE(wait_readable(channel.event_fd()));
    channel.acknowledge_events();
    for (uint64_t i = 0; i < kTokens; ++i) {
        auto event = channel.poll_event();
        ASSERT_TRUE(event);
        ASSERT_EQ(std::get<Delta>(*event).tokens.at(0).id, static_cast<TokenId>(i));
    }
    auto last = channel.poll_event();
    ASSERT_TRUE(last);
    EXPECT_TRUE(std::holds_alternative<Finished>(*last));
    EXPECT_FALSE(channel.poll_event());
}

TEST(Channel, EventsArriveInOrderAtASleepingConsumer) {
    expect_events_in_order(150'000);
}

TEST(Channel, NoWakeUpIsLostWhenBothSidesSleepForEachMessage) {
    expect_no_lost_wake_up(3'000);
}

}  // namespace
}  // namespace chat
