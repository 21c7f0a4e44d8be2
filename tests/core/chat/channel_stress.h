// What must hold of a Channel under load, for the quick tests and, with millions, for the slow
// ones.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "core/chat/channel.h"

namespace chat {

inline Event delta(uint64_t number) {
    return Delta{.id = number, .text = "token"};
}

// Sleeps until the descriptor is readable. False after ten seconds: a wake-up was lost.
inline bool wait_readable(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 10'000) == 1;
}

// The consumer sleeps in poll() whenever the queue is empty, exactly as a client does. A lost
// wake-up ends in the time limit of wait_readable.
inline void expect_events_in_order(uint64_t events) {
    Channel channel;
    std::thread engine([&channel, events] {
        for (uint64_t i = 1; i <= events; ++i) {
            // Below the limit, so that none may be dropped whatever the kernel schedules.
            while (channel.undrained() > Channel::kMaxUndrained / 2)
                std::this_thread::yield();
            channel.emit(delta(i));
        }
    });
    uint64_t expected = 1;
    bool in_order = true;
    bool awake = true;
    while (in_order && awake && expected <= events) {
        awake = wait_readable(channel.event_fd());
        channel.acknowledge_events();
        while (auto event = channel.poll_event())
            in_order &= request_of(*event) == expected++;
    }
    engine.join();
    EXPECT_TRUE(awake) << "no wake-up after event " << expected - 1;
    EXPECT_TRUE(in_order);
    EXPECT_EQ(expected, events + 1);
}

// One request at a time, each answered by an event: both sides go to sleep for each, so that the
// window between draining and polling is met as often as possible.
inline void expect_no_lost_wake_up(uint64_t rounds) {
    Channel channel;
    std::atomic<uint64_t> answered{0};
    std::thread engine([&] {
        uint64_t done = 0;
        while (done < rounds && wait_readable(channel.request_fd())) {
            channel.acknowledge_requests();
            while (auto request = channel.poll_request()) {
                channel.emit(Done{.id = request_of(*request)});
                ++done;
            }
        }
        answered = done;
    });
    uint64_t finished = 0;
    for (; finished < rounds; ++finished) {
        const RequestId id = channel.next_id();
        channel.submit(UnloadModel{.id = id});
        std::optional<Event> event;
        while (!event && wait_readable(channel.event_fd())) {
            channel.acknowledge_events();
            event = channel.poll_event();
        }
        if (!event || request_of(*event) != id) break;
    }
    engine.join();
    EXPECT_EQ(finished, rounds);
    EXPECT_EQ(answered, rounds);
}

}  // namespace chat
