// What Model::load says about files that it cannot use: one sentence that names the trouble.
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/weight_file.h"
#include "tests/support/loaded_model.h"

namespace {

using support::Family;
using support::Storage;
using support::TestModel;
using testing::HasSubstr;

// Loads a file; the message of the error, or "" when there was none.
std::string load_error(const std::string& path) {
    try {
        core::Pool pool(1);
        core::Model::load(*core::open_weight_file(path), core::select_kernels(), pool);
    } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::model_unusable) << error.what();
        return error.what();
    }
    return {};
}

std::string load_error(const TestModel& model) {
    const support::TemporaryGguf file(model);
    const std::string message = load_error(file.path());
    const std::string file_name = std::filesystem::path(file.path()).filename();
    EXPECT_THAT(message, HasSubstr(file_name)) << "the sentence does not name the file";
    EXPECT_FALSE(message.ends_with('.')) << message;
    return message;
}

TestModel subject(Family family = Family::grok2) {
    return tiny_model(family, Storage::q8_0);
}

TEST(ModelLoad, IntactModelsOfEveryFamilyLoad) {
    for (const Family family : support::kAllFamilies) {
        const support::TemporaryGguf file(subject(family));
        EXPECT_EQ(load_error(file.path()), "") << name(family);
    }
}

TEST(ModelLoad, AnyMissingTensorIsNamed) {
    for (const Family family : {Family::grok2, Family::qwen2}) {
        const TestModel whole = subject(family);
        for (const support::StoredTensor& tensor : whole.tensors) {
            // Without an output matrix the embedding is used.
            if (tensor.name == "output.weight") continue;
            TestModel model = whole;
            model.remove_tensor(tensor.name);
            EXPECT_THAT(load_error(model), HasSubstr(tensor.name)) << name(family);
        }
    }
}

TEST(ModelLoad, MisshapenTensorIsReportedWithBothShapes) {
    TestModel model = subject();
    support::StoredTensor& tensor = model.tensor("blk.1.attn_q.weight");
    ASSERT_EQ(tensor.shape, (std::vector<uint64_t>{64, 192}));
    tensor.shape = {192, 64};
    const std::string message = load_error(model);
    EXPECT_THAT(message, HasSubstr("blk.1.attn_q.weight"));
    EXPECT_THAT(message, HasSubstr("[192, 64]"));
    EXPECT_THAT(message, HasSubstr("[64, 192]"));
}

TEST(ModelLoad, EveryMisshapenTensorIsNamed) {
    const TestModel whole = subject();
    for (size_t i = 0; i < whole.tensors.size(); ++i) {
        TestModel model = whole;
        support::StoredTensor& tensor = model.tensors[i];
        // Twice the rows, with the data to match: only the model's shape can object.
        const std::vector<std::byte> data = tensor.data;
        tensor.shape.back() *= 2;
        tensor.data.insert(tensor.data.end(), data.begin(), data.end());
        EXPECT_THAT(load_error(model), HasSubstr(tensor.name));
    }
}

TEST(ModelLoad, UnknownArchitectureIsNamed) {
    TestModel model = subject();
    model.meta("general.architecture") = std::string("mamba");
    EXPECT_THAT(load_error(model), HasSubstr("mamba"));
    model.remove_meta("general.architecture");
    EXPECT_THAT(load_error(model), HasSubstr("general.architecture"));
}

TEST(ModelLoad, TypeWithoutKernelIsNamed) {
    TestModel model = subject();
    support::StoredTensor& tensor = model.tensor("blk.0.ffn_down.weight");
    tensor.type = core::DType::q8_1;  // 36 bytes for 32 weights instead of 34
    tensor.data.resize(tensor.data.size() / 34 * 36);
    const std::string message = load_error(model);
    EXPECT_THAT(message, HasSubstr("blk.0.ffn_down.weight"));
    EXPECT_THAT(message, HasSubstr("q8_1"));
}

TEST(ModelLoad, ABiasThatNobodyAddsIsRefused) {
    TestModel model = tiny_model(Family::llama, Storage::f32);
    support::StoredTensor bias = model.tensor("blk.0.attn_norm.weight");
    bias.name = "blk.0.ffn_down.bias";
    model.tensors.push_back(bias);
    EXPECT_THAT(load_error(model), HasSubstr("blk.0.ffn_down.bias has no place"));
}

TEST(ModelLoad, MissingHyperparameterIsNamed) {
    for (const char* key :
         {"grok.embedding_length", "grok.block_count", "grok.attention.head_count",
          "grok.context_length", "grok.attention.layer_norm_rms_epsilon"}) {
        TestModel model = subject();
        model.remove_meta(key);
        EXPECT_THAT(load_error(model), HasSubstr(key));
    }
}

TEST(ModelLoad, ZeroAndAbsurdHyperparametersAreRejected) {
    constexpr uint32_t kHuge = std::numeric_limits<uint32_t>::max();
    for (const char* key :
         {"grok.embedding_length", "grok.block_count", "grok.attention.head_count",
          "grok.attention.head_count_kv", "grok.attention.key_length", "grok.vocab_size",
          "grok.expert_feed_forward_length", "grok.expert_used_count"}) {
        for (const uint32_t value : {0U, kHuge}) {
            TestModel model = subject();
            model.meta(key) = value;
            EXPECT_NE(load_error(model), "") << key << " = " << value;
        }
    }
    TestModel model = subject();
    model.meta("grok.context_length") = 0U;
    EXPECT_THAT(load_error(model), HasSubstr("grok.context_length"));
}

TEST(ModelLoad, HyperparametersThatContradictEachOtherAreRejected) {
    const auto with = [](const char* key, support::MetaEntry value) {
        TestModel model = subject();
        model.meta(key) = std::move(value);
        return load_error(model);
    };
    EXPECT_NE(with("grok.attention.head_count_kv", 4U), "") << "6 heads over 4 KV heads";
    EXPECT_NE(with("grok.expert_used_count", 5U), "") << "5 of 4 experts";
    EXPECT_NE(with("grok.rope.dimension_count", 34U), "") << "34 of 32 dimensions";
    EXPECT_NE(with("grok.rope.dimension_count", 15U), "") << "half a pair";
}

TEST(ModelLoad, NumbersThatCannotBeComputedWithAreRejected) {
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    constexpr float kInfinite = std::numeric_limits<float>::infinity();
    for (const char* key :
         {"grok.attention.layer_norm_rms_epsilon", "grok.rope.freq_base", "grok.embedding_scale",
          "grok.logit_scale", "grok.attn_logit_softcapping"}) {
        for (const float value : {kNan, kInfinite}) {
            TestModel model = subject();
            model.meta(key) = value;
            EXPECT_THAT(load_error(model), HasSubstr(key)) << value;
        }
    }
    for (const float value : {-1.0F, 0.0F}) {
        TestModel model = subject();
        model.meta("grok.rope.freq_base") = value;
        EXPECT_THAT(load_error(model), HasSubstr("grok.rope.freq_base")) << value;
    }
}

TEST(ModelLoad, HyperparameterOfAnotherTypeIsNamed) {
    TestModel model = subject();
    model.meta("grok.attention.head_count") = std::string("six");
    EXPECT_THAT(load_error(model), HasSubstr("grok.attention.head_count"));
}

TEST(ModelLoad, TruncatedFileIsRejectedWhereverItEnds) {
    const support::TemporaryGguf whole(subject());
    std::ifstream stream(whole.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
    const std::string path = whole.path() + ".cut";
    // Ten cuts inside the header and tensor table, ten in the data. The last tensor's padding may
    // be missing, so the last cut takes more than that.
    for (size_t i = 0; i < 20; ++i) {
        const size_t size = i < 10 ? i * 397 : (bytes.size() - 64) * (i - 9) / 10;
        std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<long>(size));
        EXPECT_THAT(load_error(path), HasSubstr(path)) << "cut at " << size;
    }
    std::filesystem::remove(path);
}

// NaN is what a damaged scale looks like. The answer is garbage, but it comes.
TEST(ModelLoad, NanWeightsDoNotCrashForward) {
    for (const char* victim : {"token_embd.weight", "blk.0.ffn_gate_inp.weight",
                               "blk.0.attn_k.weight", "blk.1.ffn_down_exps.weight"}) {
        TestModel model = subject();
        std::vector<std::byte>& data = model.tensor(victim).data;
        // As f32 and as f16 scale this is a NaN.
        std::memset(data.data(), 0xFF, data.size());
        for (const core::Kernels* kernels : core::all_kernels()) {
            support::LoadedModel loaded(model, *kernels);
            const core::TokenId tokens[] = {1, 2, 3, 4, 5};
            EXPECT_EQ(loaded.forward_in_chunks(core::KvType::q8, tokens, 3).size(), 5U) << victim;
        }
    }
}

}  // namespace
