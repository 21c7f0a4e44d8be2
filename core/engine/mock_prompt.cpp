#include "core/engine/mock_prompt.h"

#include <cstdio>
#include <string_view>
#include <variant>
#include <vector>

#include "core/engine/mock_script.h"

namespace core {
namespace {

std::string last_text(const std::vector<chat::Message>& messages, chat::Role role) {
    for (auto message = messages.rbegin(); message != messages.rend(); ++message)
        if (message->role == role) return message->text;
    return {};
}

void replace_all(std::string& text, std::string_view what, const std::string& with) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
        text.replace(at, what.size(), with);
        at += with.size();
    }
}

}  // namespace

uint32_t mock_word_count(const std::string& text) {
    return static_cast<uint32_t>(mock_words(text).size());
}

MockPrompt read_mock_prompt(const chat::Generate& request) {
    MockPrompt prompt;
    if (const auto* messages = std::get_if<std::vector<chat::Message>>(&request.prompt)) {
        prompt.text = last_text(*messages, chat::Role::user);
        prompt.system = last_text(*messages, chat::Role::system);
        prompt.messages = static_cast<uint32_t>(messages->size());
        for (const chat::Message& message : *messages)
            prompt.words += mock_word_count(message.text);
    } else if (const auto* text = std::get_if<std::string>(&request.prompt)) {
        prompt.text = *text;
        prompt.words = mock_word_count(*text);
    } else {
        prompt.words = static_cast<uint32_t>(std::get<std::vector<TokenId>>(request.prompt).size());
    }
    return prompt;
}

std::string fill_placeholders(std::string text, const MockPrompt& prompt,
                              const chat::Sampling& sampling, uint32_t choice) {
    if (text.find('{') == std::string::npos) return text;
    char temperature[32];
    std::snprintf(temperature, sizeof temperature, "%g", static_cast<double>(sampling.temperature));
    replace_all(text, "{temperature}", temperature);
    replace_all(text, "{choice}", std::to_string(choice));
    replace_all(text, "{seed}", std::to_string(sampling.seed));
    replace_all(text, "{messages}", std::to_string(prompt.messages));
    replace_all(text, "{system}", prompt.system);
    replace_all(text, "{prompt}", prompt.text);
    return text;
}

}  // namespace core
