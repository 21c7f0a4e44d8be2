// Small files that ask for much: refused, or read in the time of their size.
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/gguf_writer.h"
#include "core/model/architecture.h"
#include "core/model/hugging_face.h"
#include "tests/support/safetensors_file.h"
#include "tests/support/temporary_folder.h"

namespace core {
namespace {

using testing::HasSubstr;

constexpr uint32_t kMostLayers = 4096;

class HostileModel : public testing::Test {
  protected:
    std::string path() const { return folder.path() + "/m.gguf"; }

    // A llama of 4096 layers without weights; `add` makes the rest of it.
    template <class Add>
    void write(uint32_t head_dim, Add add) const {
        GgufWriter writer(path());
        writer.add_string("general.architecture", "llama");
        writer.add<uint32_t>("llama.block_count", kMostLayers);
        writer.add<uint32_t>("llama.embedding_length", 64);
        writer.add<uint32_t>("llama.context_length", 64);
        writer.add<uint32_t>("llama.feed_forward_length", 64);
        writer.add<uint32_t>("llama.attention.key_length", head_dim);
        writer.add<uint32_t>("llama.attention.value_length", head_dim);
        writer.add<float>("llama.attention.layer_norm_rms_epsilon", 1e-5F);
        add(writer);
        writer.finish();
    }
    ModelConfig config() const { return config_from_file(*open_model(path())); }
    std::string refusal() const {
        try {
            config();
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::model_unusable);
            return error.what();
        }
        return "";
    }

    support::TemporaryFolder folder;
};

// 4096 layers, each with a table of half a million frequencies, would be 8 GB and minutes.
TEST_F(HostileModel, HeadsOfAbsurdLengthAreRefusedBeforeTheirTables) {
    write(1U << 20,
          [](GgufWriter& writer) { writer.add<uint32_t>("llama.attention.head_count", 1); });
    EXPECT_THAT(refusal(),
                HasSubstr("llama.attention.key_length is 1048576, must be at most 4096"));
}

// Every layer asks for its entry; copying the array for each would take minutes.
TEST_F(HostileModel, LongArraysAreNotCopiedForEveryLayer) {
    write(32, [](GgufWriter& writer) {
        const std::vector<int8_t> heads(1 << 17, 2);
        writer.add_array<int8_t>("llama.attention.head_count", heads);
    });
    EXPECT_EQ(config().layers.size(), kMostLayers);
    EXPECT_EQ(config().layers.back().attention.heads, 2u);
}

// Some twenty keys of every layer are looked up among 20,000.
TEST_F(HostileModel, ManyKeysDoNotMakeEveryLayerSlow) {
    write(32, [](GgufWriter& writer) {
        writer.add<uint32_t>("llama.attention.head_count", 2);
        for (uint32_t i = 0; i < 20'000; ++i)
            writer.add<bool>("llama.attention.head_" + std::to_string(i), true);
    });
    EXPECT_EQ(config().layers.size(), kMostLayers);
}

TEST_F(HostileModel, EntriesOfAnArrayMustBeNumbersThatFit) {
    write(32, [](GgufWriter& writer) {
        const std::vector<std::string> heads(kMostLayers, "two");
        writer.add_strings("llama.attention.head_count", heads);
    });
    EXPECT_THAT(refusal(), HasSubstr("head_count is an array with something else"));
    write(32, [](GgufWriter& writer) {
        const std::vector<int32_t> heads(kMostLayers, -2);
        writer.add_array<int32_t>("llama.attention.head_count", heads);
    });
    EXPECT_THAT(refusal(), HasSubstr("head_count is an array with -2"));
}

TEST_F(HostileModel, HeadsThatAreNumbersOnlyInConfigJsonAreRefusedToo) {
    support::write_text(folder.path() + "/config.json", R"({"architectures":["LlamaForCausalLM"],
        "num_hidden_layers":4096,"hidden_size":64,"num_attention_heads":1,"head_dim":1048576,
        "max_position_embeddings":64,"intermediate_size":64,"rms_norm_eps":1e-5})");
    support::write_text(folder.path() + "/model.safetensors", support::safetensors_bytes("{}", ""));
    try {
        config_from_file(*open_model(folder.path()));
        ADD_FAILURE() << "was accepted";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("head_dim is 1048576"));
    }
}

}  // namespace
}  // namespace core
