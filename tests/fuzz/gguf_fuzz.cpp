#include <cstdint>

#include "core/formats/gguf.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void gguf(Bytes input) {
    const core::AlignedBytes bytes(input);
    expect(core::ErrorKind::model_unusable, [&] {
        const auto file = core::parse_gguf(bytes.span(), "fuzz");
        size_t sum = 0;
        for (const core::TensorInfo& tensor : file->tensors()) {
            for (const std::byte byte : tensor.data)
                sum += static_cast<size_t>(byte);
            for (const std::byte byte : tensor.scales)
                sum += static_cast<size_t>(byte);
        }
        keep(sum);
        for (const auto& entry : file->metadata()) {
            const std::string& key = entry.first;
            // Most are of another type.
            expect(core::ErrorKind::model_unusable, [&] { file->meta_uint(key); });
            expect(core::ErrorKind::model_unusable, [&] { file->meta_strings(key); });
        }
    });
}

}  // namespace fuzz
