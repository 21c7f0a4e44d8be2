#include "app/session/title.h"

#include <algorithm>

#include "core/base/utf8.h"

namespace app {

std::string title_from(std::string_view prompt) {
    constexpr size_t kWords = 6;
    constexpr size_t kColumns = 60;
    std::string title;
    size_t words = 0;
    for (size_t at = 0; at < prompt.size() && words < kWords; ++words) {
        const size_t begin = prompt.find_first_not_of(" \t\n", at);
        if (begin == std::string_view::npos) break;
        at = std::min(prompt.find_first_of(" \t\n", begin), prompt.size());
        if (!title.empty()) title += " ";
        title += prompt.substr(begin, at - begin);
    }
    title = core::sanitize(title);
    return std::string(core::fit_width(title, kColumns));
}

std::string title_from(const chat::Prompt& prompt) {
    const bool words = prompt.text.find_first_not_of(" \t\n") != std::string::npos;
    return title_from(words || prompt.files.empty() ? prompt.text : prompt.files.front()->path);
}

}  // namespace app
