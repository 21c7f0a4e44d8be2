// Every family in every container: the same weights give the same logits as from GGUF, bit by bit,
// and those of naive_forward.
#include "tests/support/containers.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/formats/grok1_checkpoint.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face.h"
#include "tests/support/loaded_model.h"
#include "tests/support/naive_forward.h"
#include "tests/support/safetensors_file.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace {

using support::Family;
using support::HuggingFaceLayout;
using support::Storage;
using support::TensorToSave;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr core::TokenId kTokens[] = {1, 7, 3, 41, 22, 9, 9, 30, 47, 5, 12, 18};

constexpr Family kHuggingFaceFamilies[] = {Family::grok2,   Family::llama,    Family::mixtral,
                                           Family::qwen2,   Family::qwen2moe, Family::qwen3,
                                           Family::qwen3moe};

support::Rows logits_of(support::LoadedModel& loaded) {
    return loaded.forward_in_chunks(core::KvType::f32, kTokens, std::size(kTokens));
}

support::Rows logits_of_file(const core::WeightFile& file) {
    support::LoadedModel loaded(file, core::select_kernels(), 2);
    return logits_of(loaded);
}

support::Rows logits_of_gguf(const support::TestModel& model) {
    support::LoadedModel loaded(model, core::select_kernels(), 2);
    return logits_of(loaded);
}

void expect_naive(const support::TestModel& model, const support::Rows& rows) {
    support::NaiveForward forward(model.reference, {.activations = true});
    for (size_t i = 0; i < std::size(kTokens); ++i)
        EXPECT_LT(support::relative_error(rows[i], forward.step(kTokens[i])), 1e-3) << i;
}

class Containers : public testing::TestWithParam<Family> {};

INSTANTIATE_TEST_SUITE_P(Families, Containers, testing::ValuesIn(kHuggingFaceFamilies),
                         [](const testing::TestParamInfo<Family>& instance) {
                             return name(instance.param);
                         });

TEST_P(Containers, HuggingFaceGivesTheBitsOfGguf) {
    for (const Storage storage : {Storage::bf16, Storage::f32}) {
        const support::TestModel model = support::tiny_model(GetParam(), storage);
        const support::Rows expected = logits_of_gguf(model);
        expect_naive(model, expected);
        for (const auto layout : {HuggingFaceLayout::one_file, HuggingFaceLayout::sharded}) {
            const support::TemporaryFolder folder;
            write_hugging_face(model, GetParam(), layout, folder.path());
            EXPECT_EQ(logits_of_file(*core::open_model(folder.path())), expected)
                << name(storage) << " layout " << static_cast<int>(layout);
        }
    }
}

TEST_P(Containers, HuggingFaceMeansTheSameModelAsGguf) {
    const support::TestModel model = support::golden_model(GetParam());
    const support::TemporaryFolder folder;
    write_hugging_face(model, GetParam(), HuggingFaceLayout::one_file, folder.path());
    EXPECT_EQ(logits_of_file(*core::open_model(folder.path())), logits_of_gguf(model));
}

TEST(Containers, Grok2ShardsAreStitchedAlongTheRightAxes) {
    const support::TestModel model = support::tiny_model(Family::grok2, Storage::bf16);
    const support::TemporaryFolder folder;
    write_hugging_face(model, Family::grok2, HuggingFaceLayout::tensor_parallel, folder.path());
    EXPECT_EQ(logits_of_file(*core::open_model(folder.path())), logits_of_gguf(model));
    // 7 of 8 shards are no whole expert.
    std::remove((folder.path() + "/pytorch_model-00006-TP-007.safetensors").c_str());
    try {
        logits_of_file(*core::open_model(folder.path()));
        ADD_FAILURE() << "was accepted";
    } catch (const core::Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("ffn_gate_exps.weight has shape [64, 84, 4]"));
    }
}

TEST(Containers, Grok1CheckpointGivesTheBitsOfGguf) {
    const support::TestModel model = support::tiny_checkpoint();
    const support::TemporaryFolder folder;
    write_grok1_checkpoint(model, folder.path());
    const support::Rows rows = logits_of_file(*core::open_model(folder.path()));
    EXPECT_EQ(rows, logits_of_gguf(model));
    expect_naive(model, rows);
}

TEST(Containers, Grok1CheckpointOfFloatsMeetsTheGoldenModel) {
    const support::TestModel model = support::golden_model(Family::grok1);
    const support::TemporaryFolder folder;
    write_grok1_checkpoint(model, folder.path());
    const auto file = core::open_grok1_checkpoint(folder.path(), {.head_dim = 8});
    EXPECT_EQ(logits_of_file(*file), logits_of_gguf(model));
}

// A folder with one matrix of llama under a name that has no special order.
class OneMatrix : public testing::Test {
  protected:
    static constexpr const char* kName = "model.layers.0.mlp.gate_proj.weight";

    std::unique_ptr<core::WeightFile> open(const std::vector<TensorToSave>& tensors,
                                           const std::string& more = "",
                                           const std::string& model = "LlamaForCausalLM") {
        support::write_text(directory.path() + "/model.safetensors",
                            support::safetensors_bytes(tensors));
        support::write_text(directory.path() + "/config.json",
                            R"({"architectures": [")" + model +
                                R"("], "num_hidden_layers": 1, "hidden_size": 64,
                                "num_attention_heads": 4, "rope_theta": 500000.0)" +
                                more + "}");
        return core::open_model(directory.path());
    }

    std::string refusal(const std::vector<TensorToSave>& tensors, const std::string& more = "",
                        const std::string& model = "LlamaForCausalLM") {
        try {
            open(tensors, more, model);
        } catch (const core::Error& error) {
            EXPECT_EQ(error.kind(), core::ErrorKind::model_unusable);
            return error.what();
        }
        ADD_FAILURE() << "was accepted";
        return {};
    }

    static TensorToSave fp8(std::vector<uint64_t> shape) {
        TensorToSave tensor{kName, "F8_E4M3", std::move(shape), {}};
        for (uint64_t i = 0; i < tensor.shape[0] * tensor.shape[1]; ++i)
            tensor.data.push_back(static_cast<std::byte>(i * 37 % 0x7f));
        return tensor;
    }
    static TensorToSave scales(const char* suffix, std::vector<uint64_t> shape) {
        TensorToSave tensor{kName + std::string(suffix), "F32", std::move(shape), {}};
        uint64_t count = 1;
        for (const uint64_t size : tensor.shape)
            count *= size;
        for (uint64_t i = 0; i < count; ++i) {
            const float value = 0.01F * static_cast<float>(i + 1);
            const auto bytes = std::as_bytes(std::span(&value, 1));
            tensor.data.insert(tensor.data.end(), bytes.begin(), bytes.end());
        }
        return tensor;
    }

    // value[r][c] of the tensor must be byte * 0.01 * (scale(r, c) + 1), rounded to bf16.
    template <class Index>
    static void expect_scaled(const core::WeightFile& file, const TensorToSave& source,
                              Index index) {
        const core::TensorInfo* tensor = file.find_tensor("blk.0.ffn_gate.weight");
        ASSERT_NE(tensor, nullptr);
        ASSERT_EQ(tensor->type, core::DType::bf16);
        std::vector<std::byte> values(tensor->value_bytes());
        file.read_rows(*tensor, 0, values, {});
        const uint64_t cols = source.shape[1];
        for (uint64_t i = 0; i < source.data.size(); ++i) {
            uint16_t bits = 0;
            std::memcpy(&bits, &values[2 * i], sizeof bits);
            const float scale = 0.01F * static_cast<float>(index(i / cols, i % cols) + 1);
            const float exact = core::e4m3_to_f32(static_cast<uint8_t>(source.data[i])) * scale;
            ASSERT_EQ(bits, core::f32_to_bf16(exact)) << i;
        }
    }

    support::TemporaryFolder directory;
};

TEST_F(OneMatrix, Fp8IsMultipliedByOneScale) {
    const TensorToSave weights = fp8({6, 64});
    expect_scaled(*open({weights, scales("_scale", {})}), weights,
                  [](uint64_t, uint64_t) { return uint64_t{0}; });
}

TEST_F(OneMatrix, Fp8IsMultipliedByTheScaleOfItsRow) {
    const TensorToSave weights = fp8({6, 64});
    for (const auto& shape : {std::vector<uint64_t>{6, 1}, std::vector<uint64_t>{6}})
        expect_scaled(*open({weights, scales("_scale", shape)}), weights,
                      [](uint64_t row, uint64_t) { return row; });
}

TEST_F(OneMatrix, Fp8IsMultipliedByTheScaleOfItsBlock) {
    const TensorToSave weights = fp8({40, 96});
    const auto file = open({weights, scales("_scale_inv", {3, 3})},
                           R"(, "quantization_config": {"weight_block_size": [16, 32]})");
    expect_scaled(*file, weights,
                  [](uint64_t row, uint64_t col) { return row / 16 * 3 + col / 32; });
}

TEST_F(OneMatrix, ScalesThatDoNotFitAreRefused) {
    EXPECT_THAT(refusal({fp8({6, 64})}), HasSubstr("has no scales"));
    EXPECT_THAT(refusal({fp8({6, 64}), scales("_scale", {5, 1})}),
                HasSubstr("5 x 1 scales for 6 x 64 weights"));
    EXPECT_THAT(refusal({fp8({6, 64}), scales("_scale_inv", {2, 2})}),
                HasSubstr("2 x 2 scales for 6 x 64 weights"));
}

TEST_F(OneMatrix, Int8WithScalesOfRowsBecomesI8c) {
    TensorToSave weights = fp8({6, 64});
    weights.type = "I8";
    const auto file = open({weights, scales("_scale", {6, 1})});
    const core::TensorInfo* tensor = file->find_tensor("blk.0.ffn_gate.weight");
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->type, core::DType::i8c);
    EXPECT_EQ(tensor->scale_groups, 1u);
    std::vector<std::byte> values(6 * 64);
    std::vector<std::byte> read(6 * 2);
    file->read_rows(*tensor, 0, values, read);
    EXPECT_EQ(values, weights.data);
    uint16_t last = 0;
    std::memcpy(&last, &read[10], sizeof last);
    EXPECT_EQ(last, core::f32_to_bf16(0.06F));
}

TEST_F(OneMatrix, RopeScalingOfLlama31BecomesDivisors) {
    const auto file = open({}, R"(, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})");
    const core::TensorInfo* divisors = file->find_tensor("rope_freqs.weight");
    ASSERT_NE(divisors, nullptr);
    ASSERT_EQ(divisors->elements(), 8u);
    std::vector<float> values(8);
    std::memcpy(values.data(), divisors->data.data(), divisors->data.size());
    // Head of 16, theta 500000. Wavelengths in tokens: 6.3, 32.4, 167, 862, 4443, 22911 ...: all
    // below 8192 / 4 stay, all above 8192 are divided, 4443 lies between.
    for (int i = 0; i < 4; ++i)
        EXPECT_EQ(values[i], 1.0F) << i;
    const double wavelength = 2 * M_PI * std::pow(500000.0, 0.5);
    const double kept = (8192 / wavelength - 1) / 3;
    EXPECT_NEAR(values[4], 1 / ((1 - kept) / 8 + kept), 1e-5);
    for (int i = 5; i < 8; ++i)
        EXPECT_EQ(values[i], 8.0F) << i;
}

TEST_F(OneMatrix, YarnIsExpressedInGgufsKeys) {
    const auto file = open({}, R"(, "max_position_embeddings": 131072, "rope_scaling": {
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
        "attention_factor": 2.0})");
    EXPECT_EQ(file->meta_string("llama.rope.scaling.type"), "yarn");
    EXPECT_EQ(file->meta_float("llama.rope.scaling.factor"), 4.0);
    EXPECT_EQ(file->meta_uint("llama.rope.scaling.original_context_length"), 32768u);
    EXPECT_NEAR(
        *file->meta_float("llama.rope.scaling.yarn_attn_factor") * (1 + 0.1 * std::log(4.0)), 2.0,
        1e-12);
    EXPECT_EQ(file->meta_float("llama.rope.freq_base"), 500000.0);
}

// Grok-2's own numbers: frequencies up to pair 17 stay, those from 24 on are divided by 16.
TEST_F(OneMatrix, GroksScaledRotationsBecomeDivisors) {
    const auto divisors = [&](const std::string& kind) {
        const auto file = open({},
                               R"(, "head_dim": 128, "rope_type": ")" + kind +
                                   R"(", "scaling_factor": 16.0, "beta_fast": 8, "beta_slow": 1,
                                       "original_max_position_embeddings": 8192,
                                       "max_position_embeddings": 131072)",
                               "Grok1ForCausalLM");
        std::vector<float> values;
        const core::TensorInfo* tensor = file->find_tensor("rope_freqs.weight");
        if (tensor == nullptr) return values;
        values.resize(tensor->elements());
        std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
        return values;
    };
    EXPECT_TRUE(divisors("original").empty());
    for (const char* kind : {"yarn", "yarn_linear", "yarn_log"}) {
        const std::vector<float> values = divisors(kind);
        ASSERT_EQ(values.size(), 64u);
        // theta is 500000 here, so that the ramp lies elsewhere than in the release.
        EXPECT_EQ(values.front(), 1.0F) << kind;
        EXPECT_EQ(values.back(), 16.0F) << kind;
        EXPECT_TRUE(std::ranges::is_sorted(values)) << kind;
    }
    const std::vector<float> scaled = divisors("theta_scale");
    EXPECT_EQ(scaled.front(), 1.0F);
    // The slowest frequency of a base b^(ln(O s / 2 pi) / ln(O / 2 pi)).
    const double exponent = std::log(8192 * 16 / 6.283185307) / std::log(8192 / 6.283185307);
    EXPECT_NEAR(scaled.back(), std::pow(500000.0, (exponent - 1) * 126 / 128), 1e-2);
}

// Row 2i + half of a head is row (half, i) of the checkpoint, for a bias as for its matrix.
TEST_F(OneMatrix, BiasesOfRotatedHeadsMoveWithTheirRows) {
    TensorToSave bias{"model.layers.0.self_attn.q_proj.bias", "F32", {64}, {}};
    for (int i = 0; i < 64; ++i) {
        const auto value = static_cast<float>(i);
        const auto bytes = std::as_bytes(std::span(&value, 1));
        bias.data.insert(bias.data.end(), bytes.begin(), bytes.end());
    }
    const auto file = open({bias});
    const core::TensorInfo* tensor = file->find_tensor("blk.0.attn_q.bias");
    ASSERT_NE(tensor, nullptr);
    std::vector<float> values(64);
    file->read_rows(*tensor, 0, std::as_writable_bytes(std::span(values)), {});
    EXPECT_EQ(values[0], 0.0F);
    EXPECT_EQ(values[1], 8.0F);
    EXPECT_EQ(values[2], 1.0F);
    EXPECT_EQ(values[17], 24.0F) << "heads have 16 rows";
}

TEST_F(OneMatrix, UnknownModelsAndRotationsAreRefused) {
    EXPECT_THAT(refusal({}, R"(, "rope_scaling": {"type": "longrope"})"),
                HasSubstr("known are default, linear, yarn and llama3"));
    EXPECT_THAT(refusal({}, "", "MambaForCausalLM"), HasSubstr("is a MambaForCausalLM"));
    EXPECT_THAT(refusal({}, R"(, "rope_type": "spiral")", "Grok1ForCausalLM"),
                HasSubstr("rope_type is \"spiral\""));
    EXPECT_THAT(refusal({}, R"(, "use_sliding_window": true)", "Qwen2ForCausalLM"),
                HasSubstr("use_sliding_window"));
}

TEST_F(OneMatrix, ExpertsMissingInTheMiddleAreNamed) {
    const auto expert = [](int e) {
        return TensorToSave{"model.layers.0.mlp.experts." + std::to_string(e) + ".up_proj.weight",
                            "I16",
                            {2, 2},
                            std::vector<std::byte>(8)};
    };
    EXPECT_THAT(refusal({expert(0), expert(2)}, R"(, "num_experts": 3)", "Qwen3MoeForCausalLM"),
                HasSubstr("experts.1.up_proj.weight is missing"));
}

}  // namespace
