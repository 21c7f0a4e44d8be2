// Fast hashes that are not cryptographic (XXH3): names of cache pages, checksums, identities.
// The values are the same on every machine and may be stored. The only file that uses xxhash.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace core {

struct Hash128 {
    uint64_t high = 0;
    uint64_t low = 0;

    // 32 hexadecimal digits.
    std::string hex() const;

    friend bool operator==(const Hash128&, const Hash128&) = default;
    friend bool operator<(const Hash128& a, const Hash128& b) {
        return a.high != b.high ? a.high < b.high : a.low < b.low;
    }
};

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed = 0);
Hash128 hash128(std::span<const std::byte> bytes, uint64_t seed = 0);

// The 128-bit hash of bytes that come in pieces: equal to hash128 of all of them together.
class Hasher128 {
  public:
    explicit Hasher128(uint64_t seed = 0);
    ~Hasher128();
    Hasher128(Hasher128&&) noexcept;
    Hasher128& operator=(Hasher128&&) noexcept;

    void update(std::span<const std::byte> bytes);
    // Of what came so far; update() may go on.
    Hash128 digest() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace core
