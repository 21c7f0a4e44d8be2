// Conversations as files: the tree without loss as JSON (docs/chat_format.md), one line of it as
// Markdown, HTML or plain text for people.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/store/records.h"

namespace core {

enum class FileFormat : uint8_t {
    jsonl,  // a line for the conversation, a line for each turn
    json,   // the same in one object
    markdown,
    html,
    text,
};

inline constexpr int kChatFormatVersion = 1;

// By the end of a file's name: .jsonl .json .md .html .txt. Throws Error(usage).
FileFormat file_format_of(std::string_view path);
// "jsonl", "md", ... Throws Error(usage).
FileFormat file_format_named(std::string_view name);

// `whole_tree` false: the line that is shown. Markdown, HTML and text are always that line.
std::string conversation_text(const StoredConversation& stored, FileFormat format, bool whole_tree);

// Writes a new file, for its owner alone. Throws Error(usage) when there is one of that name, and
// Error(storage) when it cannot be written.
void write_new_file(const std::string& path, std::string_view text);

}  // namespace core
