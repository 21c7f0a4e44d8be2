#include "core/chat/protocol.h"

#include <type_traits>

namespace chat {
namespace {

// Sizes, not capacities: the same number on both sides of the queue, whatever moving does.
template <class T>
size_t heap_bytes(const std::vector<T>& values) {
    return values.size() * sizeof(T);
}

size_t heap_bytes(const std::string& text) {
    return text.size();
}

size_t heap_bytes(const Token& token) {
    size_t bytes = heap_bytes(token.bytes) + heap_bytes(token.alternatives);
    for (const Alternative& alternative : token.alternatives)
        bytes += heap_bytes(alternative.bytes);
    return bytes + heap_bytes(token.experts);
}

size_t heap_bytes(const Captured& captured) {
    size_t bytes = heap_bytes(captured.arrays);
    for (const auto& [name, values] : captured.arrays)
        bytes += heap_bytes(name) + heap_bytes(values);
    return bytes;
}

size_t heap_bytes(const Delta& delta) {
    size_t bytes = heap_bytes(delta.text) + heap_bytes(delta.tokens);
    for (const Token& token : delta.tokens)
        bytes += heap_bytes(token);
    return bytes;
}

size_t heap_bytes(const Previewed& previewed) {
    size_t bytes = heap_bytes(previewed.alternatives);
    for (const Alternative& alternative : previewed.alternatives)
        bytes += heap_bytes(alternative.bytes);
    return bytes;
}

size_t heap_bytes(const ModelReady& ready) {
    return heap_bytes(ready.name) + heap_bytes(ready.family) + heap_bytes(ready.format);
}

size_t heap_bytes(const Progress& progress) {
    return heap_bytes(progress.reason);
}

size_t heap_bytes(const Counted& counted) {
    return heap_bytes(counted.tokens);
}

size_t heap_bytes(const Spelled& spelled) {
    size_t bytes = heap_bytes(spelled.pieces);
    for (const Piece& piece : spelled.pieces)
        bytes += heap_bytes(piece.text);
    return bytes;
}

size_t heap_bytes(const KvListed& listed) {
    return heap_bytes(listed.entries);
}

size_t heap_bytes(const Finished& finished) {
    return heap_bytes(finished.cached_line);
}

size_t heap_bytes(const Failed& failed) {
    return heap_bytes(failed.sentence);
}

template <class T>
concept Flat = std::is_trivially_copyable_v<T>;

size_t heap_bytes(const Flat auto& /*event*/) {
    return 0;
}

}  // namespace

bool is_terminal(const Event& event) {
    return std::visit(
        [](const auto& e) {
            using E = std::decay_t<decltype(e)>;
            if constexpr (std::is_same_v<E, Finished>)
                return e.last_choice;
            else
                return !std::is_same_v<E, Progress> && !std::is_same_v<E, Delta> &&
                       !std::is_same_v<E, Stats>;
        },
        event);
}

RequestId request_of(const Event& event) {
    return std::visit(
        [](const auto& e) -> RequestId {
            if constexpr (std::is_same_v<std::decay_t<decltype(e)>, Stats>)
                return 0;
            else
                return e.id;
        },
        event);
}

RequestId request_of(const Request& request) {
    return std::visit([](const auto& r) { return r.id; }, request);
}

CancelFlag cancel_flag_of(const Request& request) {
    return std::visit(
        [](const auto& r) -> CancelFlag {
            if constexpr (requires { r.cancel; })
                return r.cancel;
            else
                return nullptr;
        },
        request);
}

size_t byte_size(const Event& event) {
    return sizeof(Event) + std::visit([](const auto& e) { return heap_bytes(e); }, event);
}

}  // namespace chat
