// The channel's promises over millions of messages.
#include <gtest/gtest.h>

#include "tests/core/chat/channel_stress.h"

namespace chat {
namespace {

TEST(ChannelSlow, MillionsOfEventsArriveInOrderAtASleepingConsumer) {
    expect_events_in_order(5'000'000);
}

TEST(ChannelSlow, NoWakeUpIsLostInAHundredThousandRounds) {
    expect_no_lost_wake_up(100'000);
}

}  // namespace
}  // namespace chat
