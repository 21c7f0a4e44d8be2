// The command line of the chat and of the one-shot program, which share nearly all.
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "app/models/model_places.h"
#include "app/models/model_scan.h"
#include "app/options_parse.h"
#include "app/session/kept_pages.h"
#include "app/settings/presets.h"
#include "app/settings/sampling_layers.h"
#include "core/base/error.h"
#include "core/base/paths.h"
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
    "  config           what is configured, and where\n"
    "  models           the models of this machine\n"
    "  inspect          what is in a weight file\n"
    "  chats            the saved conversations: list, search, export, import, doctor\n"
    "  export           write a saved conversation to a file\n"
    "  kv               what was read of conversations and is kept on disk\n"
    "  bench            how fast a model runs\n"
    "  eval logits      what a model computes, as a NumPy file\n"
    "  eval perplexity  how well a model predicts a text\n"
    "A prompt that begins with the name of a command goes behind --: moxie -- tokenize\n";

chat::KvTypeChoice kv_choice(const std::string& name) {
    switch (core::kv_type_from_name(name)) {
        case core::KvType::f32: return chat::KvTypeChoice::f32;
        case core::KvType::q8: return chat::KvTypeChoice::q8;
        case core::KvType::f16: break;
    }
    return chat::KvTypeChoice::f16;
}

struct MainOptions {
    std::vector<std::string> words;
    ConfigOptions config;
    OneShotOptions oneshot;
    BackendOptions engine;
    std::string backend;
    std::string control;
    bool no_supervisor = false;
    bool full_screen = false;
    bool last = false;
    std::string resume;
    bool save = false;
    bool no_save = false;
    std::string preset;
    std::string kv_dir;
    bool json = false;
    bool json_lines = false;
    std::string schema;

    void add_to(CLI::App& app) {
        app.add_option("prompt", words, "the prompt; files and standard input follow it in fences");
        config.add(app, "-m,--model", "model.default", "MODEL", "model: name or file");
        app.add_flag("--tui", full_screen, "the chat, or status 10 where there is no terminal");
        add_sampling(app);
        add_engine(app);
        add_output(app);
        add_kept(app);
        config.add_to(app);
        config.add(app, "--theme", "ui.theme", "THEME");
        config.add(app, "--color", "terminal.color", "WHEN", "auto, always, never");
        app.add_option("--backend", backend, "mock:FILE.toml answers from a script, for tests");
        app.add_flag("--fake-time", engine.fake_time,
                     "the mock counts its delays without sleeping");
        app.add_option("--control", control, "socket for tests of the chat")->type_name("PATH");
        app.add_flag("--no-supervisor", no_supervisor, "the chat in one process, for debuggers");
        app.set_version_flag("--version", "moxie " MOXIE_VERSION);
        app.footer(std::string(kCommands));
    }

    // What is asked, and how the answer is chosen.
    void add_sampling(CLI::App& app) {
        app.add_option("-f,--file", oneshot.files, "a file for the prompt; may be repeated")
            ->type_name("FILE")
            ->allow_extra_args(false);
        config.add(app, "--system", "chat.system", "TEXT",
                   "instructions for the whole conversation");
        app.add_flag("--raw", oneshot.raw, "continue the text as it stands, without a chat format");
        for (const char* name : {"temperature", "top_k", "top_p", "min_p"}) {
            std::string option = "--" + std::string(name);
            std::ranges::replace(option, '_', '-');
            config.add(app, option, "sampling." + std::string(name), "N");
        }
        app.add_option("--preset", preset, "sampling of a preset")->type_name("NAME");
        config.add(app, "--seed", "sampling.seed", "N", "same seed, same answer; -1 = random")
            ->transform([](const std::string& text) { return text == "random" ? "-1" : text; });
        config.add(app, "--max-tokens", "sampling.max_tokens", "N",
                   "end the answer after N tokens");
        app.add_option("--stop", oneshot.stop, "end the answer at this text; may be repeated")
            ->type_name("TEXT")
            ->allow_extra_args(false);
        app.add_option(
               "--template", oneshot.template_name,
               "chat format: " + list_of(core::chat_format_names()) + "; default: the model's")
            ->type_name("NAME");
    }

    void add_engine(CLI::App& app) {
        config.add(app, "--ctx", "model.ctx", "N", "tokens of context");
        config.add(app, "--kv", "model.kv_type", "TYPE", "type of the KV cache: f32, f16, q8");
        config.add(app, "--threads", "model.threads", "N", "threads; 0 = physical cores")
            ->default_str("")
            ->check(CLI::Range(1U, 1024U));
        app.add_option("--isa", engine.isa, "limit the instruction set: scalar, avx2, avx512vnni")
            ->type_name("NAME");
    }

    void add_output(CLI::App& app) {
        app.add_flag("--json", json, "print one JSON object instead of the text");
        app.add_flag("--jsonl", json_lines, "print a JSON object for every event")
            ->excludes("--json");
        app.add_option("--logprobs", oneshot.logprobs,
                       "with --json or --jsonl: probabilities, and N alternatives of each token")
            ->type_name("N")
            ->check(CLI::Range(0U, kMostAlternatives));
        app.add_flag("--show-thinking", oneshot.thinking,
                     "print the reasoning in front of the answer too");
        app.add_option("--schema", schema, "not in this version: ends with status 2")
            ->type_name("FILE");
        app.add_option("--timeout", oneshot.timeout_seconds, "stop after N seconds, status 124")
            ->type_name("N")
            ->check(CLI::PositiveNumber);
        app.add_flag("-q,--quiet", oneshot.quiet, "nothing on standard error");
        app.add_flag("--verbose", oneshot.verbose, "model, tokens and speed on standard error");
    }

    // What stays on the disk.
    void add_kept(CLI::App& app) {
        app.add_flag("-c,--continue", last, "open the last conversation");
        app.add_option("-r,--resume", resume, "open the conversation whose id begins with this")
            ->type_name("ID");
        app.add_flag("--save", save, "keep question and answer as a conversation");
        app.add_flag("--no-save", no_save, "keep nothing, with -c too")->excludes("--save");
        config.add_flag(app, "--temporary", "privacy.temporary", "true",
                        "a chat of which nothing is kept");
        add_kv_folder(app, kv_dir);
        config.add(app, "--kv-disk", "kv.max_gb", "GB", "most that this folder may hold");
        config.add_flag(app, "--no-kv-disk", "kv.persist", "false",
                        "keep what was read in memory only");
    }

    void read_backend() {
        constexpr std::string_view kMock = "mock:";
        if (backend.empty()) return;
        if (!backend.starts_with(kMock) || backend.size() == kMock.size())
            refuse("--backend", "is " + backend, "must be mock:FILE.toml");
        engine.mock_script = backend.substr(kMock.size());
    }

    bool opens() const { return last || !resume.empty(); }
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

// Pages of answers on standard output are kept only with their conversation, or in a folder that
// is named.
void choose_kv_folder(const MainOptions& options, const Config& config, bool keeps,
                      BackendOptions& engine) {
    if (!config.boolean("kv.persist") || (options.kv_dir.empty() && !keeps)) return;
    engine.kv_directory = options.kv_dir.empty() ? default_kv_folder() : absolute(options.kv_dir);
    engine.kv_disk_bytes = static_cast<uint64_t>(config.number("kv.max_gb") * 1e9);
    engine.kv_min_tokens = static_cast<uint32_t>(config.integer("kv.min_tokens"));
}

// The file that is meant: a path as it is, a name among the models of this machine.
std::string model_path(const std::string& wanted, const Config& config) {
    if (is_model_path(wanted)) return wanted;
    const ModelScan scan(model_places(config, environment_variable), model_index_file());
    while (!scan.wait(std::chrono::seconds(1)))
        continue;
    const std::vector<ModelHeader> models = scan.models();
    if (const ModelHeader* model = find_model(models, wanted)) return model->path;
    std::string sentence = no_such_model(models, wanted);
    sentence.pop_back();
    throw core::Error(core::ErrorKind::model_not_found, "", std::move(sentence));
}

void check_kept(const MainOptions& options, const Config& config, bool chat) {
    if (options.last && !options.resume.empty())
        refuse("--continue", "is given with --resume", "use one of them");
    if (options.opens() && config.is_flag("privacy.temporary"))
        refuse("--temporary", "is given with a conversation to open", "use one of them");
    if (options.save && config.is_flag("privacy.temporary"))
        refuse("--temporary", "is given with --save", "use one of them");
    const bool for_pipes = options.save || options.no_save || options.json || options.json_lines;
    if (chat && for_pipes)
        refuse(options.save      ? "--save"
               : options.no_save ? "--no-save"
                                 : "--json",
               "is for a prompt", "give one as an argument or on standard input");
    if (options.oneshot.raw && (options.save || options.opens()))
        refuse("--raw", "is given with a conversation", "a text without chat format has no turns");
    if (!options.schema.empty())
        refuse("--schema", "this version cannot hold an answer to a schema",
               "ask for the form in the prompt and check what comes");
    if (options.oneshot.logprobs && !options.json && !options.json_lines)
        refuse("--logprobs", "is given without --json", "add --json or --jsonl");
}

// What is configured, in the fields of both programs.
void apply(const Config& config, OneShotOptions& common, BackendOptions& engine) {
    common.model_chosen = config.is_flag("model.default");
    common.system = config.text("chat.system");
    common.kv = kv_choice(config.text("model.kv_type"));
    // Nobody's choice leaves it to the engine, which takes less where memory is short.
    if (config.is_set("model.ctx"))
        common.context = static_cast<uint32_t>(config.integer("model.ctx"));
    engine.threads = static_cast<unsigned>(config.integer("model.threads"));
    common.escapes = config.text("terminal.color") == "always";
    common.keeping = keeping_of(config);
    // With one answer the end is now.
    if (common.keeping.pages == KeepPages::at_the_end)
        common.keeping.pages = KeepPages::after_answers;
}

SamplingLayers sampling_layers(const Config& config, const std::string& preset) {
    SamplingLayers layers;
    layers.put(SamplingSource::config, sampling_of_config(config));
    layers.put(SamplingSource::flag, sampling_of_flags(config));
    if (!preset.empty()) layers.put(SamplingSource::preset, Presets::of_user().load(preset));
    return layers;
}

ChatInvocation chat_invocation(MainOptions&& options, Config config, bool bundled) {
    OneShotOptions& common = options.oneshot;
    std::optional<std::string> resume;
    if (options.opens()) resume = std::move(options.resume);
    const bool temporary = config.boolean("privacy.temporary");
    std::string history;
    if (!temporary && config.integer("input.history") > 0)
        history = core::state_folder() + "/history";
    ChatOptions chat{.model_path = absolute(common.model_path),
                     .model_chosen = common.model_chosen,
                     .resume = std::move(resume),
                     .open_last = true,
                     .temporary = temporary || !config.boolean("chat.autosave"),
                     .data_folder = temporary ? "" : core::data_folder(),
                     .config = config,
                     .sampling = std::move(common.sampling),
                     .model_places = model_places(config, environment_variable),
                     .system = std::move(common.system),
                     .system_chosen = config.is_flag("chat.system"),
                     .template_name = std::move(common.template_name),
                     .context = common.context,
                     .kv = common.kv,
                     .stop = std::move(common.stop),
                     .control_socket = std::move(options.control),
                     .theme = config.text("ui.theme"),
                     .history_file = std::move(history),
                     .bundled_model = bundled};
    return {.chat = std::move(chat),
            .backend = std::move(options.engine),
            .config = std::move(config),
            .supervised = !options.no_supervisor};
}

OneShotInvocation oneshot_invocation(MainOptions&& options, Config config) {
    OneShotOptions& common = options.oneshot;
    common.form = options.json         ? OutputForm::json
                  : options.json_lines ? OutputForm::json_lines
                                       : OutputForm::text;
    if (options.opens()) common.resume = std::move(options.resume);
    const bool temporary = common.temporary = config.boolean("privacy.temporary");
    common.save = (options.save || options.opens()) && !options.no_save && !temporary;
    if (common.save || common.resume) common.data_folder = core::data_folder();
    for (const ConfigNotice& notice : config.notices())
        if (notice.mistake) common.warnings.push_back(notice.text);
    return {.oneshot = std::move(common),
            .backend = std::move(options.engine),
            .config = std::move(config)};
}

}  // namespace

Invocation parse_main(const std::vector<std::string>& arguments, Terminals terminals) {
    CLI::App app(std::string(kDescription), "moxie");
    MainOptions options;
    options.add_to(app);
    if (auto text = parse_arguments(app, arguments)) return *std::move(text);
    options.read_backend();
    check_names(options.engine.isa, options.oneshot.template_name);
    Config config = options.config.load();

    OneShotOptions& common = options.oneshot;
    apply(config, common, options.engine);
    common.sampling = sampling_layers(config, options.preset);
    common.prompt = options.prompt();
    const std::string& wanted = config.text("model.default");
    const bool bundled = wanted.empty() && options.engine.mock_script.empty();
    common.model_path = bundled ? find_default_model(model_folders()) : wanted;
    const bool real = options.engine.mock_script.empty();
    if (real && !bundled) common.model_path = model_path(wanted, config);

    const bool asks =
        !options.words.empty() || !common.files.empty() || options.json || options.json_lines;
    const bool terminal = terminals.standard_input && terminals.standard_output;
    const bool chat = options.full_screen || (!asks && terminal);
    if (chat && !terminal)
        throw core::Error(core::ErrorKind::terminal, "",
                          "the chat needs a terminal on standard input and output",
                          "give a prompt for an answer without one");
    check_kept(options, config, chat);
    const bool saves = options.save || (options.opens() && !options.no_save);
    choose_kv_folder(options, config, chat || saves, options.engine);
    // A conversation that is opened may bring its model.
    if (bundled && common.model_path.empty() && !options.opens())
        throw core::Error(core::ErrorKind::model_not_found, "",
                          "no model is given and none is bundled", "use -m FILE");

    if (chat) return chat_invocation(std::move(options), std::move(config), bundled);
    common.read_input = !terminals.standard_input;
    return oneshot_invocation(std::move(options), std::move(config));
}

}  // namespace app
