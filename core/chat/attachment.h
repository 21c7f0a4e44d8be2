// A file that goes with a message: what was in it when it was sent, and how the model gets it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace chat {

struct Attachment {
    std::string path = {};  // as the user named it
    uint32_t first = 0;     // lines of the file, from 1 on; 0: all of it
    uint32_t last = 0;
    bool code = true;       // in a fence; else as plain text
    std::string text = {};  // UTF-8 without NUL, without the newlines at its end

    friend bool operator==(const Attachment&, const Attachment&) = default;
};

// Shared by the turns that have them (forks, edits); never null.
using Attachments = std::vector<std::shared_ptr<const Attachment>>;

// What a user sends.
struct Prompt {
    std::string text = {};
    Attachments files = {};
};

// "main.cpp:10-25"
std::string label_of(const Attachment& file);
uint32_t lines_of(const Attachment& file);

// The message as the model gets it: its words, then each file under its name.
std::string text_with_files(std::string_view text, const Attachments& files);

// Text between lines of backticks, more than there are in it in a row: nothing in it ends the
// fence.
std::string fenced(std::string_view text);

}  // namespace chat
