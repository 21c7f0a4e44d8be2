// Bounds-checked reading of untrusted little-endian bytes.
//
// Every parser of a foreign format reads through a ByteReader: an overrun throws
// Error(model_unusable) that names the object, the place and what was being read.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace core {

static_assert(std::endian::native == std::endian::little,
              "formats are little-endian and read by memcpy; a big-endian port swaps in read()");

class ByteReader {
  public:
    // `object` names the source in messages. REQUIRES: bytes outlive the reader.
    ByteReader(std::span<const std::byte> bytes, std::string object)
        : bytes_(bytes), object_(std::move(object)) {}

    const std::string& object() const { return object_; }
    uint64_t offset() const { return offset_; }
    uint64_t remaining() const { return bytes_.size() - offset_; }

    // A number in little-endian order. `what` names it in the message of an overrun.
    template <class T>
    T read(std::string_view what) {
        static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>,
                      "a bool is read as a byte and checked by its parser");
        T value;
        std::memcpy(&value, take(sizeof(T), what).data(), sizeof(T));
        return value;
    }

    // The next `length` bytes, as a view into the source.
    std::span<const std::byte> take(uint64_t length, std::string_view what);

    // The next `length` bytes as a string; more than `cap` of them is an error too.
    std::string string(uint64_t length, uint64_t cap, std::string_view what);

    void skip(uint64_t length, std::string_view what) { take(length, what); }

    // Throws Error(model_unusable) about this object.
    [[noreturn]] void fail(std::string problem, std::string advice = {}) const;

  private:
    std::span<const std::byte> bytes_;
    uint64_t offset_ = 0;
    std::string object_;
};

}  // namespace core
