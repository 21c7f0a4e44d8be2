// Fuzzing the GGUF reader: any bytes end in a file that can be walked or in core::Error.
// Built with -DMOXIE_FUZZ=ON and clang; run: gguf_fuzz -max_len=4096 CORPUS tests/fuzz/seeds/gguf
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/error.h"
#include "core/formats/gguf.h"
#include "tests/core/formats/gguf_bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const core::AlignedBytes bytes(std::as_bytes(std::span(data, size)));
    try {
        const auto file = core::parse_gguf(bytes.span(), "fuzz");
        uint64_t sum = 0;
        for (const core::TensorInfo& tensor : file->tensors()) {
            for (const std::byte byte : tensor.data)
                sum += static_cast<uint64_t>(byte);
            for (const std::byte byte : tensor.scales)
                sum += static_cast<uint64_t>(byte);
        }
        // Kept alive by a side effect, so that the reads are not optimized away.
        static volatile uint64_t kept = 0;
        kept = sum;
        for (const auto& [key, value] : file->metadata()) {
            try {
                file->meta_uint(key);
                file->meta_strings(key);
            } catch (const core::Error&) {
                continue;  // of another type
            }
        }
    } catch (const core::Error& error) {
        if (error.kind() != core::ErrorKind::model_unusable) __builtin_trap();
    }
    return 0;
}
