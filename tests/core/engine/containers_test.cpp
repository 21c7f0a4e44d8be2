// The engine opens what people have: a folder of Hugging Face, Grok-1's checkpoint. Vocabularies
// lie beside the weights there.
#include "tests/support/containers.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/engine/engine.h"
#include "core/text/byte_level.h"
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
    kinds.reserve(types.size());
    for (const int32_t type : types)
        kinds.push_back(static_cast<PieceKind>(type - 1));
    std::ofstream(path, std::ios::binary) << write_sentencepiece_model(
        std::get<std::vector<std::string>>(model.meta("tokenizer.ggml.tokens")),
        std::get<std::vector<float>>(model.meta("tokenizer.ggml.scores")), kinds);
}

class EngineOpens : public testing::Test {
  public:
    EngineOpens() { engine.attach(client.channel); }
    ~EngineOpens() override { engine.detach(client.channel); }
    EngineOpens(const EngineOpens&) = delete;
    EngineOpens& operator=(const EngineOpens&) = delete;

  protected:
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

// The bytes, and what a conversation in ChatML is written with.
const std::vector<std::string>& byte_level_pieces() {
    static const std::vector<std::string> all = [] {
        std::vector<std::string> pieces;
        pieces.reserve(258);
        for (unsigned byte = 0; byte < 256; ++byte)
            pieces.emplace_back(spelled_byte(static_cast<uint8_t>(byte)));
        pieces.insert(pieces.end(), {"<|im_start|>", "<|im_end|>"});
        return pieces;
    }();
    return all;
}

constexpr const char* kChatMl = "{{ '<|im_start|>' + message['role'] + '<|im_end|>' }}";

class EngineChats : public EngineOpens {
  protected:
    // `<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n`, a token for each other character.
    void expect_chat(const std::string& path) {
        client.ask<chat::ModelReady>(chat::LoadModel{.path = path});
        const auto finished = client.ask<chat::Finished>(
            chat::Generate{.prompt = std::vector<chat::Message>{{chat::Role::user, "hi"}},
                           .sampling = {.seed = 7},
                           .max_tokens = 3});
        EXPECT_EQ(finished.usage.prompt, 21U);
        EXPECT_GT(finished.usage.generated, 0U);
    }
};

TEST_F(EngineChats, AFolderOfQwenWithItsTokenizerJson) {
    const auto model = support::wide_model(support::Family::qwen3, support::Storage::bf16);
    write_hugging_face(model, support::Family::qwen3, support::HuggingFaceLayout::one_file,
                       folder.path());
    nlohmann::json vocab;
    for (size_t id = 0; id < 256; ++id)
        vocab[byte_level_pieces()[id]] = id;
    const nlohmann::json byte_level = {
        {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
    std::ofstream(folder.path() + "/tokenizer.json") << nlohmann::json{
        {"pre_tokenizer", byte_level},
        {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}},
        {"added_tokens",
         {{{"id", 256}, {"content", "<|im_start|>"}, {"special", true}},
          {{"id", 257}, {"content", "<|im_end|>"}, {"special", true}}}}};
    std::ofstream(folder.path() + "/tokenizer_config.json")
        << nlohmann::json{{"eos_token", "<|im_end|>"}, {"chat_template", kChatMl}};
    expect_chat(folder.path());
}

TEST_F(EngineChats, AGgufOfQwen) {
    auto model = support::wide_model(support::Family::qwen3, support::Storage::q8_0);
    std::vector<std::string> pieces = byte_level_pieces();
    std::vector<int32_t> types(256, 1);
    types.insert(types.end(), {3, 3});
    while (pieces.size() < model.reference.vocab) {
        pieces.push_back("[PAD" + std::to_string(pieces.size()) + "]");
        types.push_back(5);
    }
    model.meta("tokenizer.ggml.model") = std::string("gpt2");
    model.metadata.emplace_back("tokenizer.ggml.pre", std::string("qwen2"));
    model.metadata.emplace_back("tokenizer.ggml.tokens", std::move(pieces));
    model.metadata.emplace_back("tokenizer.ggml.token_type", std::move(types));
    model.metadata.emplace_back("tokenizer.ggml.merges", std::vector<std::string>{});
    model.metadata.emplace_back("tokenizer.ggml.eos_token_id", 257U);
    model.metadata.emplace_back("tokenizer.chat_template", std::string(kChatMl));
    const std::string path = folder.path() + "/qwen.gguf";
    write_gguf(model, path);
    expect_chat(path);
}

TEST_F(EngineOpens, AVocabularyThatMakesNoSenseIsRefusedInASentence) {
    const auto model = support::tiny_model(support::Family::qwen3, support::Storage::bf16);
    write_hugging_face(model, support::Family::qwen3, support::HuggingFaceLayout::one_file,
                       folder.path());
    std::ofstream(folder.path() + "/tokenizer.json") << "{}";
    const auto failed = client.ask<chat::Failed>(chat::LoadModel{.path = folder.path()});
    EXPECT_THAT(failed.sentence, HasSubstr("tokenizer.json: does not make sense"));
}

}  // namespace
}  // namespace core
