// The program: reads the command line, starts what it asks for, and is the last to catch an Error.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <new>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "app/backend.h"
#include "app/chat/chat_app.h"
#include "app/machine/supervisor.h"
#include "app/oneshot/oneshot.h"
#include "app/options.h"
#include "app/session/kept_pages.h"
#include "app/settings/program_log.h"
#include "app/subcommands/bench_cmd.h"
#include "app/subcommands/chats_cmd.h"
#include "app/subcommands/config_cmd.h"
#include "app/subcommands/convert_cmd.h"
#include "app/subcommands/doctor_cmd.h"
#include "app/subcommands/eval_cmd.h"
#include "app/subcommands/inspect_cmd.h"
#include "app/subcommands/kv_cmd.h"
#include "app/subcommands/models_cmd.h"
#include "app/subcommands/tokenize_cmd.h"
#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/store/store.h"
#include "ui/locale.h"

namespace {

int fail(const core::Error& error, bool quiet) {
    // Names of files and tensors come from outside.
    if (!quiet) std::fprintf(stderr, "moxie: %s\n", core::sanitize(error.what()).c_str());
    return static_cast<int>(error.kind());
}

// Every Error ends here; the exit status says of what kind it was.
int run_guarded(const std::function<int()>& body, bool quiet = false) {
    try {
        return body();
    } catch (const core::Error& error) {
        return fail(error, quiet);
    } catch (const std::bad_alloc&) {
        return fail({core::ErrorKind::memory, "", "there is not enough memory for this"}, quiet);
    } catch (const std::filesystem::filesystem_error& error) {
        return fail({core::ErrorKind::storage, error.path1().string(), error.code().message()},
                    quiet);
    } catch (const std::exception& error) {
        return fail({core::ErrorKind::internal, "internal error", error.what()}, quiet);
    }
}

// What is purged is forgotten by the cache too, even where this process writes no pages.
core::StoreOptions store_options(const std::string& data_folder,
                                 const app::BackendOptions& backend) {
    const std::string pages =
        backend.kv_directory.empty() ? app::default_kv_folder() : backend.kv_directory;
    return {.folder = data_folder,
            .forget_lines =
                [pages](const std::vector<core::CachedLine>& lines) {
                    app::forget_pages(pages, lines);
                },
            .find_pages =
                [pages](const core::ConversationHead& head) { return app::pages_of(pages, head); }};
}

int run_chat_process(const app::ChatInvocation& invocation) {
    app::block_chat_signals();
    const std::string notice = ui::use_utf8_locale();
    const app::ProgramLog log(invocation.config);
    // The store outlives the chat, so that what it was given last is written.
    core::StoreChannel channel;
    std::optional<core::Store> store;
    if (!invocation.chat.data_folder.empty())
        store.emplace(store_options(invocation.chat.data_folder, invocation.backend), channel);
    app::Backend backend(invocation.backend);
    return app::run_chat(invocation.chat, backend.channel(), store ? &channel : nullptr, notice);
}

int run(const app::ChatInvocation& invocation) {
    app::restore_terminal_on_crash();
    const auto body = [&] { return run_guarded([&] { return run_chat_process(invocation); }); };
    const bool kept = !invocation.chat.data_folder.empty() && !invocation.chat.temporary;
    return invocation.supervised ? app::supervise(body, kept ? "resume: moxie -c\n" : "") : body();
}

int run_oneshot_process(app::OneShotInvocation& invocation) {
    app::OneShotOptions& options = invocation.oneshot;
    options.prompt = app::complete_prompt(options);
    app::block_oneshot_signals();
    const app::ProgramLog log(invocation.config);
    core::StoreChannel channel;
    std::optional<core::Store> store;
    if (!options.data_folder.empty())
        store.emplace(store_options(options.data_folder, invocation.backend), channel);
    app::Backend backend(invocation.backend);
    return app::run_oneshot(options, backend.channel(), store ? &channel : nullptr);
}

// With --quiet the status says it all.
int run(app::OneShotInvocation& invocation) {
    const bool quiet = invocation.oneshot.quiet;
    if (!quiet)
        for (const std::string& warning : invocation.oneshot.warnings)
            std::fprintf(stderr, "moxie: %s\n", core::sanitize(warning).c_str());
    return run_guarded([&] { return run_oneshot_process(invocation); }, quiet);
}

int run(const app::ModelsOptions& options) {
    return app::run_models(options, std::cout);
}

int run(const app::DoctorOptions& options) {
    return app::run_doctor(options, std::cout);
}

int run(const app::ConfigCmdOptions& options) {
    return app::run_config(options, std::cout);
}

int run(const app::TokenizeOptions& options) {
    return app::run_tokenize(options, std::cin, std::cout);
}

int run(const app::EvalLogitsOptions& options) {
    return app::run_eval_logits(options, std::cout);
}

int run(const app::EvalPerplexityOptions& options) {
    return app::run_eval_perplexity(options, std::cout);
}

int run(const app::BenchOptions& options) {
    return app::run_bench(options, std::cout);
}

int run(const app::InspectOptions& options) {
    return app::run_inspect(options, std::cout);
}

int run(const app::ConvertCommandOptions& options) {
    return app::run_convert(options, std::cout);
}

int run(const app::KvOptions& options) {
    return app::run_kv(options, std::cout);
}

int run(const app::ChatsOptions& options) {
    return app::run_chats(options, std::cout);
}

int run(const app::PrintText& print) {
    std::cout << print.text;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    return run_guarded([&] {
        app::Invocation invocation =
            app::parse_command_line(std::vector<std::string>(argv + 1, argv + argc),
                                    {.standard_input = ::isatty(STDIN_FILENO) == 1,
                                     .standard_output = ::isatty(STDOUT_FILENO) == 1});
        const int status = std::visit([](auto& wanted) { return run(wanted); }, invocation);
        if (!std::cout.flush())
            throw core::Error(core::ErrorKind::storage, "standard output",
                              "could not be written to its end", "make room where it goes");
        return status;
    });
}
