#include "core/base/bytes.h"

#include <utility>

#include "core/base/error.h"

namespace core {

std::span<const std::byte> ByteReader::take(uint64_t length, std::string_view what) {
    if (length > remaining()) {
        fail("ends at byte " + std::to_string(bytes_.size()) + " while reading the " +
                 std::string(what) + " at byte " + std::to_string(offset_) + ", which has " +
                 std::to_string(length) + " bytes",
             "the file is damaged or incomplete");
    }
    const auto taken = bytes_.subspan(offset_, length);
    offset_ += length;
    return taken;
}

std::string ByteReader::string(uint64_t length, uint64_t cap, std::string_view what) {
    if (length > cap) {
        fail("the " + std::string(what) + " at byte " + std::to_string(offset_) + " has " +
                 std::to_string(length) + " bytes, more than " + std::to_string(cap),
             "the file is damaged");
    }
    const auto bytes = take(length, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void ByteReader::fail(std::string problem, std::string advice) const {
    throw Error(ErrorKind::model_unusable, object_, std::move(problem), std::move(advice));
}

}  // namespace core
