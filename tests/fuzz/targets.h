// What every fuzz target does with a file of any bytes: it ends in a value that can be walked or in
// core::Error of the expected kind; anything else is a trap. One function per parser; libfuzzer.cpp
// drives one of them, seeds_test.cpp all of them over the committed seeds.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace fuzz {

using Bytes = std::span<const std::byte>;

void gguf(Bytes bytes);            // a GGUF file and its metadata
void pickle(Bytes bytes);          // a file of a Grok-1 checkpoint
void safetensors(Bytes bytes);     // a safetensors file
void json_metadata(Bytes bytes);   // config.json, the index of shards
void model_config(Bytes bytes);    // the configuration in a GGUF's metadata
void hugging_face(Bytes bytes);    // config.json, a NUL and a safetensors file, as one model
void gguf_tokenizer(Bytes bytes);  // the vocabulary in a GGUF's metadata, and text through it
void sentencepiece(Bytes bytes);   // tokenizer.model, and text through it
void tokenizer_json(Bytes bytes);  // tokenizer.json, tokenizer.tok.json, tekken.json, and text
void import(Bytes bytes);          // chats of our own, ChatGPT's and ShareGPT's
void config(Bytes bytes);          // config.toml
void page_file(Bytes bytes);       // a page of the KV cache

inline std::string_view text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Runs `action`; an Error must be of this kind.
template <class Action>
void expect(core::ErrorKind kind, Action action) {
    try {
        action();
    } catch (const core::Error& error) {
        if (error.kind() != kind) __builtin_trap();
    }
}

// Keeps reads from being optimized away.
inline void keep(size_t value) {
    __asm__ volatile("" : : "r"(value));
}

// A file in memory, for parsers that take a path.
class MemoryFile {
  public:
    MemoryFile();
    ~MemoryFile();
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    void write(Bytes bytes) const;
    const std::string& path() const { return path_; }
    int descriptor() const { return file_; }

  private:
    int file_;
    std::string path_;
};

}  // namespace fuzz
