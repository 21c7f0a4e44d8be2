// /run: what a command of the shell prints goes with the next message.
#include <algorithm>
#include <array>
#include <string>

#include "app/chat/chat_app.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/machine/background_command.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

// "!COMMAND": the mark is what tells it from words.
void run_run(ChatApp& app, std::string_view arguments) {
    const std::string line(trim(arguments.substr(arguments.starts_with('!') ? 1 : 0)));
    if (!arguments.starts_with('!') || line.empty())
        usage("/run", "no command is given", "/run !COMMAND; it is asked about before it runs");
    if (app.background() != nullptr)
        usage("/run", "another command still runs: " + app.background()->line(), "C-c stops it");
    app.ask({.text = "run in sh: " + line + " ? y yes, n no",
             .answers = {{"y", [line](ChatApp& asked) { asked.run_in_background(line); }}}});
}

std::string lines_text(const std::string& text) {
    const auto lines = static_cast<uint64_t>(std::ranges::count(text, '\n')) +
                       (text.empty() || text.ends_with('\n') ? 0 : 1);
    return core::counted(lines, "line");
}

constexpr std::array kCommands = {
    Command{"run", "", "!COMMAND", "what a command prints, with the next message; asks first", "",
            run_run},
};

}  // namespace

void ChatApp::run_in_background(const std::string& line) {
    background_ = std::make_unique<BackgroundCommand>(line);
}

void ChatApp::on_background(TimePoint now) {
    now_ = now;
    if (background_->take()) return;
    draw_now_ = true;
    const std::unique_ptr<BackgroundCommand> ended = std::move(background_);
    const std::string name = "!" + ended->line();
    const std::string status = ", status " + std::to_string(ended->status());
    if (ended->output().empty())
        return toast(name + (ended->stopped() ? " was stopped" : " printed nothing" + status),
                     now_);
    const std::string text = core::sanitize(ended->output());
    message_files_.attach_text(name, text);
    changed_by_user();
    if (ended->cut())
        return say(name + " prints more than " + core::human_bytes(kMostOutput) +
                   ": it was ended, and what it printed up to there goes with the next message.");
    toast("attached " + lines_text(text) + (ended->stopped() ? ", stopped" : status), now_);
}

CommandGroup run_commands() {
    return {.title = "The shell", .commands = kCommands};
}

}  // namespace app
