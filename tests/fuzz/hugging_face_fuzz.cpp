#include <algorithm>
#include <utility>
#include <vector>

#include "core/formats/json_metadata.h"
#include "core/formats/safetensors.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face.h"
#include "core/model/weights.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/fuzz/targets.h"

namespace fuzz {
namespace {

// As the loader and the converter read them: all rows, and all but the first.
void read(const core::WeightFile& file, const core::TensorInfo& tensor) {
    const uint64_t rows = tensor.rows();
    for (uint64_t first = 0; first < std::min<uint64_t>(rows, 2); ++first) {
        std::vector<std::byte> values(tensor.value_bytes() / rows * (rows - first));
        std::vector<std::byte> scales(tensor.scale_bytes() / rows * (rows - first));
        file.read_rows(tensor, first, values, scales);
        file.prefetch_rows(tensor, first, rows - first);
        file.release_rows(tensor, first, rows - first);
        for (const std::byte byte : values)
            keep(static_cast<size_t>(byte));
    }
}

}  // namespace

void hugging_face(Bytes input) {
    const auto end = std::ranges::find(input, std::byte{0});
    const Bytes config(input.begin(), end);
    const core::AlignedBytes weights(end == input.end() ? Bytes() : Bytes(end + 1, input.end()));
    expect(core::ErrorKind::model_unusable, [&] {
        const auto file = core::with_gguf_names(core::parse_safetensors(
            weights.span(), "fuzz", core::read_json_metadata(config, "fuzz")));
        for (const core::TensorInfo& tensor : file->tensors())
            read(*file, tensor);
        core::check_tensors(*file, core::config_from_file(*file));
    });
}

}  // namespace fuzz
