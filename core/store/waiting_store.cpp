#include "core/store/waiting_store.h"

#include <poll.h>

namespace core {

StoreEvent wait_for_event(StoreChannel& channel) {
    while (true) {
        if (auto event = channel.events.pop()) return *std::move(event);
        pollfd wait = {.fd = channel.events.fd(), .events = POLLIN, .revents = 0};
        ::poll(&wait, 1, -1);
        channel.events.acknowledge();
    }
}

// Sentences are for the chat; here they stand behind the name of the program.
void throw_sentence(std::string sentence, ErrorKind kind) {
    while (sentence.ends_with('.'))
        sentence.pop_back();
    throw Error(kind, "", std::move(sentence));
}

}  // namespace core
