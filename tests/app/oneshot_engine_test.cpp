// `moxie "prompt"` with the real engine and a tiny model: from the command line to the answer.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/kv/disk_store.h"
#include "tests/app/program.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

support::TestModel speaking_model() {
    auto model = support::tiny_model(support::Family::grok2, support::Storage::q8_0);
    support::add_vocabulary(model);
    return model;
}

ProgramRun run(const support::TestModel& model, std::vector<std::string> arguments) {
    const support::TemporaryGguf file(model);
    arguments.insert(arguments.begin(), {"-m", file.path()});
    return run_program({.arguments = std::move(arguments)});
}

nlohmann::json answer(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--json", "--max-tokens", "12", "hello"});
    const auto result = run(speaking_model(), std::move(arguments));
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return nlohmann::json::parse(result.out);
}

TEST(OneShotEngine, TheSameSeedGivesTheSameAnswerWhateverTheThreads) {
    const auto one = answer({"--seed", "3", "--threads", "1"});
    const auto two = answer({"--seed", "3", "--threads", "2"});
    EXPECT_EQ(one["text"], two["text"]);
    EXPECT_EQ(one["usage"], two["usage"]);
    EXPECT_EQ(one["seed"], 3);
}

TEST(OneShotEngine, UsageAddsUp) {
    const auto usage = answer({"--seed", "3"})["usage"];
    EXPECT_GT(usage["prompt_tokens"], 0);
    EXPECT_EQ(usage["reused_tokens"], 0);
    EXPECT_EQ(usage["recomputed_tokens"], usage["prompt_tokens"]);
    EXPECT_EQ(usage["total_tokens"].get<int>(),
              usage["prompt_tokens"].get<int>() + usage["completion_tokens"].get<int>());
}

// Whether asking like this leaves pages of the prompt in the cache, or in the folder that is named.
bool leaves_pages(std::vector<std::string> arguments) {
    const support::TemporaryFolder home;
    const support::TemporaryGguf model(speaking_model());
    const std::string named = home.path() + "/named";
    std::ranges::replace(arguments, std::string("NAMED"), named);
    const auto ask = [&](std::vector<std::string> all) {
        all.insert(all.end(), {"-m", model.path(), "--max-tokens", "4", "my secret is safe"});
        const auto result = run_program(
            {.arguments = all, .home = home.path(), .environment = {{"MOXIE_KV_MIN_TOKENS", "0"}}});
        EXPECT_EQ(result.status, 0) << result.err;
    };
    // A conversation to go on with, whose own pages do not count.
    if (std::ranges::count(arguments, "-c") != 0) {
        ask({"--save"});
        std::filesystem::remove_all(home.path() + "/CACHE");
    }
    ask(arguments);
    return !core::list_pages(home.path() + "/CACHE/moxie/kv").empty() ||
           !core::list_pages(named).empty();
}

TEST(OneShotEngine, WhatIsNotKeptLeavesNoPagesOnTheDisk) {
    EXPECT_FALSE(leaves_pages({}));
    EXPECT_FALSE(leaves_pages({"-c", "--no-save"}));
    EXPECT_FALSE(leaves_pages({"--temporary", "--kv-dir", "NAMED"}));
    EXPECT_TRUE(leaves_pages({"--save"})) << "the test sees pages where there are some";
    EXPECT_TRUE(leaves_pages({"--kv-dir", "NAMED"})) << "who names a folder wants them there";
}

TEST(OneShotEngine, APromptBeyondTheContextHasItsOwnStatus) {
    const auto result = run(speaking_model(), {"--ctx", "16", std::string(200, 'a')});
    EXPECT_EQ(result.status, 7) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_NE(result.err.find("16"), std::string::npos);
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1);
}

TEST(OneShotEngine, AModelWithoutAVocabularyCannotBeAsked) {
    const auto result =
        run(support::tiny_model(support::Family::grok1, support::Storage::q8_0), {"hello"});
    EXPECT_EQ(result.status, 5);
    EXPECT_NE(result.err.find("vocabulary"), std::string::npos) << result.err;
}

TEST(OneShotEngine, AModelThatLacksATensorIsNamedWithIt) {
    auto model = speaking_model();
    model.remove_tensor("blk.1.attn_q.weight");
    const auto result = run(model, {"hello"});
    EXPECT_EQ(result.status, 5);
    EXPECT_NE(result.err.find("blk.1.attn_q.weight"), std::string::npos) << result.err;
    EXPECT_EQ(std::ranges::count(result.err, '\n'), 1);
}

TEST(OneShotEngine, AnUnknownArchitectureIsNamed) {
    auto model = speaking_model();
    model.meta("general.architecture") = std::string("mamba");
    const auto result = run(model, {"hello"});
    EXPECT_EQ(result.status, 5);
    EXPECT_NE(result.err.find("mamba"), std::string::npos) << result.err;
}

TEST(OneShotEngine, TooLittleMemorySaysWhatIsNeeded) {
    auto model = speaking_model();
    model.meta("grok.context_length") = uint32_t{1U << 30U};
    const auto result = run(model, {"--ctx", "1073741824", "hello"});
    EXPECT_EQ(result.status, 6);
    EXPECT_NE(result.err.find("available"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace app
