#include "core/formats/json_metadata.h"
#include "core/formats/safetensors.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void safetensors(Bytes bytes) {
    expect(core::ErrorKind::model_unusable, [&] {
        const auto file = core::parse_safetensors(bytes, "fuzz");
        size_t sum = 0;
        for (const core::TensorInfo& tensor : file->tensors()) {
            if (tensor.data.size() != tensor.value_bytes()) __builtin_trap();
            for (const std::byte byte : tensor.data)
                sum += static_cast<size_t>(byte);
        }
        keep(sum);
    });
}

void json_metadata(Bytes bytes) {
    expect(core::ErrorKind::model_unusable,
           [&] { keep(core::read_json_metadata(bytes, "fuzz").size()); });
}

}  // namespace fuzz
