// Models are found where other programs keep them, told apart from what is none, and remembered.
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/models/model_list.h"
#include "app/models/model_places.h"
#include "app/models/model_scan.h"
#include "core/base/error.h"
#include "tests/support/containers.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::map<std::string, std::string>& variables() {
    static std::map<std::string, std::string> values;
    return values;
}
const char* variable(const char* name) {
    const auto found = variables().find(name);
    return found == variables().end() ? nullptr : found->second.c_str();
}

class ModelsTest : public testing::Test {
  protected:
    ModelsTest() { variables() = {{"HOME", folder.path()}}; }

    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    std::string write(const std::string& name, const std::string& content) {
        fs::create_directories(fs::path(path(name)).parent_path());
        std::ofstream(path(name), std::ios::binary) << content;
        return path(name);
    }
    std::string write_model(const std::string& name) {
        static const std::string content = [] {
            auto model = support::tiny_model(support::Family::grok2, support::Storage::q8_0);
            support::add_vocabulary(model);
            const support::TemporaryGguf file(model);
            return support::content_of(file.path());
        }();
        return write(name, content);
    }
    std::vector<ModelCandidate> candidates(const Config& config = {}) const {
        auto places = model_places(config, variable);
        std::erase_if(places, [](const ModelPlace& place) {
            return place.label == "moxie" || place.folder.starts_with("/usr/share");
        });
        return find_candidates(places);
    }
    std::vector<std::string> names(const Config& config = {}) const {
        std::vector<std::string> found;
        for (const ModelCandidate& candidate : candidates(config))
            found.push_back(candidate.label + ": " + fs::path(candidate.path).filename().string());
        return found;
    }
    std::vector<ModelHeader> scanned(const std::string& index = {}) const {
        ModelScan scan({{.folder = folder.path() + "/models", .label = "here"}}, index);
        EXPECT_TRUE(scan.wait(std::chrono::seconds(20)));
        return scan.models();
    }

    support::TemporaryFolder folder;
};

// --- places -----------------------------------------------------------------------------------

TEST_F(ModelsTest, FoldersOfTheConfigurationAreSearchedToTheirDepth) {
    write("mine/root.gguf", "");
    write("mine/a/b/deep.gguf", "");
    write("mine/a/b/c/deeper.gguf", "");
    const Config config = Config::load(
        {.environment = {{"MOXIE_MODELS_DIRS", path("mine")}, {"MOXIE_MODELS_SCAN_DEPTH", "2"}}});
    EXPECT_THAT(names(config),
                ElementsAre(path("mine") + ": deep.gguf", path("mine") + ": root.gguf"));
    variables()["MOXIE_MODELS"] = path("none") + ":" + path("mine/a/b/c");
    EXPECT_THAT(names(), ElementsAre(path("mine/a/b/c") + ": deeper.gguf"));
}

TEST_F(ModelsTest, TheHubOfHuggingFaceGivesTheCommitOfMain) {
    const std::string hub = ".cache/huggingface/hub/models--org--repo/";
    write(hub + "blobs/one", "new");
    write(hub + "blobs/two", "old");
    fs::create_directories(path(hub + "snapshots/abc"));
    fs::create_directories(path(hub + "snapshots/def"));
    fs::create_symlink("../../blobs/one", path(hub + "snapshots/abc/model-Q4_K.gguf"));
    fs::create_symlink("../../blobs/two", path(hub + "snapshots/def/model-Q4_K.gguf"));
    write(hub + "refs/main", "abc\n");
    const auto found = candidates();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].path, path(hub + "snapshots/abc/model-Q4_K.gguf"));
    EXPECT_EQ(found[0].label, "Hugging Face");
}

TEST_F(ModelsTest, LlamaCppAndLmStudioKeepTheirsInTheHomeFolder) {
    write(".cache/llama.cpp/flat.gguf", "a");
    write(".lmstudio/models/publisher/model/file.gguf", "b");
    EXPECT_THAT(names(), ElementsAre("llama.cpp: flat.gguf", "LM Studio: file.gguf"));
    const Config none = Config::load({.environment = {{"MOXIE_MODELS_SCAN", "ollama"}}});
    EXPECT_THAT(names(none), IsEmpty());
}

TEST_F(ModelsTest, OllamaNamesItsBlobsInManifests) {
    write(".ollama/models/blobs/sha256-11", "model");
    write(".ollama/models/blobs/sha256-22", "template");
    write(".ollama/models/manifests/registry.ollama.ai/library/qwen3/8b",
          R"({"layers": [{"mediaType": "application/vnd.ollama.image.template",
                          "digest": "sha256:22"},
                         {"mediaType": "application/vnd.ollama.image.model",
                          "digest": "sha256:11"}]})");
    write(".ollama/models/manifests/registry.ollama.ai/library/broken/latest", "no json");
    write(".ollama/models/manifests/registry.ollama.ai/library/evil/latest",
          R"({"layers": [{"mediaType": "application/vnd.ollama.image.model",
                          "digest": "sha256:../../../etc/passwd"}]})");
    const auto found = candidates();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].name, "qwen3:8b");
    EXPECT_EQ(found[0].path, path(".ollama/models/blobs/sha256-11"));
}

TEST_F(ModelsTest, PartsAreOneModelProjectorsAreNoneAndLinksNoSecond) {
    const std::string lm = ".lmstudio/models/p/m/";
    write(lm + "grok-00001-of-00002.gguf", "1");
    write(lm + "grok-00002-of-00002.gguf", "2");
    write(lm + "mmproj-model-f16.gguf", "3");
    fs::create_hard_link(path(lm + "grok-00001-of-00002.gguf"), path(lm + "same.gguf"));
    fs::create_symlink("nowhere", path(lm + "dangling.gguf"));
    EXPECT_THAT(names(), ElementsAre("LM Studio: grok-00001-of-00002.gguf"));
}

TEST_F(ModelsTest, TheCheckpointOfGrok1HasTheNameOfItsFolder) {
    write("mine/grok-1/tokenizer.model", "");
    write("mine/grok-1/ckpt-0/tensor00000_000", "");
    write("mine/grok-1/ckpt-0/tensor00001_000", "");
    write("mine/other/tensor00000_000", "");
    const Config config = Config::load({.environment = {{"MOXIE_MODELS_DIRS", path("mine")}}});
    const auto found = candidates(config);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].path, path("mine/grok-1/ckpt-0"));
    EXPECT_EQ(found[0].name, "grok-1");
    EXPECT_EQ(found[1].path, path("mine/other"));
    EXPECT_EQ(found[1].name, "");
}

// --- headers ----------------------------------------------------------------------------------

TEST_F(ModelsTest, AHeaderTellsWhatTheModelIs) {
    const ModelHeader model = read_model_header(write_model("models/tiny-Q8_0.gguf"));
    EXPECT_EQ(model.problem, "");
    EXPECT_EQ(model.name, "tiny-Q8_0");
    EXPECT_EQ(model.architecture, "grok");
    EXPECT_EQ(model.quantization, "q8_0");
    EXPECT_GT(model.active, 0U);
    EXPECT_LT(model.active, model.parameters);
    EXPECT_GT(model.weight_bytes, model.parameters);
    EXPECT_GT(model.kv_elements, 0U);
    EXPECT_GT(model.context, 0U);
}

TEST_F(ModelsTest, NamesLoseTheirEndingAndTheirPart) {
    EXPECT_EQ(model_name_of("/m/grok-2-Q4_K-00001-of-00017.gguf"), "grok-2-Q4_K");
    EXPECT_EQ(model_name_of("/m/plain.gguf"), "plain");
    EXPECT_EQ(model_name_of("/m/folder.v2"), "folder.v2");
}

TEST_F(ModelsTest, AFolderOfHuggingFaceIsDescribedLikeAnyOther) {
    using support::Family;
    const auto model = support::tiny_model(Family::qwen3moe, support::Storage::bf16);
    fs::create_directories(path("models/folder"));
    write_hugging_face(model, Family::qwen3moe, support::HuggingFaceLayout::sharded,
                       path("models/folder"));
    const ModelHeader header = read_model_header(path("models/folder"));
    EXPECT_EQ(header.problem, "");
    EXPECT_EQ(header.architecture, "qwen3moe");
    EXPECT_LT(header.active, header.parameters);
    EXPECT_GT(header.kv_elements, 0U);
    fs::remove(path("models/folder/model-00002-of-00003.safetensors"));
    EXPECT_EQ(read_model_header(path("models/folder")).problem,
              "model-00002-of-00003.safetensors is missing, the index names it");
    write_hugging_face(model, Family::qwen3moe, support::HuggingFaceLayout::sharded,
                       path("models/folder"));
    write("models/folder/config.json", R"({"architectures": ["UnheardOfForCausalLM"]})");
    const ModelHeader foreign = read_model_header(path("models/folder"));
    EXPECT_THAT(foreign.problem, HasSubstr("is a UnheardOfForCausalLM"));
    EXPECT_EQ(foreign.parameters, header.parameters);
}

TEST_F(ModelsTest, WhatCannotBeRunIsListedWithItsReasonBehindTheRest) {
    write_model("models/good.gguf");
    write("models/cut.gguf", std::string("GGUF\3\0\0\0\1\0\0\0", 12));
    write("models/a-text.gguf", "hello");
    const auto models = scanned();
    ASSERT_EQ(models.size(), 3U);
    EXPECT_EQ(models[0].name, "good");
    EXPECT_EQ(models[1].name, "a-text");
    EXPECT_NE(models[1].problem, "");
    EXPECT_NE(models[2].problem, "");
}

// --- the index --------------------------------------------------------------------------------

TEST_F(ModelsTest, WhatWasReadIsRememberedUntilTheFileChanges) {
    const std::string model = write_model("models/good.gguf");
    const std::string index = path("models.idx");
    scanned(index);
    EXPECT_EQ(fs::status(index).permissions(), fs::perms(0600));
    // The same size and time: what the index says is believed.
    std::string text = support::content_of(index);
    const size_t at = text.find("\"grok\"");
    ASSERT_NE(at, std::string::npos);
    std::ofstream(index) << text.replace(at, 6, "\"gork\"");
    EXPECT_EQ(scanned(index)[0].architecture, "gork");
    fs::last_write_time(model, fs::last_write_time(model) - std::chrono::hours(1));
    EXPECT_EQ(scanned(index)[0].architecture, "grok");
}

TEST_F(ModelsTest, AnIndexThatIsNoneAndOneThatCannotBeWrittenCostNothing) {
    write_model("models/good.gguf");
    for (const char* content : {"", "no json", "[]", "{\"version\": 2, \"models\": {\"x\": {}}}"})
        EXPECT_EQ(scanned(write("models.idx", content)).size(), 1U);
    EXPECT_EQ(scanned("/proc/models.idx").size(), 1U);
}

// --- names ------------------------------------------------------------------------------------

TEST_F(ModelsTest, ANameOrItsOnlyBeginningIsEnough) {
    const std::vector<ModelHeader> models = {{.name = "grok-2-q4_k", .place = "LM Studio"},
                                             {.name = "grok-1", .place = "here"}};
    EXPECT_EQ(find_model(models, "GROK-1"), &models[1]);
    EXPECT_EQ(find_model(models, "grok-2"), &models[0]);
    EXPECT_EQ(find_model(models, "grok"), nullptr);
    EXPECT_EQ(find_model(models, ""), nullptr);
    EXPECT_EQ(
        no_such_model(models, "grok2"),
        "No model \"grok2\". Closest: grok-1 (here). C-x m lists 2 found; /model PATH loads a "
        "file.");
    EXPECT_EQ(no_such_model({}, "x"),
              "No model \"x\". C-x m lists 0 found; /model PATH loads a file.");
}

// --- memory -----------------------------------------------------------------------------------

ModelHeader large_model() {
    return {.name = "large",
            .weight_bytes = 88'000'000'000,
            .context = 131072,
            .kv_elements = 160'000};  // 0.32 MB a token in f16
}

TEST_F(ModelsTest, TheQuestionOffersWhatWouldFit) {
    constexpr auto kF16 = chat::KvTypeChoice::f16;
    const auto question = memory_question(large_model(), 8192, kF16, 89'900'000'000);
    EXPECT_EQ(question.text,
              "Needs 90.7 GB (weights 88.0 GB + KV 2.6 GB @8192 + scratch 0.1 GB); 89.9 GB "
              "available. [1] ctx 4096 (−1.3) [2] KV q8 (−1.2) [3] choose another");
    ASSERT_EQ(question.choices.size(), 3U);
    EXPECT_EQ(question.choices[0].context, 4096U);
    EXPECT_EQ(question.choices[1].kv, chat::KvTypeChoice::q8);
    EXPECT_TRUE(question.choices[2].other_model);
}

TEST_F(ModelsTest, WhereNothingHelpsAnotherModelIsAllThatIsOffered) {
    const auto question =
        memory_question(large_model(), 8192, chat::KvTypeChoice::f16, 60'000'000'000);
    EXPECT_THAT(question.text, testing::EndsWith("60.0 GB available. [1] choose another"));
    EXPECT_EQ(question.choices.size(), 1U);
}

TEST_F(ModelsTest, RowsSayWhetherAModelFits) {
    EXPECT_EQ(fits_text(large_model(), 0, chat::KvTypeChoice::f16, 100'000'000'000), "fits");
    EXPECT_EQ(fits_text(large_model(), 0, chat::KvTypeChoice::f16, 74'000'000'000),
              "needs 90.7 GB");
}

}  // namespace
}  // namespace app
