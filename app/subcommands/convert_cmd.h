// `moxie convert IN OUT.gguf`: any model that moxie opens, as one GGUF file, in other types.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace app {

struct ConvertCommandOptions {
    std::string input;
    std::string output;
    std::string type;                // of matrices; "" = their own
    std::vector<std::string> rules;  // PATTERN=TYPE
    unsigned threads = 0;
    bool dry_run = false;  // says what would be written and writes nothing
    bool force = false;    // replaces OUT
    bool progress = true;  // a line on standard error that is drawn over
};

// Returns the exit status: 0, or 128 and the signal that ended it, in a sentence on standard error;
// nothing is left of the output then. Throws core::Error.
int run_convert(const ConvertCommandOptions& options, std::ostream& out);

// "*ffn_down*=q6_k". Throws core::Error(usage).
struct ParsedRule {
    std::string pattern;
    std::string type;
};
ParsedRule parse_rule(const std::string& text);

}  // namespace app
