// What is on keys alone: the line, the screen, the process.
#include <array>

#include "app/chat/chat_app.h"
#include "app/commands/commands.h"

namespace app {
namespace {

// Escape is a key of vi mode.
bool can_browse(const ChatApp& app) {
    return !app.vi_mode() && !app.session().conversation().line().empty();
}

bool nothing_typed(const ChatApp& app) {
    return app.composer_text().empty();
}

template <int kPages>
void scroll_page(ChatApp& app, std::string_view /*arguments*/) {
    app.transcript().scroll_page(kPages);
}

constexpr std::array kCommands = {
    Command{"send", "", "", "send; while an answer is written: queue", "Enter",
            [](ChatApp& app, std::string_view) { app.give_to_editor("\r"); }},
    Command{"newline", "", "", "a new line in the message", "C-j|M-Enter|S-Enter|C-Enter",
            [](ChatApp& app, std::string_view) { app.insert_newline(); }},
    Command{"stop", "", "", "stop what runs; else clear the line", "C-c",
            [](ChatApp& app, std::string_view) { app.interrupt(app.now()); }},
    Command{"leave", "", "", "quit (C-d on an empty line)", "C-d",
            [](ChatApp& app, std::string_view) { app.end_of_input(); }, nullptr, nothing_typed},
    Command{"suspend", "", "", "stop the program; fg goes on", "C-z",
            [](ChatApp& app, std::string_view) { app.suspend(); }},
    Command{"repaint", "", "", "draw everything again", "C-l",
            [](ChatApp& app, std::string_view) { app.repaint(); }},
    Command{"abandon", "", "", "restore the terminal and end at once", "C-\\",
            [](ChatApp& app, std::string_view) { app.quit(131); }},
    Command{"browse", "", "", "select a message, to go through them and act on one", "M-Up|Esc",
            [](ChatApp& app, std::string_view) { app.browse(app.session().conversation().tip()); },
            nullptr, can_browse},
    Command{"copy-code", "", "", "copy the block of code of the last answer", "C-x k",
            [](ChatApp& app, std::string_view) { run_command(app, "/copy code"); }},
    Command{"read-log", "", "", "read the log in $PAGER", "C-x l",
            [](ChatApp& app, std::string_view) { run_command(app, "/log show"); }},
    Command{"zoom", "", "", "the whole screen for the message, or not any more", "C-x z",
            [](ChatApp& app, std::string_view) { app.zoom(); }},
    Command{"page-up", "", "", "scroll back", "PgUp|M-v", scroll_page<-1>},
    Command{"page-down", "", "", "scroll on", "PgDn", scroll_page<1>},
    Command{"top", "", "", "to the first message", "C-Home",
            [](ChatApp& app, std::string_view) { app.transcript().to_top(); }},
    Command{"bottom", "", "", "to the last message", "C-End",
            [](ChatApp& app, std::string_view) { app.transcript().to_end(); }},
};

}  // namespace

CommandGroup key_commands() {
    return {.title = "Keys", .commands = kCommands, .reach = Reach::keys};
}

}  // namespace app
