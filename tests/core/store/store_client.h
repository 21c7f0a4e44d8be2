// A client of the store for tests: asks, and waits for the answer on the event descriptor.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/store/waiting_store.h"

namespace core {

// A folder that is removed at the end; in memory where there is such a place, since a process that
// is killed loses nothing that it gave to the kernel, and disks are slow.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::filesystem::path place = "/dev/shm";
        if (::access(place.c_str(), W_OK) != 0) place = std::filesystem::temp_directory_path();
        std::string pattern = (place / "moxie-store-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
        path_ = pattern;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
    std::string string() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

class StoreClient {
  public:
    explicit StoreClient(StoreOptions options)
        : store_(std::make_unique<Store>(std::move(options), channel_)),
          opened_(std::get<StoreOpened>(next())) {}

    const StoreOpened& opened() const { return opened_; }

    // The next event, waited for.
    StoreEvent next() { return wait_for_event(channel_); }

    // Sends a request with a fresh id and returns the answer, which must be an Answer.
    template <class Answer, class Request>
    Answer ask(Request request) {
        request.id = ++last_id_;
        channel_.requests.push(std::move(request));
        StoreEvent event = next();
        if (const auto* failed = std::get_if<StoreFailed>(&event);
            failed != nullptr && !std::is_same_v<Answer, StoreFailed>)
            throw std::runtime_error(failed->sentence);
        Answer answer = std::get<Answer>(std::move(event));
        if (answer.id != last_id_) throw std::runtime_error("answers came out of order");
        return answer;
    }

    std::string save(ConversationRef ref, const ConversationHead& head,
                     std::vector<chat::Turn> turns, bool durable = false) {
        return ask<Saved>(SaveTurns{.conversation = ref,
                                    .head = head,
                                    .turns = std::move(turns),
                                    .durable = durable})
            .conversation_id;
    }
    StoredConversation load(const std::string& prefix = {}, ConversationRef ref = 77) {
        return ask<Loaded>(LoadConversation{.conversation = ref, .prefix = prefix}).conversation;
    }
    std::vector<ConversationHead> list() { return ask<Listed>(ListConversations{}).conversations; }

    StoreChannel& channel() { return channel_; }

  private:
    StoreChannel channel_;
    std::unique_ptr<Store> store_;
    StoreRequestId last_id_ = 0;
    StoreOpened opened_;
};

inline chat::Turn user_turn(chat::TurnId id, chat::TurnId parent, std::string text) {
    chat::Turn turn;
    turn.id = id;
    turn.parent = parent;
    turn.text = std::move(text);
    return turn;
}

inline chat::Turn answer_turn(chat::TurnId id, chat::TurnId parent, std::string text,
                              chat::TurnState state = chat::TurnState::done) {
    chat::Turn turn = user_turn(id, parent, std::move(text));
    turn.role = chat::Role::assistant;
    turn.state = state;
    turn.model = "grok";
    return turn;
}

// With a number of its own in each field.
inline chat::Usage full_usage() {
    return {.prompt = 10,
            .reused = 9,
            .restored = 8,
            .recomputed = 1,
            .generated = 3,
            .restored_bytes = 1ULL << 40U,
            .restore_seconds = 0.25,
            .prefill_seconds = 0.5,
            .decode_seconds = 1.5,
            .first_token_seconds = 0.75};
}

}  // namespace core
