// What a scripted answer can know of the request that it answers. A word stands for a token.
#pragma once

#include <cstdint>
#include <string>

#include "core/chat/protocol.h"

namespace core {

struct MockPrompt {
    std::string text;  // the last message of the user, or the raw text
    std::string system;
    uint32_t messages = 0;
    uint32_t words = 0;
};

MockPrompt read_mock_prompt(const chat::Generate& request);
uint32_t mock_word_count(const std::string& text);

// Replaces {prompt}, {system}, {messages}, {temperature}, {seed} and {choice}.
std::string fill_placeholders(std::string text, const MockPrompt& prompt,
                              const chat::Sampling& sampling, uint32_t choice);

}  // namespace core
