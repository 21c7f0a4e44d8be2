// The entry of libFuzzer: MOXIE_FUZZ_TARGET is one of the functions of targets.h.
#include <cstdint>

#include "tests/fuzz/targets.h"

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer calls it so.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz::MOXIE_FUZZ_TARGET(std::as_bytes(std::span(data, size)));
    return 0;
}
