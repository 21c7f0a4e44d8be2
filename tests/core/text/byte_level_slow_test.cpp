// The real vocabularies of Qwen2 and Llama 3 against llama.cpp's tokenizations. The vocabularies
// are development dependencies (docs/testing.md): MOXIE_TOKENIZERS names the folder of the
// packages.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/text/byte_level.h"
#include "core/text/detokenizer.h"
#include "tests/core/text/text_fixtures.h"

namespace core {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
}

struct Reference {
    const char* package;
    const char* vectors;  // in the shared data
    const char* split;
};

class RealVocabulary : public testing::TestWithParam<Reference> {
  public:
    fs::path file() const {
        const char* folder = std::getenv("MOXIE_TOKENIZERS");
        return folder == nullptr ? fs::path()
                                 : fs::path(folder) / GetParam().package / "models/tokenizer.json";
    }
};

TEST_P(RealVocabulary, GivesTheIdsOfLlamaCpp) {
    if (!fs::exists(file()) || shared_data().empty())
        GTEST_SKIP() << "MOXIE_TOKENIZERS or the shared reference tokenizations are missing";
    const Vocabulary vocabulary = read_vocabulary_file(file().string());
    ASSERT_TRUE(vocabulary.byte_level);
    const WordSplit* split = word_split_of(*vocabulary.byte_level);
    ASSERT_NE(split, nullptr);
    EXPECT_EQ(split->name, GetParam().split);
    const auto tokenizer = load_tokenizer(file().string());

    const fs::path folder = shared_data() / "tokenizers";
    const std::string texts = read_text(folder / (std::string(GetParam().vectors) + ".inp"));
    std::istringstream expected(read_text(folder / (std::string(GetParam().vectors) + ".out")));
    const std::string separator = "\n__ggml_vocab_test__\n";
    size_t begin = 0;
    size_t compared = 0;
    for (std::string line; std::getline(expected, line); ++compared) {
        size_t end = texts.find(separator, begin);
        if (end == std::string::npos) end = texts.size();
        const std::string text = texts.substr(begin, end - begin);
        begin = std::min(end + separator.size(), texts.size());
        std::istringstream numbers(line);
        std::vector<TokenId> ids;
        for (TokenId id = 0; numbers >> id;)
            ids.push_back(id);
        EXPECT_EQ(tokenizer->encode(text, false), ids) << text;
        std::string back;
        for (const TokenId id : ids)
            back += tokenizer->bytes(id);
        EXPECT_EQ(back, text);
    }
    EXPECT_GT(compared, 40U);
}

INSTANTIATE_TEST_SUITE_P(Families, RealVocabulary,
                         testing::Values(Reference{"tokenizer-qwen2_5", "qwen2.gguf", "qwen2"},
                                         Reference{"tokenizer-llama3", "llama-bpe.gguf",
                                                   "llama-bpe"}),
                         [](const auto& tested) {
                             std::string name = tested.param.split;
                             std::erase(name, '-');
                             return name;
                         });

}  // namespace
}  // namespace core
