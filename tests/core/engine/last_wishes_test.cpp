// What the engine does for a client that ends, and what a load changes beside the model.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/engine/engine.h"
#include "core/kv/disk_store.h"
#include "tests/support/engine_client.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

support::TestModel speaking_model() {
    auto model = support::tiny_model(support::Family::grok1, support::Storage::q8_0);
    support::add_vocabulary(model);
    return model;
}

class LastWishes : public testing::Test {
  protected:
    void start(uint32_t min_tokens = 0) {
        engine.emplace(EngineOptions{.threads = 1,
                                     .kv_directory = directory,
                                     .kv_disk_bytes = uint64_t{1} << 30U,
                                     .kv_min_tokens = min_tokens});
        engine->attach(client.channel);
        client.ask<chat::ModelReady>(chat::LoadModel{.path = file.path(), .context = 2048});
    }
    void stop() {
        engine->detach(client.channel);
        engine.reset();
    }
    static chat::Generate ask(bool write_later) {
        return {.prompt = std::vector<chat::Message>{{.text = std::string(200, 'a')}},
                .sampling = {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7},
                .max_tokens = 12,
                .write_later = write_later};
    }
    size_t pages() const { return list_pages(directory).size(); }

    support::TemporaryFolder folder;
    const std::string directory = folder.path() + "/kv";
    support::TemporaryGguf file{speaking_model()};
    support::EngineClient client;
    std::optional<Engine> engine;
};

TEST_F(LastWishes, WhatWaitsIsWrittenForAClientThatLeavesAtOnce) {
    start();
    client.ask<chat::Finished>(ask(true));
    stop();
    EXPECT_EQ(pages(), 0U) << "nobody asked for it";
    start();
    client.ask<chat::Finished>(ask(true));
    client.channel.submit(chat::Kv{.id = client.channel.next_id(), .action = chat::KvAction::save});
    stop();
    EXPECT_GT(pages(), 0U);
}

TEST_F(LastWishes, AnAnswerThatStillRunsIsWrittenWithTheRest) {
    start();
    chat::Generate request = ask(true);
    request.max_tokens = 0;
    request.id = client.channel.next_id();
    client.channel.submit(request);
    while (!std::holds_alternative<chat::Delta>(client.next_event()))
        continue;
    client.channel.submit(chat::Kv{.id = client.channel.next_id(), .action = chat::KvAction::save});
    stop();
    EXPECT_GT(pages(), 0U);
}

TEST_F(LastWishes, AShortLineIsNotWorthAFile) {
    start(2000);
    client.ask<chat::Finished>(ask(false));
    stop();
    EXPECT_EQ(pages(), 0U);
}

TEST_F(LastWishes, ALoadChangesTheThreadsAndNoToken) {
    start();
    client.ask<chat::Finished>(ask(false));
    const std::vector<TokenId> alone = client.tokens();
    client.ask<chat::ModelReady>(
        chat::LoadModel{.path = file.path(), .context = 2048, .threads = 3});
    client.ask<chat::Finished>(ask(false));
    EXPECT_EQ(client.tokens(), alone);
    client.ask<chat::Failed>(chat::LoadModel{.path = "/nowhere.gguf", .threads = 2});
    client.ask<chat::Finished>(ask(false));
    EXPECT_EQ(client.tokens(), alone) << "the model that was there goes on with the new ones";
    stop();
}

}  // namespace
}  // namespace core
