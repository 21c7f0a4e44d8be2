// The seeds of the fuzz targets, and what the fuzzers found, go through every build.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "tests/fuzz/targets.h"

namespace fuzz {
namespace {

namespace fs = std::filesystem;

struct Target {
    const char* name;
    void (*run)(Bytes bytes);
};

constexpr Target kTargets[] = {
    {"gguf", gguf},
    {"pickle", pickle},
    {"safetensors", safetensors},
    {"json_metadata", json_metadata},
    {"model_config", model_config},
    {"hugging_face", hugging_face},
    {"gguf_tokenizer", gguf_tokenizer},
    {"sentencepiece", sentencepiece},
    {"tokenizer_json", tokenizer_json},
    {"import", import},
    {"config", config},
    {"page_file", page_file},
};

const fs::path kSeeds = fs::path(MOXIE_SOURCE_DIR) / "tests/fuzz/seeds";

TEST(Seeds, EveryTargetHasSeedsThatPass) {
    for (const Target& target : kTargets) {
        size_t count = 0;
        for (const auto& entry : fs::directory_iterator(kSeeds / target.name)) {
            SCOPED_TRACE(entry.path().string());
            std::ifstream in(entry.path(), std::ios::binary);
            const std::string content{std::istreambuf_iterator<char>(in), {}};
            target.run(std::as_bytes(std::span(content)));
            ++count;
        }
        EXPECT_GT(count, 1U) << target.name;
    }
}

TEST(Seeds, EveryFolderHasATarget) {
    for (const auto& entry : fs::directory_iterator(kSeeds)) {
        const std::string name = entry.path().filename().string();
        EXPECT_TRUE(std::ranges::any_of(kTargets, [&](const Target& t) { return name == t.name; }))
            << name;
    }
}

}  // namespace
}  // namespace fuzz
