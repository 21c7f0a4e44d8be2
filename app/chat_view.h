// The session's state as what the views show: blocks of the transcript, title, status row.
// Pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/chat_session.h"
#include "ui/status.h"
#include "ui/transcript.h"

namespace app {

// One block of the transcript. Views borrow from the session until its next change.
struct Block {
    ui::TranscriptItem item;
    std::string_view text;  // untrusted
    std::span<const chat::ParameterMark> marks = {};
    const chat::Sampling* sampling = nullptr;  // before the marks, where there are any
    std::string trailer = {};
    ui::StyleName trailer_style = ui::StyleName::notice;
};

// Turns of the line with the notices between them, then what waits in the queue.
std::vector<Block> blocks_of(const ChatSession& session);
// Gives item `index` of the transcript what it does not have yet of a block.
void show_block(ui::Transcript& transcript, size_t index, const Block& block);

std::string title_of(const ChatSession& session);
// "branch 2/3 ●◐○" for the branch nearest to the end of the line, with what the KV cache has of
// each; empty where there is none.
std::string branch_of(const ChatSession& session);

// `differences`: the parameters that are not the defaults.
std::vector<ui::StatusSegment> status_segments(const ChatSession& session, TimePoint now,
                                               const std::string& differences, double warn_share);

}  // namespace app
