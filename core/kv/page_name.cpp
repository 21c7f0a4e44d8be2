#include "core/kv/page_name.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "core/base/error.h"

namespace core {
namespace {

// Hashed first, so that a name of one kind is never one of the other.
constexpr uint64_t kRootSeed = 0x6d6f786965726f6f;
constexpr uint64_t kPageSeed = 0x6d6f786965706167;

template <class T>
void add(Hasher128& hasher, const T& value) {
    hasher.update(std::as_bytes(std::span(&value, 1)));
}

}  // namespace

PageName root_name(const CacheIdentity& identity, std::string_view scope) {
    Hasher128 hasher(kRootSeed);
    add(hasher, kPageFileVersion);
    add(hasher, identity.model.high);
    add(hasher, identity.model.low);
    add(hasher, static_cast<uint32_t>(identity.type));
    add(hasher, kPagePositions);
    add(hasher, identity.numerics_version);
    add(hasher, static_cast<uint32_t>(identity.numerics_class.size()));
    hasher.update(std::as_bytes(std::span(identity.numerics_class)));
    hasher.update(std::as_bytes(std::span(scope)));
    return hasher.digest();
}

PageName page_name(const PageName& parent, std::span<const TokenId> tokens) {
    MOXIE_CHECK(!tokens.empty() && tokens.size() <= kPagePositions);
    std::array<std::byte, sizeof(uint64_t) * 2 + sizeof(TokenId) * kPagePositions> bytes{};
    auto end = std::ranges::copy(std::as_bytes(std::span(&parent.high, 1)), bytes.begin()).out;
    end = std::ranges::copy(std::as_bytes(std::span(&parent.low, 1)), end).out;
    end = std::ranges::copy(std::as_bytes(tokens), end).out;
    return hash128({bytes.begin(), end}, kPageSeed);
}

size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
    return static_cast<size_t>(std::distance(a.begin(), std::ranges::mismatch(a, b).in1));
}

}  // namespace core
