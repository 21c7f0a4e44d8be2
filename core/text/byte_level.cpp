#include "core/text/byte_level.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/base/utf8.h"

namespace core {
namespace {

using Names = std::span<const std::string_view>;

// Source: llama.cpp, src/llama-vocab.cpp, and the tokenizer.json of the models. (?i:'s|...) is
// spelled out: without regard to case U+017F would be an s too.
constexpr std::string_view kQwen2[] = {
    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};
constexpr std::string_view kQwen2Spellings[] = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};
constexpr std::string_view kQwen2Names[] = {"deepseek-r1-qwen", "megrez"};

constexpr std::string_view kLlama3[] = {
    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};
constexpr std::string_view kLlama3Spellings[] = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};
constexpr std::string_view kLlama3Names[] = {"llama3", "llama-v3", "falcon3"};
constexpr std::string_view kDbrxNames[] = {"smaug-bpe"};

constexpr std::string_view kGpt2[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"};
constexpr std::string_view kGpt2Names[] = {"gpt2", "phi-2", "gigachat", "roberta-bpe",
                                           "mpt",  "olmo",  "jais"};

constexpr std::string_view kStarcoder[] = {"\\p{N}", kGpt2[0]};
constexpr std::string_view kStarcoderNames[] = {"refact",    "smollm", "command-r",
                                                "codeshell", "exaone", "minerva-7b"};

// From tekken.json. llama.cpp's own spelling of it differs beyond ASCII.
constexpr std::string_view kTekken[] = {
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"};

constexpr WordSplit kSplits[] = {
    {.name = "qwen2",
     .also = kQwen2Names,
     .patterns = kQwen2,
     .spellings = kQwen2Spellings,
     .nfc = true},
    {.name = "grok-2", .also = {}, .patterns = kQwen2, .spellings = kQwen2Spellings},
    {.name = "llama-bpe",
     .also = kLlama3Names,
     .patterns = kLlama3,
     .spellings = kLlama3Spellings,
     .ignore_merges = true,
     .add_bos = true},
    {.name = "dbrx", .also = kDbrxNames, .patterns = kLlama3, .spellings = kLlama3Spellings},
    {.name = "gpt-2", .also = kGpt2Names, .patterns = kGpt2},
    {.name = "starcoder", .also = kStarcoderNames, .patterns = kStarcoder},
    {.name = "tekken", .also = {}, .patterns = kTekken, .ignore_merges = true, .add_bos = true},
};

struct ByteTable {
    std::array<std::string, 256> spelled;
    std::unordered_map<char32_t, uint8_t> bytes;

    ByteTable() {
        char32_t next = 0x100;
        for (unsigned byte = 0; byte < 256; ++byte) {
            const bool itself = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
            const char32_t character = itself ? byte : next++;
            append_utf8(spelled[byte], character);
            bytes.emplace(character, static_cast<uint8_t>(byte));
        }
    }
};

const ByteTable& table() {
    static const ByteTable bytes;
    return bytes;
}

bool has(Names names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::string_view spelled_byte(uint8_t byte) {
    return table().spelled[byte];
}

std::optional<std::string> bytes_of_spelled(std::string_view piece) {
    std::string bytes;
    while (!piece.empty()) {
        const CodePoint point = decode_utf8(piece);
        const auto byte = table().bytes.find(point.value);
        if (!point.valid || byte == table().bytes.end()) return std::nullopt;
        bytes += static_cast<char>(byte->second);
        piece.remove_prefix(point.length);
    }
    return bytes;
}

std::string spell(std::string_view bytes) {
    std::string piece;
    for (const char byte : bytes)
        piece += spelled_byte(static_cast<uint8_t>(byte));
    return piece;
}

const WordSplit* word_split_named(std::string_view name) {
    const auto* found = std::ranges::find_if(kSplits, [&](const WordSplit& split) {
        return split.name == name || has(split.also, name);
    });
    return found == std::end(kSplits) ? nullptr : found;
}

const WordSplit* word_split_of(const ByteLevel& level) {
    const auto* found = std::ranges::find_if(kSplits, [&](const WordSplit& split) {
        return std::ranges::equal(split.patterns, level.patterns) &&
               split.ignore_merges == level.ignore_merges && split.nfc == level.nfc;
    });
    return found == std::end(kSplits) ? nullptr : found;
}

std::string known_pattern(std::string_view pattern) {
    for (const WordSplit& split : kSplits)
        if (has(split.spellings, pattern)) return std::string(split.patterns.front());
    return std::string(pattern);
}

std::string word_split_names() {
    std::string names;
    for (const WordSplit& split : kSplits)
        names += (names.empty() ? "" : ", ") + std::string(split.name);
    return names;
}

}  // namespace core
