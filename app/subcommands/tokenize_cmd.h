// `moxie tokenize`: the token ids of a text, for scripts and for comparison with other programs.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>

namespace app {

struct TokenizeOptions {
    std::string path = {};  // GGUF (vocabulary only is enough) or SentencePiece model
    std::optional<std::string> text = {};  // else `file`, else standard input
    std::string file = {};
    bool json = false;
};

// Prints one line: `[1, 2, 3]`, or with `json` an object with `ids` and `pieces`. The text is taken
// byte for byte, a trailing newline included; special-shaped pieces such as <|separator|> count as
// such; BOS is not added. Returns the exit status; throws core::Error.
int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out);

}  // namespace app
