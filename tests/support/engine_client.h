// A client of an engine in a test: asks over its channel and waits for what ends a request.
#pragma once

#include <poll.h>

#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/chat/channel.h"

namespace support {

class EngineClient {
  public:
    chat::Channel channel;

    chat::Event next_event() {
        while (true) {
            if (auto event = channel.poll_event()) return std::move(*event);
            pollfd entry{.fd = channel.event_fd(), .events = POLLIN, .revents = 0};
            if (::poll(&entry, 1, 60'000) != 1) throw std::runtime_error("the engine is silent");
            channel.acknowledge_events();
        }
    }

    // All events up to the terminal one of a request.
    std::vector<chat::Event> events_of(chat::RequestId id) {
        std::vector<chat::Event> events;
        do
            events.push_back(next_event());
        while (chat::request_of(events.back()) != id || !chat::is_terminal(events.back()));
        return events;
    }

    // Until a request has ended, which it may have among the events of the last one.
    void await_end(chat::RequestId id) {
        for (const chat::Event& event : last_events)
            if (chat::request_of(event) == id && chat::is_terminal(event)) return;
        events_of(id);
    }

    // Throws what the engine says when it fails instead of ending as expected.
    template <class Ending, class Request>
    Ending ask(Request request) {
        request.id = channel.next_id();
        const auto id = request.id;
        channel.submit(std::move(request));
        last_events = events_of(id);
        if (const auto* failed = std::get_if<chat::Failed>(&last_events.back());
            failed != nullptr && !std::is_same_v<Ending, chat::Failed>)
            throw std::runtime_error(failed->sentence);
        return std::get<Ending>(last_events.back());
    }

    // What the last request's Deltas tell of each token.
    std::vector<chat::Token> told() const {
        std::vector<chat::Token> tokens;
        for (const auto& event : last_events)
            if (const auto* delta = std::get_if<chat::Delta>(&event))
                tokens.insert(tokens.end(), delta->tokens.begin(), delta->tokens.end());
        return tokens;
    }

    std::vector<core::TokenId> tokens() const {
        std::vector<core::TokenId> ids;
        for (const chat::Token& token : told())
            ids.push_back(token.id);
        return ids;
    }

    std::vector<chat::Event> last_events;
};

}  // namespace support
