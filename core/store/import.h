// Conversations from files: our own (docs/chat_format.md), ChatGPT's conversations.json, ShareGPT.
// The files are untrusted.
#pragma once

#include <functional>
#include <string>

#include "core/store/records.h"

namespace core {

// Gives out the conversations of a file one by one. Several kinds may stand in one file. Throws
// Error(storage) with file and line for what makes no sense; what was given out before stays given
// out.
void read_conversations(const std::string& path,
                        const std::function<void(const StoredConversation&)>& take);

}  // namespace core
