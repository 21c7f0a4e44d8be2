#include "core/base/hash.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace core {
namespace {

std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

// The published values of XXH3 for the empty input (xxhash, tests/sanity_test_vectors.h): stored
// names and checksums rely on the algorithm staying the same.
TEST(Hash, MatchesThePublishedVectors) {
    EXPECT_EQ(hash64({}), 0x2D06800538D394C2u);
    EXPECT_EQ(hash128({}).hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, PiecesHashLikeTheWhole) {
    std::string text;
    for (int i = 0; i < 1000; ++i)
        text += static_cast<char>(i * 31);
    const Hash128 whole = hash128(as_bytes(text), 5);
    for (const size_t cut : {0u, 1u, 240u, 241u, 999u, 1000u}) {
        Hasher128 hasher(5);
        hasher.update(as_bytes(text).first(cut));
        (void)hasher.digest();
        hasher.update(as_bytes(text).subspan(cut));
        EXPECT_EQ(hasher.digest(), whole) << cut;
    }
}

TEST(Hash, SeedAndContentsMatter) {
    EXPECT_NE(hash64(as_bytes("a")), hash64(as_bytes("b")));
    EXPECT_NE(hash64(as_bytes("a"), 1), hash64(as_bytes("a"), 2));
    EXPECT_NE(hash128(as_bytes("a"), 1), hash128(as_bytes("a"), 2));
    EXPECT_NE(hash128({}), hash128(as_bytes(std::string_view("\0", 1))));
}

}  // namespace
}  // namespace core
