// Fuzzing the restricted unpickler: any bytes end in arrays within them or in core::Error.
// Built with -DMOXIE_FUZZ=ON and clang; run: pickle_fuzz -max_len=4096 CORPUS
// tests/fuzz/seeds/pickle
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/formats/pickle.h"

namespace {

bool lies_within(const core::PickledArray& array, size_t size) {
    return array.length <= size && array.offset <= size - array.length;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    try {
        const core::PickledTensor tensor =
            core::read_pickle(std::as_bytes(std::span(data, size)), "fuzz");
        if (!lies_within(tensor.values, size)) __builtin_trap();
        if (tensor.scales && !lies_within(*tensor.scales, size)) __builtin_trap();
    } catch (const core::Error& error) {
        if (error.kind() != core::ErrorKind::model_unusable) __builtin_trap();
    }
    return 0;
}
