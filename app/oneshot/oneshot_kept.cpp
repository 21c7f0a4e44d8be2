#include "app/oneshot/oneshot_kept.h"

#include <utility>
#include <variant>

#include "app/session/kept_pages.h"
#include "core/base/error.h"
#include "core/store/waiting_store.h"

namespace app {
namespace {

constexpr core::ConversationRef kConversation = 1;

}  // namespace

KeptConversation::KeptConversation(core::StoreChannel& store, bool saves, const Keeping& keeping)
    : store_(store), saves_(saves), keeping_(keeping) {
    const core::StoreEvent event = core::wait_for_event(store_);
    const auto* opened = std::get_if<core::StoreOpened>(&event);
    MOXIE_CHECK(opened != nullptr);
    const bool enough = saves ? opened->access == core::StoreAccess::writable
                              : opened->access != core::StoreAccess::none;
    if (!enough) core::throw_sentence(opened->sentence);
}

void KeptConversation::open(const std::string& prefix) {
    store_.requests.push(core::LoadConversation{
        .id = ++last_request_, .conversation = kConversation, .prefix = prefix});
    core::StoreEvent event = core::wait_for_event(store_);
    if (const auto* failed = std::get_if<core::StoreFailed>(&event))
        core::throw_sentence(failed->sentence,
                             failed->trouble == core::StoreTrouble::not_found ||
                                     failed->trouble == core::StoreTrouble::ambiguous
                                 ? core::ErrorKind::usage
                                 : core::ErrorKind::storage);
    auto& loaded = std::get<core::Loaded>(event).conversation;
    conversation_ = std::move(loaded.conversation);
    head_ = std::move(loaded.head);
    saved_ = conversation_.size();
}

void KeptConversation::keep_line(chat::TurnId answer, const chat::Finished& finished) {
    if (!saves_ || finished.cached_line.empty()) return;
    store_.requests.push(core::KeepLine{.id = ++last_request_,
                                        .conversation = kConversation,
                                        .answer = answer,
                                        .line = cached_line(finished)});
    core::wait_for_event(store_);  // of a cache: not worth an error
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
        keeping_.apply_to(request.turns.back());
        if (request.turns.back().state != chat::TurnState::streaming && saved_ + 1 == id)
            saved_ = id;
    }
    store_.requests.push(std::move(request));
    const core::StoreEvent event = core::wait_for_event(store_);
    if (const auto* failed = std::get_if<core::StoreFailed>(&event))
        core::throw_sentence(failed->sentence);
}

}  // namespace app
