// The engine opens what people have: a folder of Hugging Face, Grok-1's checkpoint. Vocabularies
// lie beside the weights there.
#include "tests/support/containers.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/engine/engine.h"
#include "core/text/vocabulary.h"
#include "tests/support/engine_client.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

using testing::HasSubstr;

// The vocabulary of a test model as a SentencePiece model file.
void write_tokenizer(support::TestModel& model, const std::filesystem::path& path) {
    const auto& types = std::get<std::vector<int32_t>>(model.meta("tokenizer.ggml.token_type"));
    std::vector<PieceKind> kinds;
    for (const int32_t type : types)
        kinds.push_back(static_cast<PieceKind>(type - 1));
    std::ofstream(path, std::ios::binary) << write_sentencepiece_model(
        std::get<std::vector<std::string>>(model.meta("tokenizer.ggml.tokens")),
        std::get<std::vector<float>>(model.meta("tokenizer.ggml.scores")), kinds);
}

class EngineOpens : public testing::Test {
  protected:
    EngineOpens() { engine.attach(client.channel); }
    ~EngineOpens() override { engine.detach(client.channel); }
    EngineOpens(const EngineOpens&) = delete;
    EngineOpens& operator=(const EngineOpens&) = delete;

    void expect_answer(const std::string& path) {
        client.ask<chat::ModelReady>(chat::LoadModel{.path = path});
        const auto finished = client.ask<chat::Finished>(
            chat::Generate{.prompt = std::string("the"), .sampling = {.seed = 7}, .max_tokens = 3});
        EXPECT_GT(finished.usage.generated, 0U);
    }

    support::TemporaryFolder folder;
    support::EngineClient client;
    Engine engine{EngineOptions{.threads = 2}};
};

TEST_F(EngineOpens, AFolderOfHuggingFaceWithItsTokenizer) {
    auto model = support::tiny_model(support::Family::llama, support::Storage::bf16);
    support::add_vocabulary(model);
    write_hugging_face(model, support::Family::llama, support::HuggingFaceLayout::sharded,
                       folder.path());
    write_tokenizer(model, folder.path() + "/tokenizer.model");
    expect_answer(folder.path());
    expect_answer(folder.path() + "/");
}

TEST_F(EngineOpens, Grok1WhoseTokenizerLiesAboveTheCheckpoint) {
    auto model = support::tiny_checkpoint();
    support::add_vocabulary(model);
    std::filesystem::create_directory(folder.path() + "/ckpt-0");
    write_grok1_checkpoint(model, folder.path() + "/ckpt-0");
    write_tokenizer(model, folder.path() + "/tokenizer.model");
    expect_answer(folder.path());
    expect_answer(folder.path() + "/ckpt-0");
}

TEST_F(EngineOpens, AByteLevelTokenizerIsRefusedInASentence) {
    const auto model = support::tiny_model(support::Family::qwen3, support::Storage::bf16);
    write_hugging_face(model, support::Family::qwen3, support::HuggingFaceLayout::one_file,
                       folder.path());
    std::ofstream(folder.path() + "/tokenizer.json") << "{}";
    const auto failed = client.ask<chat::Failed>(chat::LoadModel{.path = folder.path()});
    EXPECT_THAT(failed.sentence, HasSubstr("byte-level BPE (tokenizer.json)"));
}

}  // namespace
}  // namespace core
