// The KV cache under the bundled model: what is restored after a restart answers as if everything
// had been read anew, and what is damaged is not trusted.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/e2e/program_in_tmux.h"

namespace {

namespace fs = std::filesystem;
using e2e::contains;

class CacheInTmux : public e2e::ProgramInTmux {
  protected:
    // The exact ids of the last answer of the saved conversation.
    std::vector<int> answer_ids() const {
        const std::string path = (home() / "out.jsonl").string();
        then(command("export --format jsonl > " + path) + "; echo exported $?");
        see("exported 0");
        std::ifstream in(path);
        std::vector<int> ids;
        for (std::string line; std::getline(in, line);) {
            const auto turn = nlohmann::json::parse(line);
            if (turn.value("role", "") == "assistant") ids = turn["tokens"].get<std::vector<int>>();
        }
        return ids;
    }
    void answered(const std::string& prompt) {
        say(prompt);
        std::string last;
        EXPECT_TRUE(terminal->wait_for(
            [&](const std::string& screen) {
                return contains(screen, prompt) && contains(screen, "t/s") &&
                       contains(screen, "idle");
            },
            &last))
            << last;
        quit();
    }
    std::string greedy(const std::string& arguments) const {
        return command(arguments + " --temperature 0 --max-tokens 40");
    }
    fs::path cache() const { return home() / "CACHE/moxie/kv"; }
    fs::path folder(const std::string& name) const { return home() / name; }

    // A conversation of which chats and cache are put aside, for several ways to go on with it.
    void converse() {
        start(greedy(""), 100, 30);
        see("idle");
        answered("hello, tell me a long story about a fox, a river and the old stone bridge");
        fs::copy(home() / "DATA", folder("chats"), fs::copy_options::recursive);
        fs::copy(cache(), folder("pages"), fs::copy_options::recursive);
        ASSERT_FALSE(fs::is_empty(folder("pages")));
    }
    // As it was after converse(), with these pages; empty: without any.
    void go_back(const fs::path& pages) const {
        ended();
        fs::remove_all(home() / "DATA");
        fs::remove_all(home() / "CACHE");
        fs::copy(folder("chats"), home() / "DATA", fs::copy_options::recursive);
        if (pages.empty()) return;
        fs::create_directories(cache().parent_path());
        fs::copy(pages, cache(), fs::copy_options::recursive);
    }
    void damage(const fs::path& pages) const {
        size_t count = 0;
        for (const auto& entry : fs::recursive_directory_iterator(pages)) {
            if (!entry.is_regular_file()) continue;
            std::fstream file(entry.path(), std::ios::binary | std::ios::in | std::ios::out);
            constexpr int kWithinThePage = 5000;
            file.seekg(kWithinThePage);
            const char byte = static_cast<char>(file.get() ^ 1);
            file.seekp(kWithinThePage);
            file.put(byte);
            ++count;
        }
        EXPECT_GT(count, 0U);
    }
};

TEST_F(CacheInTmux, WhatIsRestoredAnswersAsWhatIsReadAndWhatIsDamagedIsNotUsed) {
    if (bundled_model().empty()) GTEST_SKIP() << "no model in models/";
    converse();
    const std::string question = "and what did the fox say to the river";

    then(greedy("-c"));
    see("restored ");
    see("idle");
    answered(question);
    const std::vector<int> restored = answer_ids();
    ASSERT_GT(restored.size(), 4U);

    go_back({});
    then(greedy("-c"));
    see("idle");
    EXPECT_FALSE(contains(terminal->screen(), "restored "));
    answered(question);
    EXPECT_EQ(answer_ids(), restored) << "read anew";

    damage(folder("pages"));
    go_back(folder("pages"));
    then(greedy("-c"));
    see("Saved state for this branch failed its check and was dropped");
    see("idle");
    answered(question);
    EXPECT_EQ(answer_ids(), restored) << "read anew in place of what was damaged";
}

}  // namespace
