// `moxie chats ...` and `moxie export ...`
#include <string>
#include <utility>
#include <vector>

#include "app/options_parse.h"
#include "app/session/kept_pages.h"
#include "core/base/paths.h"

namespace app {
namespace {

void add_export(CLI::App& app, ChatsOptions& options, bool& branch) {
    app.add_option("conversation", options.what, "id or title; without one: the last one");
    app.add_option("file", options.path, "a new file; without one: standard output");
    app.add_option("--format", options.format,
                   "jsonl, json, md, html or txt; default: as FILE ends");
    app.add_flag("--branch", branch, "only the line that is shown, not the whole tree");
}

Invocation parse(const std::vector<std::string>& arguments, bool only_export) {
    ChatsOptions options{.data_folder = core::data_folder(), .kv_folder = default_kv_folder()};
    bool branch = false;
    bool archived = false;
    bool trash = false;
    CLI::App app(only_export ? "writes a saved conversation to a file"
                             : "the saved conversations; without a command: lists them",
                 only_export ? "moxie export" : "moxie chats");
    if (only_export) {
        options.action = ChatsAction::export_one;
        add_export(app, options, branch);
    } else {
        app.add_flag("--json", options.json, "for programs");
        app.add_flag("--archived", archived, "list those that are archived");
        app.add_flag("--trash", trash, "list those that were deleted");
        add_kv_folder(app, options.kv_folder);
        app.add_option("--limit", options.limit, "at most so many")->type_name("N");
        app.require_subcommand(0, 1);
        const auto add = [&](const char* name, const char* help, ChatsAction action) {
            CLI::App* command = app.add_subcommand(name, help);
            command->add_flag("--json", options.json, "for programs");
            command->callback([&options, action] { options.action = action; });
            return command;
        };
        add("list", "titles", ChatsAction::list)
            ->add_option("title", options.what, "only those with this in the title");
        add("search", "what was said", ChatsAction::search)
            ->add_option("text", options.what, "words; all of them are wanted")
            ->required();
        add_export(*add("export", "write one to a file", ChatsAction::export_one), options, branch);
        add("import", "read moxie's, ChatGPT's or ShareGPT's", ChatsAction::import_file)
            ->add_option("file", options.what)
            ->required();
        add("doctor", "is the database whole? makes the search index anew", ChatsAction::doctor);
    }
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.whole_tree = !branch;
    if (archived) options.kind = core::ListKind::archived;
    if (trash) options.kind = core::ListKind::deleted;
    return options;
}

}  // namespace

Invocation parse_chats(const std::vector<std::string>& arguments) {
    return parse(arguments, false);
}

Invocation parse_export(const std::vector<std::string>& arguments) {
    return parse(arguments, true);
}

}  // namespace app
