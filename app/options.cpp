#include "app/options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include "app/parameters.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/kernels/kernels.h"
#include "core/kv/page_pool.h"
#include "core/text/chat_format.h"

namespace app {
namespace {

constexpr std::string_view kDescription =
    "moxie: a chat with a language model on this machine.\n"
    "Without a prompt it opens the chat; with one it prints the answer.";

constexpr std::string_view kCommands =
    "Commands (moxie COMMAND --help):\n"
    "  tokenize         token ids of a text\n"
    "  inspect          what is in a weight file\n"
    "  kv               what was read of conversations and is kept on disk\n"
    "  bench            how fast a model runs\n"
    "  eval logits      what a model computes, as a NumPy file\n"
    "  eval perplexity  how well a model predicts a text\n"
    "A prompt that begins with the name of a command goes behind --: moxie -- tokenize\n";

[[noreturn]] void refuse(std::string object, std::string problem, std::string advice) {
    throw core::Error(core::ErrorKind::usage, std::move(object), std::move(problem),
                      std::move(advice));
}

// CLI11 says it in sentences of its own; the form is ours.
std::string as_problem(std::string text) {
    if (!text.empty() && text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0)
        text.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    while (text.ends_with('.') || text.ends_with('\n'))
        text.pop_back();
    std::ranges::replace(text, '\n', ' ');
    return text;
}

// Parses; gives the text of --help or --version when that is what was asked for.
std::optional<PrintText> parse(CLI::App& app, const std::vector<std::string>& arguments) {
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

// The path of a sampling parameter's value: the same names, ranges and texts as /set in the chat.
void add_sampling(CLI::App& app, const std::string& option, chat::Sampling& sampling) {
    std::string name = option.substr(2);
    std::ranges::replace(name, '-', '_');
    const Parameter& parameter = parameter_named(name);
    app.add_option_function<std::string>(
           option,
           [option, &sampling, &parameter](const std::string& text) {
               try {
                   set_parameter(sampling, parameter, text);
               } catch (const core::Error& error) {
                   refuse(option, error.problem(), error.advice());
               }
           },
           std::string(parameter.help))
        ->default_str(value_of(sampling, parameter))
        ->type_name("N");
}

struct SeedOption {
    bool given = false;

    void add(CLI::App& app, chat::Sampling& sampling) {
        app.add_option_function<std::string>(
               "--seed",
               [this, &sampling](const std::string& text) {
                   if (text == "random" || text == "-1") return;
                   const auto end = text.data() + text.size();
                   const auto result = std::from_chars(text.data(), end, sampling.seed);
                   if (result.ec != std::errc{} || result.ptr != end)
                       refuse("--seed", "is " + text, "must be a whole number, or random");
                   given = true;
               },
               "same seed, same answer")
            ->default_str("random")
            ->type_name("N");
    }
};

// 32 bits: every program that reads the JSON holds them exactly, and a person can copy them.
uint64_t random_seed() {
    return std::random_device{}();
}

chat::KvTypeChoice kv_choice(const std::string& name) {
    switch (core::kv_type_from_name(name)) {
        case core::KvType::f32: return chat::KvTypeChoice::f32;
        case core::KvType::q8: return chat::KvTypeChoice::q8;
        case core::KvType::f16: break;
    }
    return chat::KvTypeChoice::f16;
}

// Wrong names are told at once, not after a load.
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

// The options of the chat and of the one-shot program, which share nearly all.
struct MainOptions {
    std::vector<std::string> words;
    std::string model;
    std::string kv = "f16";
    std::string backend;
    SeedOption seed;
    OneShotOptions oneshot;
    BackendOptions engine;
    std::string control;
    bool no_supervisor = false;
    bool last = false;
    std::string resume;
    bool temporary = false;
    std::string kv_dir;
    double kv_disk_gb = 20;
    bool no_kv_disk = false;

    void add_to(CLI::App& app) {
        app.add_option("prompt", words,
                       "the prompt; standard input is added when it is no terminal");
        app.add_option("-m,--model", model, "model file (GGUF)")->type_name("FILE");
        app.add_option("--system", oneshot.system, "instructions for the whole conversation");
        app.add_flag("--raw", oneshot.raw, "continue the text as it stands, without a chat format");
        app.add_flag("--json", oneshot.json, "print one JSON object instead of the text");
        for (const char* name : {"--temperature", "--top-k", "--top-p", "--min-p"})
            add_sampling(app, name, oneshot.sampling);
        seed.add(app, oneshot.sampling);
        app.add_option("--max-tokens", oneshot.max_tokens, "end the answer after N tokens")
            ->type_name("N");
        app.add_option("--stop", oneshot.stop, "end the answer at this text; may be repeated")
            ->type_name("TEXT")
            ->allow_extra_args(false);
        app.add_option(
               "--template", oneshot.template_name,
               "chat format: " + list_of(core::chat_format_names()) + "; default: the model's")
            ->type_name("NAME");
        app.add_option("--ctx", oneshot.context, "tokens of context; default: at most 8192")
            ->type_name("N");
        app.add_option("--kv", kv, "type of the KV cache: f32, f16, q8")->capture_default_str();
        add_kept(app);
        app.add_option("--threads", engine.threads, "threads; default: physical cores")
            ->type_name("N")
            ->check(CLI::Range(1U, 1024U));
        app.add_option("--isa", engine.isa, "limit the instruction set: scalar, avx2, avx512vnni")
            ->type_name("NAME");
        app.add_option("--backend", backend, "mock:FILE.toml answers from a script, for tests");
        app.add_flag("--fake-time", engine.fake_time,
                     "the mock counts its delays without sleeping");
        app.add_option("--control", control, "socket for tests of the chat")->type_name("PATH");
        app.add_flag("--no-supervisor", no_supervisor, "the chat in one process, for debuggers");
        app.add_flag("--verbose", oneshot.verbose, "model, tokens and speed on standard error");
        app.set_version_flag("--version", "moxie " MOXIE_VERSION);
        app.footer(std::string(kCommands));
    }

    // What stays on the disk.
    void add_kept(CLI::App& app) {
        app.add_flag("-c,--continue", last, "open the last conversation");
        app.add_option("-r,--resume", resume, "open the conversation whose id begins with this")
            ->type_name("ID");
        app.add_flag("--temporary", temporary, "a chat of which nothing is kept");
        add_kv_folder(app, kv_dir);
        app.add_option("--kv-disk", kv_disk_gb, "most GB that this folder may hold")
            ->type_name("GB")
            ->capture_default_str()
            ->check(CLI::Range(0.0, 1e6));
        app.add_flag("--no-kv-disk", no_kv_disk, "keep what was read in memory only");
    }

    void read_backend() {
        constexpr std::string_view kMock = "mock:";
        if (backend.empty()) return;
        if (!backend.starts_with(kMock) || backend.size() == kMock.size())
            refuse("--backend", "is " + backend, "must be mock:FILE.toml");
        engine.mock_script = backend.substr(kMock.size());
    }

    std::string prompt() const {
        std::string text;
        for (const std::string& word : words)
            text += (text.empty() ? "" : " ") + word;
        return text;
    }
};

// A path that means the same from wherever the conversation is opened again.
std::string absolute(const std::string& path) {
    std::error_code error;
    const auto whole = std::filesystem::absolute(path, error);
    return path.empty() || error ? path : whole.lexically_normal().string();
}

// Pages of answers on standard output are kept on disk only in a folder that is named.
void choose_kv_folder(MainOptions& options, bool chat) {
    if (options.no_kv_disk || (options.kv_dir.empty() && !chat)) return;
    options.engine.kv_directory =
        options.kv_dir.empty() ? core::cache_folder() + "/kv" : absolute(options.kv_dir);
    options.engine.kv_disk_bytes = static_cast<uint64_t>(options.kv_disk_gb * 1e9);
}

void check_kept(const MainOptions& options, bool chat) {
    const bool opens = options.last || !options.resume.empty();
    if (options.last && !options.resume.empty())
        refuse("--continue", "is given with --resume", "use one of them");
    if (opens && options.temporary)
        refuse("--temporary", "is given with a conversation to open", "use one of them");
    if (opens && !chat)
        refuse(options.last ? "--continue" : "--resume", "is for the chat",
               "leave the prompt out, and use a terminal");
}

ChatInvocation chat_invocation(MainOptions&& options, bool bundled) {
    OneShotOptions& common = options.oneshot;
    std::optional<std::string> resume;
    if (options.last || !options.resume.empty()) resume = std::move(options.resume);
    return {.chat = {.model_path = absolute(common.model_path),
                     .model_chosen = !bundled,
                     .resume = std::move(resume),
                     .temporary = options.temporary,
                     .data_folder = options.temporary ? "" : core::data_folder(),
                     .sampling = std::move(common.sampling),
                     .fixed_seed = options.seed.given,
                     .system = std::move(common.system),
                     .template_name = std::move(common.template_name),
                     .context = common.context,
                     .kv = common.kv,
                     .max_tokens = common.max_tokens,
                     .stop = std::move(common.stop),
                     .control_socket = std::move(options.control),
                     .theme = {},
                     .no_motion = options.engine.fake_time,
                     .bundled_model = bundled},
            .backend = std::move(options.engine),
            .supervised = !options.no_supervisor};
}

Invocation parse_main(const std::vector<std::string>& arguments, Terminals terminals) {
    CLI::App app(std::string(kDescription), "moxie");
    MainOptions options;
    options.add_to(app);
    if (auto text = parse(app, arguments)) return *std::move(text);
    options.read_backend();
    check_names(options.engine.isa, options.oneshot.template_name);

    OneShotOptions& common = options.oneshot;
    common.kv = kv_choice(options.kv);
    common.prompt = options.prompt();
    if (!options.seed.given) common.sampling.seed = random_seed();
    const bool bundled = options.model.empty() && options.engine.mock_script.empty();
    common.model_path = bundled ? find_default_model(model_folders()) : options.model;
    const bool has_words = !options.words.empty();
    const bool chat =
        !has_words && terminals.standard_input && terminals.standard_output && !common.json;
    check_kept(options, chat);
    choose_kv_folder(options, chat);
    // A conversation that is opened may bring its model.
    const bool opens = options.last || !options.resume.empty();
    if (bundled && common.model_path.empty() && !opens)
        throw core::Error(core::ErrorKind::model_not_found, "",
                          "no model is given and none is bundled", "use -m FILE");

    if (chat) return chat_invocation(std::move(options), bundled);
    common.read_input = !terminals.standard_input;
    return OneShotInvocation{.oneshot = std::move(common), .backend = std::move(options.engine)};
}

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
    if (auto text = parse(app, arguments)) return *std::move(text);
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
    if (auto text = parse(app, arguments)) return *std::move(text);
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
    if (auto text = parse(app, arguments)) return *std::move(text);
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
    CLI::App app("Tells what is in a weight file.", "moxie inspect");
    InspectOptions options;
    app.add_option("file", options.path, "the file")->type_name("FILE")->required();
    app.add_flag("--tensors", options.tensors, "list every tensor");
    app.add_flag("--json", options.json, "one JSON object");
    if (auto text = parse(app, arguments)) return *std::move(text);
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
    if (auto text = parse(app, arguments)) return *std::move(text);
    check_names(options.isa, {});
    core::kv_type_from_name(options.kv);
    if (options.resume && app.count("--prompt") == 0) options.prompt = 4096;
    if (options.resume && app.count("--repetitions") == 0) options.repetitions = 3;
    return options;
}

Invocation parse_kv(const std::vector<std::string>& arguments) {
    CLI::App app("Tells what was read of conversations and is kept on disk.", "moxie kv");
    KvOptions options{.directory = core::cache_folder() + "/kv"};
    add_kv_folder(app, options.directory);
    app.add_flag("--json", options.json, "one JSON object");
    if (auto text = parse(app, arguments)) return *std::move(text);
    return options;
}

struct Subcommand {
    std::string_view name;
    Invocation (*parse)(const std::vector<std::string>& arguments);
};

constexpr std::array kSubcommands{Subcommand{"tokenize", parse_tokenize},
                                  Subcommand{"eval", parse_eval},
                                  Subcommand{"inspect", parse_inspect},
                                  Subcommand{"bench", parse_bench}, Subcommand{"kv", parse_kv}};

}  // namespace

Invocation parse_command_line(const std::vector<std::string>& arguments, Terminals terminals) {
    if (!arguments.empty())
        for (const Subcommand& subcommand : kSubcommands)
            if (arguments.front() == subcommand.name)
                return subcommand.parse({arguments.begin() + 1, arguments.end()});
    return parse_main(arguments, terminals);
}

std::string find_default_model(const std::vector<std::string>& folders) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread is started
    if (const char* chosen = std::getenv("MOXIE_MODEL"); chosen != nullptr && *chosen != '\0')
        return chosen;
    for (const std::string& folder : folders) {
        std::vector<std::string> models;
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(folder, error))
            if (entry.path().extension() == ".gguf") models.push_back(entry.path().string());
        if (!models.empty()) return *std::ranges::min_element(models);
    }
    return {};
}

std::vector<std::string> model_folders() {
    std::vector<std::string> folders{MOXIE_SOURCE_DIR "/models"};
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    if (!error)
        for (const char* place : {"../models", "../share/moxie"})
            folders.push_back((program.parent_path() / place).lexically_normal().string());
    return folders;
}

}  // namespace app
