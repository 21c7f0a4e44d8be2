// Files for messages: what a user names becomes what is sent, read as it is at that moment.
//
// "@main.cpp", "@src/*.h", "@main.cpp:10-25" and "@\"two words\"" in a message, and the arguments
// of /file. Only text is sent; whatever cannot be is refused with a sentence, and then nothing is.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/chat/attachment.h"
#include "core/chat/conversation.h"

namespace app {

// A file or a pattern, as it was named.
struct FileWish {
    std::string path;
    uint32_t first = 0;  // lines, from 1 on; 0: all
    uint32_t last = 0;
    bool code = true;
};

// What it names, patterns in the order of names. Throws core::Error(usage).
chat::Attachments read_files(const FileWish& wish);

// "PATH... [--as code|text] [--lines a-b]". Throws core::Error(usage).
std::vector<FileWish> file_arguments(std::string_view arguments);

// The text of a file behind @, else the word itself. Throws core::Error(usage).
std::string text_or_file(const std::string& word);

// The paths that begin like this, folders with a slash at their end.
std::vector<std::string> paths_beginning(std::string_view begun);
// The same for the last word of a message, where it begins with @.
std::vector<std::string> complete_mention(std::string_view message);

// The files of the message that is being written.
class MessageFiles {
  public:
    const chat::Attachments& attached() const { return attached_; }
    // One of the same name and lines takes the place of what was there.
    void attach(const chat::Attachments& files);
    // A text that is no file, under a name.
    void attach_text(const std::string& name, std::string text);
    void clear();
    // The message of that turn is written anew: what it had is attached, as it was then. The files
    // that its words name go when the words do.
    void edit(const chat::Turn& turn);

    // The message that these words are: @@ becomes @, and the files that are named are read unless
    // they are attached. Nothing is attached afterwards. Throws core::Error(usage); then nothing
    // has changed.
    chat::Prompt take(std::string_view words);

  private:
    chat::Attachments attached_;
    std::set<std::string, std::less<>> named_before_;  // by the words of the turn that is edited
};

}  // namespace app
