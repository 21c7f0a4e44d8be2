#include "app/subcommands/tokenize_cmd.h"

#include <cerrno>
#include <fstream>
#include <istream>
#include <iterator>
#include <ostream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/tokenizer.h"

namespace app {
namespace {

std::string read_all(std::istream& in, const std::string& object) {
    std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (in.bad()) throw core::Error(core::ErrorKind::usage, object, "cannot be read to its end");
    return text;
}

std::string input_text(const TokenizeOptions& options, std::istream& in) {
    if (options.text) return *options.text;
    if (options.file.empty()) return read_all(in, "standard input");
    std::ifstream file(options.file, std::ios::binary);
    // A folder opens but cannot be read.
    if (!file || (file.peek(), file.bad()))
        throw core::Error(core::ErrorKind::usage, options.file,
                          "cannot be read: " + std::generic_category().message(errno));
    return read_all(file, options.file);
}

}  // namespace

int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out) {
    const auto tokenizer = core::load_tokenizer(options.path);
    const std::vector<core::TokenId> ids = tokenizer->encode(input_text(options, in), true);
    if (options.json) {
        nlohmann::json pieces = nlohmann::json::array();
        for (const core::TokenId id : ids)
            pieces.push_back(tokenizer->piece(id));
        // ASCII only: pieces come from a file and may hold what a terminal would obey.
        out << nlohmann::ordered_json{{"ids", ids}, {"pieces", pieces}}.dump(-1, ' ', true) << '\n';
    } else {
        out << '[';
        for (size_t index = 0; index < ids.size(); ++index)
            out << (index == 0 ? "" : ", ") << ids[index];
        out << "]\n";
    }
    out.flush();
    if (!out) throw core::Error(core::ErrorKind::storage, "standard output", "cannot be written");
    return 0;
}

}  // namespace app
