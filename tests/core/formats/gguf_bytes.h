// Files in memory for the tests of formats: hexadecimal text, a builder of raw GGUF headers that
// can be made wrong in any field, and files that remove themselves.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace core {

// Bytes at an address aligned as that of a mapping, in an allocation of exactly their size, so that
// the sanitizer sees a read of one byte too many.
class AlignedBytes {
  public:
    explicit AlignedBytes(std::span<const std::byte> bytes)
        : size_(bytes.size()),
          data_(static_cast<std::byte*>(::operator new (bytes.size(), std::align_val_t{64}))) {
        if (!bytes.empty()) std::memcpy(data_.get(), bytes.data(), bytes.size());
    }
    explicit AlignedBytes(std::string_view text) : AlignedBytes(std::as_bytes(std::span(text))) {}

    std::span<std::byte> span() { return {data_.get(), size_}; }
    std::span<const std::byte> span() const { return {data_.get(), size_}; }
    size_t size() const { return size_; }

  private:
    struct Free {
        void operator()(std::byte* data) const { ::operator delete (data, std::align_val_t{64}); }
    };
    size_t size_;
    std::unique_ptr<std::byte, Free> data_;
};

inline AlignedBytes from_hex(std::string_view text) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    std::string bytes;
    for (size_t i = 0; i + 1 < text.size(); i += 2)
        bytes += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    return AlignedBytes(bytes);
}

// Appends fields of a GGUF file, without any check.
struct RawGguf {
    std::string bytes;

    template <class T>
    RawGguf& put(std::type_identity_t<T> value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
        return *this;
    }
    RawGguf& string(std::string_view text) {
        put<uint64_t>(text.size());
        bytes += text;
        return *this;
    }
    RawGguf& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
        bytes += "GGUF";
        return put<uint32_t>(version).put<uint64_t>(tensors).put<uint64_t>(keys);
    }
    // The name and type of a key; its value follows.
    RawGguf& key(std::string_view name, uint32_t type) { return string(name).put<uint32_t>(type); }
    RawGguf& tensor(std::string_view name, const std::vector<uint64_t>& shape, uint32_t type,
                    uint64_t offset) {
        string(name).put<uint32_t>(static_cast<uint32_t>(shape.size()));
        for (const uint64_t size : shape)
            put<uint64_t>(size);
        return put<uint32_t>(type).put<uint64_t>(offset);
    }
    // Pads to the alignment and appends data.
    RawGguf& data(size_t size, size_t alignment = 32) {
        bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
        bytes.append(size, '\x11');
        return *this;
    }
};

// A path of a test's own; what lies there in the end is removed.
class TemporaryFile {
  public:
    explicit TemporaryFile(std::string_view name)
        : path_("./formats-" + std::to_string(::getpid()) + "-" + std::string(name)) {}
    ~TemporaryFile() { ::unlink(path_.c_str()); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

inline std::vector<std::byte> read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

inline void write_file(const std::string& path, std::span<const std::byte> bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
}

}  // namespace core
