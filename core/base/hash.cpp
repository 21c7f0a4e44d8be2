#include "core/base/hash.h"

#include <xxhash.h>

#include <cstdio>
#include <new>

#include "core/base/error.h"

namespace core {

struct Hasher128::State {
    XXH3_state_t* state = XXH3_createState();  // aligned to 64, which `new` alone is not

    State() {
        if (state == nullptr) throw std::bad_alloc();
    }
    ~State() { XXH3_freeState(state); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;
};

std::string Hash128::hex() const {
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high),
                  static_cast<unsigned long long>(low));
    return text;
}

uint64_t hash64(std::span<const std::byte> bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

Hash128 hash128(std::span<const std::byte> bytes, uint64_t seed) {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
    return {.high = hash.high64, .low = hash.low64};
}

Hasher128::Hasher128(uint64_t seed) : state_(std::make_unique<State>()) {
    MOXIE_CHECK(XXH3_128bits_reset_withSeed(state_->state, seed) == XXH_OK);
}

Hasher128::~Hasher128() = default;
Hasher128::Hasher128(Hasher128&&) noexcept = default;
Hasher128& Hasher128::operator=(Hasher128&&) noexcept = default;

void Hasher128::update(std::span<const std::byte> bytes) {
    MOXIE_CHECK(XXH3_128bits_update(state_->state, bytes.data(), bytes.size()) == XXH_OK);
}

Hash128 Hasher128::digest() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_->state);
    return {.high = hash.high64, .low = hash.low64};
}

}  // namespace core
