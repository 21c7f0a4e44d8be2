#include "app/command_words.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <tuple>

#include "app/chat_app.h"
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
