#include "app/chat/code_blocks.h"

#include <algorithm>

namespace app {
namespace {

// The run of one sign that a fence is made of (CommonMark 4.5): three or more, at most three
// spaces in front.
std::string_view fence_of(std::string_view line) {
    const size_t begin = std::min(line.find_first_not_of(' '), line.size());
    if (begin > 3 || begin == line.size() || (line[begin] != '`' && line[begin] != '~')) return {};
    const size_t end = std::min(line.find_first_not_of(line[begin], begin), line.size());
    return end - begin >= 3 ? line.substr(begin, end - begin) : std::string_view();
}

std::string_view trimmed(std::string_view text) {
    const size_t begin = std::min(text.find_first_not_of(" \t\r"), text.size());
    text.remove_prefix(begin);
    return text.substr(0, text.find_last_not_of(" \t\r") + 1);
}

}  // namespace

std::vector<CodeBlock> code_blocks(std::string_view text) {
    std::vector<CodeBlock> blocks;
    std::string_view open;  // the fence that the last block waits for the end of
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string_view line = text.substr(at, end - at);
        const std::string_view fence = fence_of(line);
        if (open.empty() && !fence.empty()) {
            const std::string_view info =
                trimmed(line.substr(line.find(fence.front()) + fence.size()));
            open = fence;
            begin = std::min(end + 1, text.size());
            blocks.push_back({.language = info.substr(0, info.find(' ')), .text = {}});
        } else if (!open.empty() && !fence.empty() && fence.front() == open.front() &&
                   fence.size() >= open.size() && trimmed(line) == fence) {
            blocks.back().text = text.substr(begin, at - begin);
            open = {};
        }
        at = end + 1;
    }
    if (!open.empty()) blocks.back().text = text.substr(begin);
    return blocks;
}

}  // namespace app
