// The channels attached to an engine thread, and the one place where that thread sleeps.
//
// Clients attach and detach from any thread while the engine runs. The mutex guards the list alone;
// requests and events pass through the lock-free channels, and the engine takes the mutex only when
// somebody has attached or detached or a request with a cancel flag has arrived.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/chat/channel.h"

namespace core {

struct Arrival {
    chat::Channel* channel = nullptr;
    chat::Request request;
};

class Clients {
  public:
    // Throws Error when a descriptor cannot be made.
    Clients();
    ~Clients();
    Clients(const Clients&) = delete;
    Clients& operator=(const Clients&) = delete;

    // Any thread but the engine's.
    void attach(chat::Channel& channel);
    // Sets the cancel flags of the channel's requests, waits until the engine thread has let go of
    // it. Returns at once when the engine thread has ended or the channel is not attached.
    void detach(chat::Channel& channel);
    // Sets all cancel flags; wait() returns false from now on.
    void stop();

    // Before the engine thread starts: wait() returns too while `fd` polls readable.
    void wake_on(int fd);

    // Engine thread. Sleeps until a request arrives, somebody attaches or detaches, or the time is
    // over (nothing = no limit). False after stop().
    bool wait(std::optional<std::chrono::milliseconds> limit);
    // Engine thread. Requests in order of arrival per channel.
    std::vector<Arrival> take_arrivals();
    // Engine thread. Channels that want to be let go: take_arrivals() gives the last requests of
    // them (to forget something, say); then end all of theirs without emitting and call released().
    std::vector<chat::Channel*> leaving();
    void released(chat::Channel* channel);
    // Engine thread, last call: nobody waits for it any more.
    void engine_ended();

  private:
    struct Client {
        chat::Channel* channel = nullptr;
        bool leaving = false;
        std::vector<std::weak_ptr<std::atomic<bool>>> cancels = {};
    };
    void wake() const;
    void watch(chat::Channel* channel, const chat::CancelFlag& flag);

    // Constant after construction.
    int epoll_fd_ = -1;
    int wake_fd_ = -1;

    // Shared, guarded by mutex_.
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Client> clients_;
    bool ended_ = false;

    // Shared, atomic.
    std::atomic<bool> stopping_{false};
    std::atomic<bool> someone_leaves_{false};

    // Engine thread only.
    std::vector<chat::Channel*> ready_;
};

}  // namespace core
