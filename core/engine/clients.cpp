#include "core/engine/clients.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "core/base/error.h"

namespace core {
namespace {

int checked(int fd) {
    if (fd < 0)
        throw Error(ErrorKind::internal, "engine",
                    "cannot make an event descriptor: errno " + std::to_string(errno),
                    "close some files or raise the limit (ulimit -n)");
    return fd;
}

void set_all(const std::vector<std::weak_ptr<std::atomic<bool>>>& flags) {
    for (const auto& weak : flags)
        if (const auto flag = weak.lock()) flag->store(true);
}

}  // namespace

Clients::Clients() : epoll_fd_(checked(::epoll_create1(EPOLL_CLOEXEC))) {
    wake_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    epoll_event interest{.events = EPOLLIN, .data = {.ptr = nullptr}};
    if (wake_fd_ < 0 || ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &interest) != 0) {
        ::close(epoll_fd_);
        if (wake_fd_ >= 0) ::close(wake_fd_);
        checked(-1);
    }
}

Clients::~Clients() {
    ::close(wake_fd_);
    ::close(epoll_fd_);
}

void Clients::wake_on(int fd) {
    epoll_event interest{.events = EPOLLIN, .data = {.ptr = this}};
    checked(::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &interest));
}

void Clients::attach(chat::Channel& channel) {
    const std::lock_guard lock(mutex_);
    clients_.push_back({.channel = &channel});
    // Level triggered: requests that were submitted before this call are reported at once.
    epoll_event interest{.events = EPOLLIN, .data = {.ptr = &channel}};
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, channel.request_fd(), &interest) != 0) {
        clients_.pop_back();
        checked(-1);
    }
}

void Clients::detach(chat::Channel& channel) {
    std::unique_lock lock(mutex_);
    const auto find = [&] { return std::ranges::find(clients_, &channel, &Client::channel); };
    const auto client = find();
    if (client == clients_.end()) return;
    client->leaving = true;
    set_all(client->cancels);
    someone_leaves_.store(true);
    wake();
    changed_.wait(lock, [&] { return ended_ || find() == clients_.end(); });
}

void Clients::stop() {
    const std::lock_guard lock(mutex_);
    stopping_.store(true);
    for (const Client& client : clients_)
        set_all(client.cancels);
    wake();
}

bool Clients::wait(std::optional<std::chrono::milliseconds> limit) {
    std::array<epoll_event, 16> events{};
    int timeout = limit ? static_cast<int>(limit->count()) : -1;
    if (stopping_.load() || someone_leaves_.load()) timeout = 0;
    const int count =
        ::epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), timeout);
    ready_.clear();
    for (int i = 0; i < count; ++i) {
        void* source = events.at(static_cast<size_t>(i)).data.ptr;
        if (source == this) continue;  // its owner looks for itself
        if (source != nullptr) {
            ready_.push_back(static_cast<chat::Channel*>(source));
            continue;
        }
        uint64_t rings = 0;
        while (::read(wake_fd_, &rings, sizeof rings) < 0 && errno == EINTR) {
        }
    }
    return !stopping_.load();
}

std::vector<Arrival> Clients::take_arrivals() {
    std::vector<Arrival> arrivals;
    for (chat::Channel* channel : ready_) {
        channel->acknowledge_requests();
        while (auto request = channel->poll_request()) {
            if (const auto flag = chat::cancel_flag_of(*request)) watch(channel, flag);
            arrivals.push_back({.channel = channel, .request = std::move(*request)});
        }
    }
    ready_.clear();
    return arrivals;
}

// A request that arrives after stop() or detach() had its chance is cancelled at once.
void Clients::watch(chat::Channel* channel, const chat::CancelFlag& flag) {
    const std::lock_guard lock(mutex_);
    const auto client = std::ranges::find(clients_, channel, &Client::channel);
    MOXIE_CHECK(client != clients_.end());
    std::erase_if(client->cancels, [](const auto& weak) { return weak.expired(); });
    client->cancels.push_back(flag);
    if (stopping_.load() || client->leaving) flag->store(true);
}

std::vector<chat::Channel*> Clients::leaving() {
    std::vector<chat::Channel*> result;
    if (!someone_leaves_.exchange(false)) return result;
    const std::lock_guard lock(mutex_);
    for (const Client& client : clients_)
        if (client.leaving) result.push_back(client.channel);
    for (chat::Channel* channel : result)
        if (std::ranges::find(ready_, channel) == ready_.end()) ready_.push_back(channel);
    return result;
}

void Clients::released(chat::Channel* channel) {
    std::erase(ready_, channel);
    const std::lock_guard lock(mutex_);
    ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, channel->request_fd(), nullptr);
    std::erase_if(clients_, [&](const Client& client) { return client.channel == channel; });
    changed_.notify_all();
}

void Clients::engine_ended() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
}

void Clients::wake() const {
    const uint64_t one = 1;
    while (::write(wake_fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

}  // namespace core
