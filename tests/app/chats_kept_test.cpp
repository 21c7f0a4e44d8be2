// `moxie chats` tells without a model what the KV cache has of each conversation, and what leaves
// the trash leaves the cache too. The real program with a tiny model.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/kv/disk_store.h"
#include "core/store/database.h"
#include "tests/app/program.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

using nlohmann::json;

support::TestModel speaking_model() {
    auto model = support::tiny_model(support::Family::grok2, support::Storage::q8_0);
    support::add_vocabulary(model);
    return model;
}

class ChatsKept : public testing::Test {
  public:
    ~ChatsKept() override = default;

  protected:
    std::string run(std::vector<std::string> arguments) const {
        const auto result = run_program({.arguments = std::move(arguments),
                                         .home = home.path(),
                                         .environment = {{"MOXIE_KV_MIN_TOKENS", "0"}}});
        EXPECT_EQ(result.status, 0) << result.err;
        return result.out;
    }
    // A saved conversation of this model.
    void ask(const std::string& prompt) const {
        run({"--save", "-m", model.path(), "--max-tokens", "4", prompt});
    }
    json first() const { return json::parse(run({"chats", "--json"})).at(0).at("kv"); }
    std::vector<core::StoredPage> pages() const { return core::list_pages(cache()); }
    std::string cache() const { return home.path() + "/CACHE/moxie/kv"; }
    core::Database database() const {
        return core::Database::open(home.path() + "/DATA/moxie/chats.db",
                                    core::Database::Access::create);
    }

    const support::TemporaryFolder home;
    const support::TemporaryGguf model{speaking_model()};
    const std::string long_prompt = std::string(300, 'a');
};

TEST_F(ChatsKept, TheListSaysOnDiskOrReadAgainAndForWhatCannotBeToldADash) {
    ask(long_prompt);
    const json kept = first();
    EXPECT_EQ(kept.at("state"), "on_disk");
    EXPECT_GT(kept.at("tokens"), 64);
    EXPECT_EQ(kept.at("on_disk"), kept.at("tokens"));
    EXPECT_EQ(kept.at("bytes"), pages().size() * pages().front().bytes);
    EXPECT_NE(run({"chats"}).find(" · ◐ on disk "), std::string::npos);

    std::filesystem::remove_all(cache());
    const json lost = first();
    EXPECT_EQ(lost.at("state"), "reread");
    EXPECT_EQ(lost.at("bytes"), 0);
    EXPECT_GT(lost.at("reread_seconds"), 0) << "measured when it was answered";
    EXPECT_NE(run({"chats"}).find(" · ○ re-read "), std::string::npos);

    // Another build's pages, and a model that is not there any more.
    database().run("UPDATE kv_line SET version = version + 1");
    EXPECT_TRUE(first().is_null());
    EXPECT_TRUE(run({"chats"}).ends_with(" · -\n"));
    database().run("UPDATE kv_line SET version = version - 1");
    EXPECT_FALSE(first().is_null());
    database().run("UPDATE model SET path = '/nowhere'");
    EXPECT_TRUE(first().is_null());
}

TEST_F(ChatsKept, WhatLeavesTheTrashLeavesTheCacheAndTheRestStays) {
    ask(long_prompt + " stays");
    const size_t shared = pages().size();
    ask(long_prompt + " goes");
    ASSERT_GT(pages().size(), shared) << "they share the beginning alone";
    database().run("UPDATE conversation SET deleted_at = 1 WHERE id = 2");
    run({"chats"});  // opens the database for writing
    EXPECT_EQ(pages().size(), shared);
    EXPECT_EQ(first().at("state"), "on_disk");
    EXPECT_EQ(first().at("on_disk"), first().at("tokens"));
}

}  // namespace
}  // namespace app
