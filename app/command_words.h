// Arguments of commands: cutting them up, and saying what is wrong with them.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace app {

class ChatApp;

std::string_view trim(std::string_view text);
// The first word and the rest.
std::pair<std::string_view, std::string_view> split(std::string_view text);
std::vector<std::string_view> words_of(std::string_view text);

// Throws core::Error(usage).
[[noreturn]] void usage(std::string_view object, std::string_view problem, std::string_view advice);
// A whole number between the bounds, both included. Throws core::Error(usage).
uint32_t number_in(std::string_view object, std::string_view text, uint32_t low, uint32_t high);
// Throws core::Error(usage) while something runs.
void require_idle(const ChatApp& app, std::string_view command);

}  // namespace app
