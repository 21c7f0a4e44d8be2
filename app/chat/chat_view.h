// The session's state as what the views show beside the transcript: title and status row.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "app/session/chat_session.h"
#include "ui/status.h"

namespace app {

std::string title_of(const ChatSession& session);
// "branch 2/3 ●◐○" for the branch nearest to the end of the line, with what the KV cache has of
// each; empty where there is none.
std::string branch_of(const ChatSession& session);

// `differences`: the parameters that are not the defaults.
std::vector<ui::StatusSegment> status_segments(const ChatSession& session, TimePoint now,
                                               const std::string& differences, double warn_share);

}  // namespace app
