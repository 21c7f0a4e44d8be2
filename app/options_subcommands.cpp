// The command lines of `moxie tokenize`, `moxie bench` and so on.
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/options_parse.h"
#include "app/session/kept_pages.h"
#include "core/base/paths.h"
#include "core/kv/page_pool.h"

namespace app {
namespace {

Invocation parse_tokenize(const std::vector<std::string>& arguments) {
    CLI::App app("Prints the token ids of a text, without BOS.", "moxie tokenize");
    TokenizeOptions options;
    std::vector<std::string> words;
    app.add_option("-m,--model", options.path, "GGUF (vocabulary is enough) or SentencePiece model")
        ->type_name("FILE")
        ->required();
    app.add_flag("--json", options.json, "an object with ids and pieces");
    app.add_option("--file", options.file, "read the text from a file")->type_name("FILE");
    app.add_option("text", words, "the text; default: standard input");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    if (words.size() > 1) refuse("text", "is several arguments", "put it in quotes");
    if (!words.empty()) options.text = std::move(words.front());
    return options;
}

void add_engine(CLI::App& app, EvalEngineOptions& engine) {
    app.add_option("-m,--model", engine.model, "model file")->type_name("FILE")->required();
    app.add_option("--threads", engine.threads, "default: physical cores")
        ->type_name("N")
        ->check(CLI::Range(1U, 1024U));
    app.add_option("--chunk", engine.chunk, "tokens of one pass")->type_name("N");
    app.add_option("--isa", engine.isa, "limit the instruction set: scalar, avx2, avx512vnni")
        ->type_name("NAME");
    app.add_option("--kv", engine.kv, "type of the KV cache: f32, f16, q8")->capture_default_str();
}

void check_engine(const EvalEngineOptions& engine) {
    check_names(engine.isa, {});
    core::kv_type_from_name(engine.kv);
}

Invocation parse_eval_logits(const std::vector<std::string>& arguments) {
    CLI::App app("Writes the logits of given tokens: float32 [rows, vocab].", "moxie eval logits");
    EvalLogitsOptions options;
    add_engine(app, options.engine);
    app.add_option("--tokens", options.tokens, "token ids, separated by commas")
        ->type_name("1,2,3")
        ->delimiter(',')
        ->required();
    app.add_flag("--all", options.all, "a row for every token; default: for the last one");
    app.add_option("--out", options.out, "NumPy file to write")->type_name("FILE")->required();
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    check_engine(options.engine);
    return options;
}

Invocation parse_eval_perplexity(const std::vector<std::string>& arguments) {
    CLI::App app("Tells how well a model predicts a text.", "moxie eval perplexity");
    EvalPerplexityOptions options;
    add_engine(app, options.engine);
    app.add_option("-f,--file", options.text, "the text")->type_name("FILE")->required();
    app.add_option("--ctx", options.context, "tokens of a window; default: at most 2048")
        ->type_name("N");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    check_engine(options.engine);
    return options;
}

Invocation parse_eval(const std::vector<std::string>& arguments) {
    const std::string kind = arguments.empty() ? "" : arguments.front();
    const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1),
                                        arguments.end());
    if (kind == "logits") return parse_eval_logits(rest);
    if (kind == "perplexity") return parse_eval_perplexity(rest);
    if (kind == "--help" || kind == "-h")
        return PrintText{"moxie eval logits --help\nmoxie eval perplexity --help\n"};
    refuse("eval", kind.empty() ? "what to evaluate is missing" : kind + " is not known",
           "use logits or perplexity");
}

Invocation parse_inspect(const std::vector<std::string>& arguments) {
    CLI::App app("Tells what is in a model, whether it runs and what is missing.", "moxie inspect");
    InspectOptions options;
    app.add_option("file", options.path, "a file or a folder")->type_name("MODEL")->required();
    app.add_flag("--tensors", options.tensors, "list every tensor");
    app.add_flag("--json", options.json, "one JSON object");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    return options;
}

Invocation parse_bench(const std::vector<std::string>& arguments) {
    CLI::App app("Measures how fast a model runs, beside what the machine can do.", "moxie bench");
    BenchOptions options;
    app.add_option("-m,--model", options.path, "model file")->type_name("FILE")->required();
    app.add_option("-p,--prompt", options.prompt, "tokens of a prefill")->capture_default_str();
    app.add_option("-n,--generate", options.generate, "decode steps")->capture_default_str();
    app.add_option("-d,--depth", options.depth, "tokens in the cache before either")
        ->capture_default_str();
    app.add_option("-t,--threads", options.threads, "default: physical cores")
        ->type_name("N")
        ->check(CLI::Range(1U, 1024U));
    app.add_option("-r,--repetitions", options.repetitions, "runs of each")
        ->capture_default_str()
        ->check(CLI::Range(1U, 10000U));
    app.add_option("--sequences", options.sequences,
                   "decode N sequences together, and what that gains over one")
        ->type_name("N")
        ->check(CLI::Range(1U, 256U));
    auto* resume = app.add_flag("--resume", options.resume,
                                "time to the first token of a prompt that was read before a "
                                "restart; default: 4096 tokens, 3 restarts");
    resume->excludes("--sequences");
    app.add_option("--isa", options.isa, "limit the instruction set: scalar, avx2, avx512vnni")
        ->type_name("NAME");
    app.add_option("--kv", options.kv, "type of the KV cache: f32, f16, q8")->capture_default_str();
    app.add_flag("--json", options.json, "one JSON object");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    check_names(options.isa, {});
    core::kv_type_from_name(options.kv);
    if (options.resume && app.count("--prompt") == 0) options.prompt = 4096;
    if (options.resume && app.count("--repetitions") == 0) options.repetitions = 3;
    return options;
}

Invocation parse_kv(const std::vector<std::string>& arguments) {
    CLI::App app("Tells what was read of conversations and is kept on disk.", "moxie kv");
    KvOptions options{.directory = default_kv_folder()};
    ConfigOptions config;
    add_kv_folder(app, options.directory);
    config.add(app, "--kv-disk", "kv.max_gb", "GB", "most that this folder may hold");
    app.add_flag("--json", options.json, "one JSON object");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.budget = static_cast<uint64_t>(config.load().number("kv.max_gb") * 1e9);
    return options;
}

Invocation parse_doctor(const std::vector<std::string>& arguments) {
    CLI::App app("Tells what is fine on this machine, and what is not.", "moxie doctor");
    DoctorOptions options{.data_folder = core::data_folder(), .kv_folder = default_kv_folder()};
    ConfigOptions config;
    config.add_to(app);
    add_kv_folder(app, options.kv_folder);
    app.add_flag("--json", options.json, "JSON instead of text");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.config = config.load();
    return options;
}

Invocation parse_config(const std::vector<std::string>& arguments) {
    CLI::App app("Tells what is configured, and where.", "moxie config");
    ConfigCmdOptions options;
    ConfigOptions common;
    common.add_to(app);
    app.require_subcommand(1);
    app.fallthrough();  // --json behind them too
    app.add_subcommand("path", "the file that you may write");
    auto* show = app.add_subcommand("show", "the values in force");
    show->add_option("key", options.key, "a key or a section; default: all");
    show->add_flag("--origin", options.origin, "with the file, variable or flag that said so");
    app.add_subcommand("check", "looks for mistakes; status 3 when there are any");
    app.add_subcommand("edit", "opens the file in $VISUAL or $EDITOR");
    app.add_flag("--json", options.json, "JSON instead of text");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.sources = common.sources();
    options.action = app.got_subcommand("path")    ? ConfigAction::path
                     : app.got_subcommand("check") ? ConfigAction::check
                     : app.got_subcommand("edit")  ? ConfigAction::edit
                                                   : ConfigAction::show;
    return options;
}

Invocation parse_models(const std::vector<std::string>& arguments) {
    CLI::App app("Lists the models of this machine and whether they fit.", "moxie models");
    ModelsOptions options;
    ConfigOptions common;
    common.add_to(app);
    common.add(app, "--ctx", "model.ctx", "N", "tokens of context that shall fit");
    common.add(app, "--kv", "model.kv_type", "TYPE", "type of the KV cache: f32, f16, q8");
    app.add_flag("--json", options.json, "JSON instead of text");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.config = common.load();
    return options;
}

void add_export(CLI::App& app, ChatsOptions& options, bool& branch) {
    app.add_option("conversation", options.what, "id or title; without one: the last one");
    app.add_option("file", options.path, "a new file; without one: standard output");
    app.add_option("--format", options.format,
                   "jsonl, json, md, html or txt; default: as FILE ends");
    app.add_flag("--branch", branch, "only the line that is shown, not the whole tree");
}

Invocation parse_conversations(const std::vector<std::string>& arguments, bool only_export) {
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

Invocation parse_chats(const std::vector<std::string>& arguments) {
    return parse_conversations(arguments, false);
}

Invocation parse_export(const std::vector<std::string>& arguments) {
    return parse_conversations(arguments, true);
}

Invocation parse_convert(const std::vector<std::string>& arguments) {
    CLI::App app(
        "Writes a model as one GGUF file: a folder of Hugging Face, Grok-1's checkpoint, a split "
        "or another GGUF. Without --type nothing is lost. Ctrl-C leaves nothing behind.",
        "moxie convert");
    ConvertCommandOptions options;
    app.add_option("input", options.input, "the model")->type_name("IN")->required();
    app.add_option("output", options.output, "the file to write; not needed with --dry-run")
        ->type_name("OUT.gguf");
    app.add_option("--type", options.type,
                   "of matrices: f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0, "
                   "iq4_nl, i8c; below six bits the output matrix gets q6_k")
        ->type_name("TYPE");
    app.add_option("--rule", options.rules,
                   "a type for tensors whose names match, before --type: '*ffn_down*=q6_k'")
        ->type_name("PATTERN=TYPE");
    app.add_option("--threads", options.threads, "default: physical cores")
        ->type_name("N")
        ->check(CLI::Range(1U, 1024U));
    app.add_flag("--dry-run", options.dry_run, "tell what would be written");
    app.add_flag("--force", options.force, "replace OUT.gguf");
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    if (options.output.empty() && !options.dry_run)
        refuse("moxie convert", "is given no file to write", "see moxie convert --help");
    options.progress = ::isatty(STDERR_FILENO) == 1;
    return options;
}

struct Subcommand {
    std::string_view name;
    Invocation (*parse)(const std::vector<std::string>& arguments);
};

constexpr std::array kSubcommands{Subcommand{"tokenize", parse_tokenize},
                                  Subcommand{"eval", parse_eval},
                                  Subcommand{"inspect", parse_inspect},
                                  Subcommand{"bench", parse_bench},
                                  Subcommand{"kv", parse_kv},
                                  Subcommand{"chats", parse_chats},
                                  Subcommand{"export", parse_export},
                                  Subcommand{"config", parse_config},
                                  Subcommand{"models", parse_models},
                                  Subcommand{"doctor", parse_doctor},
                                  Subcommand{"convert", parse_convert}};

}  // namespace

std::optional<Invocation> parse_subcommand(const std::vector<std::string>& arguments) {
    if (arguments.empty()) return std::nullopt;
    for (const Subcommand& subcommand : kSubcommands)
        if (arguments.front() == subcommand.name)
            return subcommand.parse({arguments.begin() + 1, arguments.end()});
    return std::nullopt;
}

}  // namespace app
