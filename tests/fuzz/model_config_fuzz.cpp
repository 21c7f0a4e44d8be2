#include "core/formats/gguf.h"
#include "core/model/architecture.h"
#include "tests/core/formats/gguf_bytes.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void model_config(Bytes input) {
    const core::AlignedBytes bytes(input);
    expect(core::ErrorKind::model_unusable, [&] {
        const auto file = core::parse_gguf(bytes.span(), "fuzz");
        const core::ModelConfig config = core::config_from_file(*file);
        for (const core::LayerSpec& layer : config.layers) {
            const core::AttentionSpec& attention = layer.attention;
            if (attention.kv_heads == 0 || attention.heads % attention.kv_heads != 0 ||
                attention.head_dim == 0)
                __builtin_trap();
        }
    });
}

}  // namespace fuzz
