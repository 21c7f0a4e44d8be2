// The title of a conversation that nobody has named.
#pragma once

#include <string>
#include <string_view>

#include "core/chat/attachment.h"

namespace app {

// "explain lifetimes in one sentence to": the first words of the first message.
std::string title_from(std::string_view prompt);
// The same of a message that may have files and no words.
std::string title_from(const chat::Prompt& prompt);

}  // namespace app
