#include "core/ops/elementwise.h"

#include <cmath>

namespace core {

void MatmulInput::begin(uint32_t tokens, uint32_t cols) {
    tokens_ = tokens;
    cols_ = cols;
    wants_floats_ = wants_quantized_ = false;
}

const Activations* MatmulInput::want(DType weight_type) {
    const bool floats =
        weight_type == DType::f32 || weight_type == DType::f16 || weight_type == DType::bf16;
    bool& wanted = floats ? wants_floats_ : wants_quantized_;
    Activations& form = floats ? floats_ : quantized_;
    if (!wanted) form.resize(weight_type, tokens_, cols_);
    wanted = true;
    return &form;
}

void MatmulInput::fill_row(const Kernels& kernels, uint32_t token, const float* x) {
    if (wants_floats_) floats_.assign_row(kernels, token, x);
    if (wants_quantized_) quantized_.assign_row(kernels, token, x);
}

void RotationTable::assign(std::span<const uint32_t> positions,
                           std::span<const float> inverse_frequencies, float magnitude) {
    half_ = static_cast<uint32_t>(inverse_frequencies.size());
    values_.resize(positions.size() * 2 * half_);
    float* out = values_.data();
    for (const uint32_t position : positions) {
        for (uint32_t i = 0; i < half_; ++i) {
            const double angle = static_cast<double>(position) * inverse_frequencies[i];
            out[i] = static_cast<float>(std::cos(angle)) * magnitude;
            out[half_ + i] = static_cast<float>(std::sin(angle)) * magnitude;
        }
        out += size_t{2} * half_;
    }
}

void rotate_heads(const VectorKernels& kernels, const RotationTable& table, uint32_t row,
                  bool adjacent, std::span<float> heads, uint32_t head_dim) {
    const auto rotate = adjacent ? kernels.rotate_adjacent : kernels.rotate_half;
    for (size_t at = 0; at < heads.size(); at += head_dim)
        rotate(heads.data() + at, table.cos(row), table.sin(row), table.half());
}

}  // namespace core
