// Byte-level BPE as data: how GPT-2 spells bytes as characters, and the ways to cut text into words
// that files refer to by name (tokenizer.ggml.pre of GGUF) or by their expression.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/text/vocabulary.h"

namespace core {

// The character that stands for a byte in a piece: itself where it is printable Latin-1, else one
// from U+0100 on ("Ġ" is the space).
std::string_view spelled_byte(uint8_t byte);
// The bytes that a spelled piece stands for; nothing when a character of it stands for none.
std::optional<std::string> bytes_of_spelled(std::string_view piece);
std::string spell(std::string_view bytes);

// How a vocabulary of a known kind cuts text.
struct WordSplit {
    std::string_view name;                       // of tokenizer.ggml.pre, the usual one
    std::span<const std::string_view> also;      // other names for the same
    std::span<const std::string_view> patterns;  // each cuts what the one before left
    // The expressions in tokenizer.json, where they are spelled differently.
    std::span<const std::string_view> spellings = {};
    bool ignore_merges = false;  // a word that is a piece is that piece
    bool add_bos = false;
    bool nfc = false;  // text is composed first
};

// Null for an unknown name.
const WordSplit* word_split_named(std::string_view name);
// The one that cuts like these expressions and agrees in ignore_merges and nfc. Null: no known one.
const WordSplit* word_split_of(const ByteLevel& level);
// The expression that an equal one of tokenizer.json stands for, or the same.
std::string known_pattern(std::string_view pattern);
// "qwen2, llama-bpe, ...", for messages.
std::string word_split_names();

}  // namespace core
