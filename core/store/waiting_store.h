// The store for a client that has nothing else to do: asked, and waited for.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "core/base/error.h"
#include "core/store/store.h"

namespace core {

// The next event, waited for.
StoreEvent wait_for_event(StoreChannel& channel);

// A sentence of the store's as the error of a program without a chat. Throws Error, always.
[[noreturn]] void throw_sentence(std::string sentence, ErrorKind kind = ErrorKind::storage);

class WaitingStore {
  public:
    explicit WaitingStore(StoreOptions options)
        : store_(std::move(options), channel_),
          opened_(std::get<StoreOpened>(wait_for_event(channel_))) {}

    const StoreOpened& opened() const { return opened_; }

    // What the store answers, be it that it failed.
    template <class Request>
    StoreEvent try_ask(Request request) {
        request.id = ++last_id_;
        channel_.requests.push(std::move(request));
        return wait_for_event(channel_);
    }
    // Throws Error(storage) with what the store says.
    template <class Answer, class Request>
    Answer ask(Request request) {
        StoreEvent event = try_ask(std::move(request));
        if (const auto* failed = std::get_if<StoreFailed>(&event)) throw_sentence(failed->sentence);
        return std::get<Answer>(std::move(event));
    }

    StoreChannel& channel() { return channel_; }

  private:
    StoreChannel channel_;
    Store store_;
    StoreOpened opened_;
    StoreRequestId last_id_ = 0;
};

}  // namespace core
