// The top-level objects of a JSON file, one after the other, whether they are elements of an array
// or stand on lines of their own. No more than one of them is in memory.
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

namespace core {

class JsonObjects {
  public:
    // More is no conversation of anybody: memory stays bounded, and so does the parser's nesting.
    static constexpr size_t kMaxBytes = size_t{64} << 20;
    static constexpr int kMaxDepth = 128;

    // Throws Error(storage) when the file cannot be read.
    explicit JsonObjects(const std::string& path);

    // The text of the next object, braces included; nothing: the end. Throws Error(storage).
    std::optional<std::string> next();
    // Of the object that was given last.
    uint64_t line() const { return begin_line_; }

    // "FILE:LINE" of that object.
    std::string place() const;

  private:
    int get();
    void take_string(std::string& text);
    [[noreturn]] void refuse(const std::string& problem) const;

    std::string path_;
    std::ifstream stream_;
    uint64_t line_ = 1;
    uint64_t begin_line_ = 0;
};

}  // namespace core
