// The blocks of code in a message: what stands between its fences.
#pragma once

#include <string_view>
#include <vector>

namespace app {

struct CodeBlock {
    std::string_view language;  // as the fence says; may be empty
    std::string_view text;      // without the fences, newlines as they are
};

// In their order. A block that nothing has ended yet goes to the end of the text.
std::vector<CodeBlock> code_blocks(std::string_view text);

}  // namespace app
