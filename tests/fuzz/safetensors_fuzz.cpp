// Fuzzing the safetensors reader and the reader of JSON settings: any bytes end in a file that can
// be walked or in core::Error. Built with -DMOXIE_FUZZ=ON and clang; run: safetensors_fuzz
// -max_len=4096 CORPUS tests/fuzz/seeds/safetensors
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/formats/json_metadata.h"
#include "core/formats/safetensors.h"

namespace {

// Kept alive by a side effect, so that the reads are not optimized away.
volatile uint64_t kept = 0;

void walk(const core::WeightFile& file) {
    uint64_t sum = 0;
    for (const core::TensorInfo& tensor : file.tensors()) {
        if (tensor.data.size() != tensor.value_bytes()) __builtin_trap();
        for (const std::byte byte : tensor.data)
            sum += static_cast<uint64_t>(byte);
    }
    kept = sum;
}

template <class Action>
void expect_error_or_success(Action action) {
    try {
        action();
    } catch (const core::Error& error) {
        if (error.kind() != core::ErrorKind::model_unusable) __builtin_trap();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    expect_error_or_success([&] { walk(*core::parse_safetensors(bytes, "fuzz")); });
    expect_error_or_success([&] { kept = core::read_json_metadata(bytes, "fuzz").size(); });
    return 0;
}
