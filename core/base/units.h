// Numbers with units as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace core {

// "0 B", "950 kB", "310 MB", "1.2 GB": powers of 1000, at most three digits.
std::string human_bytes(uint64_t bytes);
// "80 ms", "0.8 s", "41 s", "3 min"
std::string human_seconds(double seconds);
// "1,200"
std::string with_commas(uint64_t number);
// "1 turn", "1,200 turns"
std::string counted(uint64_t number, std::string_view noun);

}  // namespace core
