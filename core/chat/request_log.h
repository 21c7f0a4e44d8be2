// What the log tells about requests and events: figures of every answer at the level info, the life
// of every request at debug. Called by Channel for whatever passes through, so that every client
// and every engine is logged alike.
#pragma once

#include "core/chat/protocol.h"

namespace chat {

// Whether the log may have what users typed and models said (log.prompts); it may not by default.
void log_prompts(bool wanted) noexcept;

void log_request(const Request& request);
void log_event(const Event& event);

}  // namespace chat
