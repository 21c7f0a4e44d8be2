// `moxie kv` on directories that an engine with a tiny model has filled.
#include "app/subcommands/kv_cmd.h"

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/engine/engine.h"
#include "core/kv/disk_store.h"
#include "tests/support/engine_client.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

using core::TokenId;
using nlohmann::json;
using testing::HasSubstr;

// Not a KvOptions: GCC 12 leaves out the default of `json` in one that is made within EXPECT_THAT.
std::string output_of(const std::string& directory, bool as_json = false, uint64_t budget = 0) {
    std::ostringstream out;
    EXPECT_EQ(run_kv({.directory = directory, .json = as_json, .budget = budget}, out), 0);
    return out.str();
}

std::vector<TokenId> tokens(size_t count, uint32_t seed) {
    std::vector<TokenId> ids(count);
    for (size_t i = 0; i < count; ++i) {
        seed = seed * 1664525U + 1013904223U;
        ids[i] = static_cast<TokenId>(4 + (seed >> 8U) % 40);
    }
    return ids;
}

class KvCommand : public testing::Test {
  protected:
    const std::string& folder() const { return directory.path(); }

    // Each prompt is asked one token for; all is on disk afterwards.
    void converse(const std::vector<std::vector<TokenId>>& prompts) {
        auto model = support::tiny_model(support::Family::grok1, support::Storage::q8_0);
        support::add_vocabulary(model);
        const support::TemporaryGguf file(model);
        support::EngineClient client;
        core::Engine engine(
            {.threads = 1, .kv_directory = folder(), .kv_disk_bytes = uint64_t{1} << 30U});
        engine.attach(client.channel);
        client.ask<chat::ModelReady>(chat::LoadModel{.path = file.path()});
        for (const auto& prompt : prompts)
            client.ask<chat::Finished>(
                chat::Generate{.prompt = prompt, .sampling = {.temperature = 0}, .max_tokens = 1});
        client.ask<chat::Done>(chat::Kv{.action = chat::KvAction::save});
        engine.detach(client.channel);
    }

    json listed() { return json::parse(output_of(folder(), true)); }

    support::TemporaryFolder directory;
};

TEST_F(KvCommand, TenConversationsSharingASystemPromptOf1000TokensHoldItsPagesOnce) {
    const auto system = tokens(1000, 1);
    std::vector<std::vector<TokenId>> prompts;
    for (uint32_t i = 0; i < 10; ++i) {
        auto prompt = system;
        const auto own = tokens(20, 100 + i);
        prompt.insert(prompt.end(), own.begin(), own.end());
        prompts.push_back(std::move(prompt));
    }
    converse(prompts);
    const json result = listed();
    ASSERT_EQ(result["roots"].size(), 1U);
    const json& root = result["roots"][0];
    // 1,000 tokens are 15 full pages; the 16th of each line holds tokens of its own as well.
    EXPECT_EQ(root["shared_pages"], 15);
    EXPECT_EQ(root["pages"], 15 + 10);
    EXPECT_EQ(root["pages_without_sharing"], 10 * 16);
    ASSERT_EQ(root["lines"].size(), 10U);
    for (const json& line : root["lines"]) {
        EXPECT_EQ(line["tokens"], 1020);
        EXPECT_EQ(line["pages"], 16);
        EXPECT_EQ(line["shared_pages"], 15);
        EXPECT_EQ(line["whole"], true);
    }
    EXPECT_EQ(result["pages"], root["pages"]);
    EXPECT_THAT(output_of(folder()),
                testing::AllOf(HasSubstr("10 lines, 25 pages"),
                               HasSubstr("15 pages shared by several lines and kept once; without "
                                         "sharing the lines would take 160 pages")));
}

TEST_F(KvCommand, BytesAreThoseOfTheFiles) {
    converse({tokens(100, 1), tokens(200, 2)});
    uint64_t bytes = 0;
    const auto files = directory.files();
    for (const std::string& file : files)
        bytes += std::filesystem::file_size(file);
    const json result = listed();
    EXPECT_EQ(result["bytes"], bytes);
    EXPECT_EQ(result["pages"], files.size());
    EXPECT_EQ(result["roots"][0]["lines"].size(), 2U);
}

TEST_F(KvCommand, TheBudgetStandsBesideTheTotal) {
    EXPECT_THAT(output_of(folder(), false, 20'000'000'000), HasSubstr("0 bytes of 20.0 GB\n"));
    EXPECT_EQ(json::parse(output_of(folder(), true, 5000))["budget_bytes"], 5000);
}

TEST_F(KvCommand, ALineWithoutItsBeginningIsOfNoUse) {
    converse({tokens(300, 1)});
    for (const core::StoredPage& page : core::list_pages(folder()))
        if (page.address.parent == page.address.root)
            std::filesystem::remove(std::filesystem::path(folder()) / page_path(page.address));
    const json result = listed();
    ASSERT_EQ(result["roots"][0]["lines"].size(), 1U);
    EXPECT_EQ(result["roots"][0]["lines"][0]["whole"], false);
    EXPECT_THAT(output_of(folder()), HasSubstr("its beginning is gone"));
}

TEST_F(KvCommand, ADirectoryThatIsNotThereIsEmpty) {
    EXPECT_EQ(listed()["pages"], 0);
    EXPECT_THAT(output_of(folder() + "/none"), HasSubstr(": 0 pages, 0 bytes\n"));
}

TEST_F(KvCommand, NamesOfFoldersReachTheTerminalInert) {
    const auto text = output_of("/tmp/\x1b[31mred\nline");
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(text.find("line: 0 pages"), text.find("line"));
}

}  // namespace
}  // namespace app
