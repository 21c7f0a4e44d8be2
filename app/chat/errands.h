// What the chat sends the user to other programs for: his editor and his pager.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace app {

class ChatApp;

// Opens a text in $VISUAL, $EDITOR or vi; `done` gets what came of it, unless the editor failed,
// which is told. `name` says in the file's name what it is. Throws core::Error(storage).
void edit_text(ChatApp& app, std::string_view name, const std::string& text,
               std::function<void(ChatApp& app, const std::string& text)> done);

// Shows a text in $PAGER or less, without what a terminal would obey. Throws core::Error(storage).
void page_text(ChatApp& app, const std::string& text);
void page_file(ChatApp& app, const std::string& path);

}  // namespace app
