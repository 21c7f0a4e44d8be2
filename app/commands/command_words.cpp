#include "app/commands/command_words.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>
#include <tuple>

#include "app/chat/chat_app.h"
#include "core/base/error.h"

namespace app {

std::string_view trim(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t\n");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

std::pair<std::string_view, std::string_view> split(std::string_view text) {
    text = trim(text);
    const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    return {text.substr(0, end), trim(text.substr(end))};
}

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (auto [word, rest] = split(text); !word.empty(); std::tie(word, rest) = split(rest))
        words.push_back(word);
    return words;
}

std::string next_word(std::string_view text, size_t& at) {
    std::string word;
    if (at < text.size() && text[at] == '"') {
        const size_t end = text.find('"', at + 1);
        if (end != std::string_view::npos) {
            word = text.substr(at + 1, end - at - 1);
            at = end + 1;
        }
    }
    const size_t end = std::min(text.find_first_of(" \t\n", at), text.size());
    word += text.substr(at, end - at);
    at = end;
    return word;
}

std::vector<std::string> quoted_words(std::string_view text) {
    std::vector<std::string> words;
    for (size_t at = text.find_first_not_of(" \t\n"); at < text.size();
         at = text.find_first_not_of(" \t\n", at))
        words.push_back(next_word(text, at));
    return words;
}

std::string_view last_word(std::string_view arguments) {
    return arguments.substr(arguments.rfind(' ') + 1);  // npos + 1 is 0
}

std::vector<std::string> beginning_with(std::string_view begun,
                                        const std::vector<std::string>& words) {
    std::vector<std::string> found;
    std::ranges::copy_if(words, std::back_inserter(found),
                         [begun](const std::string& word) { return word.starts_with(begun); });
    return found;
}

void usage(std::string_view object, std::string_view problem, std::string_view advice) {
    throw core::Error(core::ErrorKind::usage, std::string(object), std::string(problem),
                      std::string(advice));
}

uint32_t number_in(std::string_view object, std::string_view text, uint32_t low, uint32_t high) {
    uint32_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = result.ec == std::errc{} && result.ptr == text.data() + text.size();
    if (whole && value >= low && value <= high) return value;
    usage(object, "is " + std::string(text),
          "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
}

void require_idle(const ChatApp& app, std::string_view command) {
    if (app.session().busy()) usage(command, "not while something runs", "stop it first (C-c)");
}

}  // namespace app
