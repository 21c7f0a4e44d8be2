#include "app/options.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "app/options_parse.h"
#include "app/session/kept_pages.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/text/chat_format.h"

namespace app {

void refuse(std::string object, std::string problem, std::string advice) {
    throw core::Error(core::ErrorKind::usage, std::move(object), std::move(problem),
                      std::move(advice));
}

namespace {

// CLI11 says it in sentences of its own; the form is ours.
std::string as_problem(std::string text) {
    if (!text.empty() && text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
        text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    while (text.ends_with('.') || text.ends_with('\n'))
        text.pop_back();
    std::ranges::replace(text, '\n', ' ');
    return text;
}

}  // namespace

std::optional<PrintText> parse_arguments(CLI::App& app, const std::vector<std::string>& arguments) {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    try {
        app.parse(reversed);
    } catch (const CLI::CallForHelp&) {
        return PrintText{app.help()};
    } catch (const CLI::CallForVersion&) {
        return PrintText{"moxie " MOXIE_VERSION "\n"};
    } catch (const CLI::ParseError& error) {
        refuse("", as_problem(error.what()), "see " + app.get_name() + " --help");
    }
    return std::nullopt;
}

void check_names(const std::string& isa, const std::string& chat_format) {
    core::select_kernels(isa);
    if (!chat_format.empty()) core::ChatFormat::named(chat_format);
}

std::string list_of(std::span<const std::string_view> names) {
    std::string list;
    for (const std::string_view name : names)
        list += (list.empty() ? "" : ", ") + std::string(name);
    return list;
}

void add_kv_folder(CLI::App& app, std::string& folder) {
    app.add_option("--kv-dir", folder,
                   "folder for what was read of conversations; default: $XDG_CACHE_HOME/moxie/kv")
        ->type_name("DIR");
}

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

Invocation parse_command_line(const std::vector<std::string>& arguments, Terminals terminals) {
    if (!arguments.empty())
        for (const Subcommand& subcommand : kSubcommands)
            if (arguments.front() == subcommand.name)
                return subcommand.parse({arguments.begin() + 1, arguments.end()});
    return parse_main(arguments, terminals);
}

}  // namespace app
