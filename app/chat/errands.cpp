#include "app/chat/errands.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "app/chat/chat_app.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/base/utf8.h"
#include "core/store/formats.h"

namespace app {
namespace {

// The first of these variables that says something.
std::string program_of(std::initializer_list<const char*> variables, const char* otherwise) {
    for (const char* variable : variables) {
        // Nothing here changes the environment.
        const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
        if (value != nullptr && *value != '\0') return value;
    }
    return otherwise;
}

// A file of this user alone, in the place of one that an earlier process of this number left.
std::string write_private_file(std::string_view name, std::string_view text) {
    core::make_private_folder(core::runtime_folder());
    std::string path =
        core::runtime_folder() + "/" + std::string(name) + "-" + std::to_string(::getpid()) + ".md";
    ::unlink(path.c_str());
    core::write_new_file(path, text);
    return path;
}

// Why it did not do what it was asked for; empty: it did.
std::string trouble_of(const std::string& program, int status, std::string_view variable) {
    if (status == 0) return {};
    if (status == kNoSuchProgram)
        return program + " cannot be run; set $" + std::string(variable) + ".";
    return program + " ended with status " + std::to_string(status) + ".";
}

std::string take_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    while (text.ends_with('\n'))
        text.pop_back();
    ::unlink(path.c_str());
    return text;
}

}  // namespace

void edit_text(ChatApp& app, std::string_view name, const std::string& text,
               std::function<void(ChatApp& app, const std::string& text)> done) {
    const std::string program = program_of({"VISUAL", "EDITOR"}, "vi");
    const std::string path = write_private_file(name, text + (text.empty() ? "" : "\n"));
    app.go_out({.command = program + " \"$1\"",
                .file = path,
                .done = [program, path, done = std::move(done)](ChatApp& back, int status) {
                    const std::string edited = take_text(path);
                    const std::string trouble = trouble_of(program, status, "EDITOR");
                    if (!trouble.empty()) return back.refuse(trouble + " Nothing has changed.");
                    done(back, edited);
                }});
}

void page_text(ChatApp& app, const std::string& text) {
    const std::string program = program_of({"PAGER"}, "less");
    const std::string path = write_private_file("transcript", core::sanitize(text));
    app.go_out({.command = program,
                .file = path,
                .file_is_input = true,
                .done = [program, path](ChatApp& back, int status) {
                    ::unlink(path.c_str());
                    const std::string trouble = trouble_of(program, status, "PAGER");
                    if (!trouble.empty()) back.refuse(trouble);
                }});
}

void page_file(ChatApp& app, const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw core::Error(core::ErrorKind::storage, path, "cannot be read");
    page_text(app, {std::istreambuf_iterator<char>(in), {}});
}

}  // namespace app
