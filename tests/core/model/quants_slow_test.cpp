// Models whose matrices are of the types that GGUF files come in: the engine computes what the
// dequantized weights mean, with the same bits in every tier and however a prompt is cut.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/tensor/quantize.h"
#include "tests/support/loaded_model.h"
#include "tests/support/tiny_model.h"

namespace {

using core::DType;
using support::Family;

constexpr core::TokenId kTokens[] = {1, 7, 3, 41, 22, 9, 9, 30, 47, 5, 12, 18};

bool is_matrix(const support::StoredTensor& tensor, DType type) {
    return tensor.shape.size() > 1 && !tensor.name.ends_with("ffn_gate_inp.weight") &&
           tensor.shape[0] % core::traits(type).block == 0;
}

// Rows of floats become blocks of `type`, or the floats that those blocks stand for.
void quantize(support::StoredTensor& tensor, DType type, bool stand_for) {
    const size_t cols = tensor.shape[0];
    std::vector<float> row(cols);
    std::vector<std::byte> blocks(core::row_bytes(type, cols));
    std::vector<std::byte> out;
    for (size_t at = 0; at < tensor.data.size(); at += cols * sizeof(float)) {
        std::memcpy(row.data(), &tensor.data[at], cols * sizeof(float));
        core::quantize_row(type, row, blocks);
        if (stand_for) core::dequantize_row(type, blocks, row);
        const auto bytes =
            stand_for ? std::as_bytes(std::span(row)) : std::span<const std::byte>(blocks);
        out.insert(out.end(), bytes.begin(), bytes.end());
    }
    tensor.data = std::move(out);
    if (!stand_for) tensor.type = type;
}

support::TestModel quantized(DType type, bool stand_for) {
    support::TestModel model = support::wide_model(Family::llama, support::Storage::f32);
    for (support::StoredTensor& tensor : model.tensors)
        if (is_matrix(tensor, type)) quantize(tensor, type, stand_for);
    return model;
}

class ModelOfType : public testing::TestWithParam<DType> {};

INSTANTIATE_TEST_SUITE_P(Types, ModelOfType,
                         testing::Values(DType::q4_1, DType::q5_0, DType::q5_1, DType::q4_k,
                                         DType::q5_k, DType::q6_k, DType::iq4_nl),
                         [](const auto& instance) {
                             return std::string(core::traits(instance.param).name);
                         });

TEST_P(ModelOfType, MeansItsDequantizedWeights) {
    support::LoadedModel own(quantized(GetParam(), false), core::select_kernels(), 2);
    support::LoadedModel plain(quantized(GetParam(), true), core::select_kernels(), 2);
    const auto rows = own.forward_in_chunks(core::KvType::f32, kTokens, 12);
    const auto expected = plain.forward_in_chunks(core::KvType::f32, kTokens, 12);
    for (size_t i = 0; i < rows.size(); ++i) {
        // Activations are rounded to 8 bits on the way.
        const std::vector<double> wanted(expected[i].begin(), expected[i].end());
        EXPECT_LT(support::relative_error(rows[i], wanted), 0.05) << i;
    }
}

TEST_P(ModelOfType, HasTheSameBitsInEveryTierAndChunking) {
    const support::TestModel model = quantized(GetParam(), false);
    support::LoadedModel best(model, core::select_kernels(), 2);
    const auto expected = best.forward_in_chunks(core::KvType::f16, kTokens, 12);
    EXPECT_EQ(best.forward_in_chunks(core::KvType::f16, kTokens, 1), expected);
    for (const core::Kernels* kernels : core::all_kernels()) {
        support::LoadedModel other(model, *kernels, 1);
        EXPECT_EQ(other.forward_in_chunks(core::KvType::f16, kTokens, 5), expected)
            << kernels->name;
    }
}

}  // namespace
