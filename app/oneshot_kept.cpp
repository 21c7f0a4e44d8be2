#include "app/oneshot_kept.h"

#include <poll.h>

#include <utility>
#include <variant>

#include "core/base/error.h"

namespace app {
namespace {

constexpr core::ConversationRef kConversation = 1;

// The store's sentences in the form of an error.
[[noreturn]] void refuse(core::ErrorKind kind, std::string sentence) {
    while (sentence.ends_with('.'))
        sentence.pop_back();
    throw core::Error(kind, "", std::move(sentence));
}

}  // namespace

KeptConversation::KeptConversation(core::StoreChannel& store, bool saves)
    : store_(store), saves_(saves) {
    const core::StoreEvent event = wait();
    const auto* opened = std::get_if<core::StoreOpened>(&event);
    MOXIE_CHECK(opened != nullptr);
    const bool enough = saves ? opened->access == core::StoreAccess::writable
                              : opened->access != core::StoreAccess::none;
    if (!enough) refuse(core::ErrorKind::storage, opened->sentence);
}

core::StoreEvent KeptConversation::wait() {
    while (true) {
        if (auto event = store_.events.pop()) return *std::move(event);
        pollfd fd{.fd = store_.events.fd(), .events = POLLIN, .revents = 0};
        ::poll(&fd, 1, -1);
        store_.events.acknowledge();
    }
}

void KeptConversation::open(const std::string& prefix) {
    store_.requests.push(core::LoadConversation{
        .id = ++last_request_, .conversation = kConversation, .prefix = prefix});
    core::StoreEvent event = wait();
    if (const auto* failed = std::get_if<core::StoreFailed>(&event))
        refuse(failed->trouble == core::StoreTrouble::not_found ||
                       failed->trouble == core::StoreTrouble::ambiguous
                   ? core::ErrorKind::usage
                   : core::ErrorKind::storage,
               failed->sentence);
    auto& loaded = std::get<core::Loaded>(event).conversation;
    conversation_ = std::move(loaded.conversation);
    head_ = std::move(loaded.head);
    saved_ = conversation_.size();
}

void KeptConversation::save(bool durable) {
    if (!saves_) return;
    head_.tip = conversation_.tip();
    head_.system = conversation_.system();
    core::SaveTurns request{.id = ++last_request_,
                            .conversation = kConversation,
                            .head = head_,
                            .turns = {},
                            .durable = durable};
    for (chat::TurnId id = saved_ + 1; id <= conversation_.size(); ++id) {
        request.turns.push_back(conversation_.turn(id));
        if (request.turns.back().state != chat::TurnState::streaming && saved_ + 1 == id)
            saved_ = id;
    }
    store_.requests.push(std::move(request));
    const core::StoreEvent event = wait();
    if (const auto* failed = std::get_if<core::StoreFailed>(&event))
        refuse(core::ErrorKind::storage, failed->sentence);
}

}  // namespace app
