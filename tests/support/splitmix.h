// splitmix64 (Steele, Lea, Flood 2014) and FNV-1a: the generator of the golden toy models, and of
// every synthetic model here. Number i of a stream needs no number before it.
#pragma once

#include <cstdint>
#include <string_view>

namespace support {

class Splitmix {
  public:
    static constexpr uint64_t kStep = 0x9E3779B97F4A7C15U;

    explicit Splitmix(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += kStep;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
        return z ^ (z >> 31);
    }

  private:
    uint64_t state_;
};

inline uint64_t fnv1a(std::string_view name) {
    uint64_t hash = 0xCBF29CE484222325U;
    for (const char c : name)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
    return hash;
}

}  // namespace support
