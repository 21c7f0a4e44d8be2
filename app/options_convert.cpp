// `moxie convert IN OUT.gguf`
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "app/options_parse.h"

namespace app {

Invocation parse_convert(const std::vector<std::string>& arguments) {
    CLI::App app(
        "Writes a model as one GGUF file: a folder of Hugging Face, Grok-1's checkpoint, a split "
        "or "
        "another GGUF. Without --type nothing is lost. Ctrl-C leaves nothing behind.",
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
        throw core::Error(core::ErrorKind::usage, "moxie convert", "is given no file to write",
                          "see moxie convert --help");
    options.progress = ::isatty(STDERR_FILENO) == 1;
    return options;
}

}  // namespace app
