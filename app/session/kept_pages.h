// The folder of the KV cache for those who have no model at hand: what it has of a saved line, and
// how that is forgotten. Looks at files: not for the thread that draws.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/chat/protocol.h"
#include "core/store/records.h"

namespace app {

// What the engine tells of a finished answer, as the store keeps it: with the version of the pages
// that this build writes and reads. Another build's are of no use to it.
core::CachedLine cached_line(const chat::Finished& finished);

// Where the pages of this user are, whether this process writes any or not.
std::string default_kv_folder();

// What is known of the line that a conversation shows, as residency_label() tells it: nothing is
// resident for a process without a model. Nothing: it cannot be told, because the line was never
// read by this build, or because its model is not there any more.
std::optional<chat::KvEntry> pages_of(const std::string& folder,
                                      const core::ConversationHead& head);

// Removes what the folder has of these lines and nothing else continues.
void forget_pages(const std::string& folder, const std::vector<core::CachedLine>& lines);

}  // namespace app
