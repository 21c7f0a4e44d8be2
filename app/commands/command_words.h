// Arguments of commands: cutting them up, and saying what is wrong with them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace app {

class ChatApp;

std::string_view trim(std::string_view text);
// The first word and the rest.
std::pair<std::string_view, std::string_view> split(std::string_view text);
std::vector<std::string_view> words_of(std::string_view text);

// A word from `at` on, whose beginning may stand in quotes; `at` moves behind it.
std::string next_word(std::string_view text, size_t& at);
// The words of a text, each of which may begin with a part in quotes.
std::vector<std::string> quoted_words(std::string_view text);

// For completion: the word that is being typed, and which of some words begin like it.
std::string_view last_word(std::string_view arguments);
std::vector<std::string> beginning_with(std::string_view begun,
                                        const std::vector<std::string>& words);

// Throws core::Error(usage).
[[noreturn]] void usage(std::string_view object, std::string_view problem, std::string_view advice);
// A whole number between the bounds, both included. Throws core::Error(usage).
uint32_t number_in(std::string_view object, std::string_view text, uint32_t low, uint32_t high);
// Throws core::Error(usage) while something runs.
void require_idle(const ChatApp& app, std::string_view command);

}  // namespace app
