// What export writes is read back with moxie's own reader.
#include "app/train/export.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "core/formats/weight_file.h"
#include "core/tensor/quantize.h"

namespace train {
namespace {

constexpr int64_t kVocab = 96;

core::Vocabulary vocabulary_of(int64_t size) {
    core::Vocabulary vocabulary;
    for (int64_t i = 0; i < size; ++i) {
        vocabulary.pieces.push_back("p" + std::to_string(i));
        vocabulary.scores.push_back(static_cast<float>(-i));
        vocabulary.kinds.push_back(core::PieceKind::normal);
    }
    vocabulary.kinds[0] = vocabulary.kinds[1] = vocabulary.kinds[2] = core::PieceKind::control;
    vocabulary.kinds[3] = core::PieceKind::unknown;
    vocabulary.pad = 0;
    vocabulary.bos = 1;
    vocabulary.eos = 2;
    return vocabulary;
}

class Export : public testing::Test {
  protected:
    void SetUp() override {
        torch::manual_seed(11);
        model_ = std::make_unique<GrokModel>(GrokConfig{.dim = 64,
                                                        .layers = 2,
                                                        .heads = 2,
                                                        .kv_heads = 1,
                                                        .head_dim = 32,
                                                        .experts = 4,
                                                        .active = 2,
                                                        .expert_width = 96,
                                                        .vocab = kVocab,
                                                        .context = 8});
        path_ = std::filesystem::temp_directory_path() /
                ("moxie-export-" + std::to_string(::getpid()) + ".gguf");
    }
    void TearDown() override { std::filesystem::remove(path_); }

    std::unique_ptr<core::WeightFile> written() {
        export_gguf(*model_, vocabulary_of(kVocab),
                    {.path = path_.string(), .context_length = 512});
        return core::open_weight_file(path_.string());
    }

    std::unique_ptr<GrokModel> model_;
    std::filesystem::path path_;
};

TEST_F(Export, tensors_come_back_within_the_error_of_q8) {
    const auto file = written();
    const auto* gate = file->find_tensor("blk.1.ffn_gate_exps.weight");
    const auto* up = file->find_tensor("blk.1.ffn_up_exps.weight");
    ASSERT_NE(gate, nullptr);
    ASSERT_NE(up, nullptr);
    EXPECT_EQ(gate->shape, (std::vector<uint64_t>{64, 96, 4}));
    const auto parameter = model_->named_parameters()["blk/1/ffn_gate_up_exps"];
    const size_t row_bytes = core::row_bytes(core::DType::q8_0, 64);
    std::vector<float> row(64);
    for (const auto& [tensor, first] : {std::pair{gate, 0}, std::pair{up, 96}}) {
        const size_t index = 2 * 96 + 5;  // expert 2, row 5
        core::dequantize_row(tensor->type, tensor->data.subspan(index * row_bytes, row_bytes), row);
        for (int64_t i = 0; i < 64; ++i) {
            EXPECT_NEAR(row[static_cast<size_t>(i)], parameter[2][first + 5][i].item<float>(),
                        0.004F);
        }
    }
}

TEST_F(Export, router_and_norms_stay_float) {
    const auto file = written();
    for (const char* name : {"blk.0.ffn_gate_inp.weight", "blk.0.layer_output_norm.weight",
                             "blk.0.attn_output_norm.weight", "output_norm.weight"}) {
        const auto* tensor = file->find_tensor(name);
        ASSERT_NE(tensor, nullptr) << name;
        EXPECT_EQ(tensor->type, core::DType::f32) << name;
    }
    EXPECT_EQ(file->find_tensor("token_embd.weight")->type, core::DType::q8_0);
}

TEST_F(Export, scales_and_chat_format_are_in_the_metadata) {
    const auto file = written();
    EXPECT_EQ(file->meta_string("general.architecture"), "grok");
    EXPECT_EQ(file->meta_uint("grok.context_length"), 512U);
    EXPECT_NEAR(file->meta_float("grok.embedding_scale").value(), 8.0, 1e-6);
    EXPECT_NEAR(file->meta_float("grok.attention.output_scale").value(), 1.0 / std::sqrt(32.0),
                1e-6);
    const auto chat = file->meta_string("tokenizer.chat_template").value();
    EXPECT_NE(chat.find("'Assistant: ' + message['content'] + '<|separator|>"), std::string::npos);
}

TEST_F(Export, a_vocabulary_of_another_size_is_refused) {
    EXPECT_THROW(export_gguf(*model_, vocabulary_of(kVocab - 1), {.path = path_.string()}),
                 std::runtime_error);
    EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace train
