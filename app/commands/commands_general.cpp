// Commands of the program.
#include <algorithm>
#include <array>
#include <string>

#include "app/chat/chat_app.h"
#include "app/commands/command_words.h"
#include "app/commands/commands.h"
#include "app/machine/doctor.h"
#include "core/base/paths.h"

namespace app {
namespace {

void run_help(ChatApp& app, std::string_view arguments) {
    if (arguments.empty()) return app.say_at_length(help_text(app.bindings()));
    run_command(app,
                "/" + std::string(arguments.substr(arguments.front() == '/' ? 1 : 0)) + " --help");
}

std::vector<std::string> complete_help(const ChatApp& /*app*/, std::string_view begun) {
    std::vector<std::string> found;
    for (const CommandGroup& group : command_groups())
        for (const Command& command : group.commands)
            if (group.reach == Reach::slash && command.name.starts_with(begun))
                found.emplace_back(command.name);
    return found;
}

Patient patient_of(const ChatApp& app) {
    const ChatSession& session = app.session();
    const ui::Size size = app.screen().size();
    const chat::KvListed& cache = session.residency().totals();
    return {.config = app.settings().config(),
            .terminal_size = std::to_string(size.columns) + "x" + std::to_string(size.rows),
            .data_folder = session.saver().store() == nullptr ? "" : core::data_folder(),
            .cache = {
                .bytes = cache.disk_bytes, .pages = cache.disk_pages, .budget = cache.disk_budget}};
}

// The store looks at its database first; it takes its time, and the chat goes on.
void run_doctor(ChatApp& app, std::string_view /*arguments*/) {
    if (app.session().saver().store() == nullptr)
        return app.say(doctor_text(examine(patient_of(app))));
    app.toast("looking at the database ...", app.now());
    app.session().library().check([&app](const core::Checked& checked) {
        Patient patient = patient_of(app);
        patient.database = checked;
        app.say(doctor_text(examine(patient)));
    });
}

void run_quit(ChatApp& app, std::string_view /*arguments*/) {
    app.end_of_input();
}

constexpr std::array kCommands = {
    Command{"help", "?", "[COMMAND]", "commands and keys", "C-x ?|F1", run_help, complete_help},
    Command{"doctor", "", "", "what is fine on this machine, and what is not", "", run_doctor},
    Command{"quit", "exit", "", "leave", "C-x q", run_quit},
};

}  // namespace

CommandGroup general_commands() {
    return {.title = "Program", .commands = kCommands};
}

}  // namespace app
