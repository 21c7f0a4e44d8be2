// The engine with a cache directory, as its clients see it: restarts, purges, listings, temporary
// chats. That no logit differs is the matter of resume_test.cpp.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/engine/engine.h"
#include "core/kv/disk_store.h"
#include "core/text/tokenizer.h"
#include "tests/support/engine_client.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

using Messages = std::vector<chat::Message>;

support::TestModel speaking_model(support::Family family = support::Family::grok1) {
    auto model = support::tiny_model(family, support::Storage::q8_0);
    support::add_vocabulary(model);
    return model;
}

class KvEngine : public testing::Test {
  protected:
    KvEngine() { start(); }
    ~KvEngine() override { stop(); }
    KvEngine(const KvEngine&) = delete;
    KvEngine& operator=(const KvEngine&) = delete;

    void start() {
        engine.emplace(EngineOptions{
            .threads = 1, .kv_directory = directory, .kv_disk_bytes = uint64_t{1} << 30U});
        engine->attach(client.channel);
        client.ask<chat::ModelReady>(chat::LoadModel{.path = file.path(), .context = 2048});
    }
    void stop() {
        if (engine) engine->detach(client.channel);
        engine.reset();
    }
    void restart() {
        stop();
        start();
    }

    static chat::Generate ask_for(Messages messages) {
        return {.prompt = std::move(messages),
                .sampling = {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7},
                .max_tokens = 12};
    }
    // Asks and adds the answer to the messages.
    chat::Usage turn(Messages& messages, bool persist = true) {
        auto request = ask_for(messages);
        request.persist = persist;
        const auto usage = client.ask<chat::Finished>(request).usage;
        chat::Message answer{.role = chat::Role::assistant, .tokens = client.tokens()};
        for (const auto& event : client.last_events)
            if (const auto* delta = std::get_if<chat::Delta>(&event)) answer.text += delta->text;
        messages.push_back(std::move(answer));
        return usage;
    }
    chat::KvListed list(const Messages& line) {
        return client.ask<chat::KvListed>(chat::Kv{.lines = {line}});
    }
    bool on_disk(const std::string& word) const {
        return support::holds_phrase(folder, ids_of(word));
    }
    std::vector<TokenId> ids_of(const std::string& word) const {
        return load_tokenizer(file.path())->encode(word, false);
    }

    support::TemporaryFolder folder;
    const std::string directory = folder.path() + "/kv";
    support::TemporaryGguf file{speaking_model()};
    support::EngineClient client;
    std::optional<Engine> engine;
    const std::string long_text = [] {
        std::string text;
        for (int i = 0; i < 300; ++i)
            text += static_cast<char>('a' + (i * i + i / 7) % 26);
        return text;
    }();
};

TEST_F(KvEngine, AfterARestartAConversationIsRestoredAndGoesOnAsIfNothingHadHappened) {
    Messages messages{{.text = long_text}};
    const auto first = turn(messages);
    EXPECT_EQ(first.restored, 0U);
    messages.push_back({.text = "and then"});
    Messages interrupted = messages;
    turn(messages);
    const auto uninterrupted = client.tokens();

    restart();
    const auto usage = turn(interrupted);
    EXPECT_EQ(client.tokens(), uninterrupted);
    EXPECT_EQ(usage.recomputed, 1U);
    EXPECT_EQ(usage.restored, usage.reused);
    EXPECT_EQ(usage.restored, usage.prompt - 1);
    EXPECT_GT(usage.restored_bytes, 0U);
    EXPECT_GT(usage.restore_seconds, 0);
    EXPECT_GE(usage.first_token_seconds, usage.restore_seconds);
    uint64_t told = 0;
    for (const auto& event : client.last_events)
        if (const auto* progress = std::get_if<chat::Progress>(&event);
            progress != nullptr && progress->phase == chat::Phase::restoring) {
            EXPECT_EQ(progress->total, usage.restored);
            told = progress->done;
        }
    EXPECT_EQ(told, usage.restored);
}

TEST_F(KvEngine, ANextTurnInMemoryRestoresNothing) {
    Messages messages{{.text = long_text}};
    const auto first = turn(messages);
    messages.push_back({.text = "and then"});
    const auto second = turn(messages);
    EXPECT_EQ(second.restored, 0U);
    EXPECT_GT(second.reused, first.prompt);
}

TEST_F(KvEngine, TemporaryChatsAndUnsubmittedTextAreNeverWritten) {
    Messages messages{{.text = long_text}};
    turn(messages, false);
    client.ask<chat::Done>(chat::Prefill{.messages = {{.text = "typed and never sent"}}});
    client.ask<chat::Done>(chat::Kv{.action = chat::KvAction::save});
    const auto listed = list(messages);
    EXPECT_EQ(listed.disk_pages, 0U);
    EXPECT_GT(listed.entries.at(0).resident, 300U);
    stop();
    EXPECT_TRUE(folder.files().empty());
}

TEST_F(KvEngine, AFinishedAnswerTellsTheLineThatTheDiskHasAndForgettingThatLeavesNothing) {
    chat::Generate request = ask_for({{.text = long_text}});
    const auto told = client.ask<chat::Finished>(request);
    stop();
    DiskStore disk(directory, 0);
    uint32_t rows = 0;
    for (const FoundPage& page : disk.find(told.cache_root, told.cache_root, told.cached_line, 0))
        rows += page.rows;
    EXPECT_EQ(rows, told.cached_line.size());
    EXPECT_EQ(rows, told.usage.prompt + told.usage.generated - 1);
    disk.drop(told.cache_root, std::vector<std::vector<TokenId>>{told.cached_line});
    EXPECT_TRUE(list_pages(directory).empty());
    start();
    request.persist = false;
    EXPECT_TRUE(client.ask<chat::Finished>(request).cached_line.empty());
}

TEST_F(KvEngine, TextTypedAheadIsWrittenWithTheTurnThatSendsIt) {
    Messages messages{{.text = long_text}};
    client.ask<chat::Done>(chat::Prefill{.messages = messages});
    EXPECT_EQ(turn(messages).recomputed, 1U);
    restart();
    EXPECT_EQ(list(messages).entries.at(0).resident, 0U);
    EXPECT_GT(list(messages).entries.at(0).on_disk, 300U);
}

TEST_F(KvEngine, APurgedConversationLeavesNoPhraseInTheDirectory) {
    const std::string secret = "xqzwvxqzjvkw";
    Messages kept{{.text = long_text}};
    Messages purged{{.text = long_text}};
    turn(kept);
    kept.push_back({.text = "hello"});
    turn(kept);
    turn(purged);
    purged.push_back({.text = secret});
    Messages regenerated = purged;
    turn(purged);
    purged.push_back({.text = long_text});
    turn(purged);
    auto other = ask_for(regenerated);
    other.sampling.seed = 8;
    client.ask<chat::Finished>(other);
    regenerated.push_back({.role = chat::Role::assistant, .tokens = client.tokens()});
    for (const auto& event : client.last_events)
        if (const auto* delta = std::get_if<chat::Delta>(&event))
            regenerated.back().text += delta->text;
    client.ask<chat::KvListed>(chat::Kv{});
    client.ask<chat::Done>(chat::Kv{.action = chat::KvAction::save});
    EXPECT_TRUE(on_disk(secret));

    client.ask<chat::Done>(
        chat::Kv{.action = chat::KvAction::drop, .lines = {purged, regenerated}});
    EXPECT_FALSE(on_disk(secret));
    restart();
    EXPECT_FALSE(on_disk(secret));
    // What the other conversation reaches is still there: all of it but its last token's row.
    const auto entry = list(kept).entries.at(0);
    EXPECT_GE(entry.on_disk + 2, entry.tokens);
}

TEST_F(KvEngine, ListingTellsWhatIsWhere) {
    Messages messages{{.text = long_text}};
    turn(messages);
    restart();
    Messages longer = messages;
    longer.push_back({.text = "something new"});
    auto listed = list(longer);
    ASSERT_EQ(listed.entries.size(), 1U);
    const auto before = listed.entries[0];
    EXPECT_EQ(before.resident, 0U);
    EXPECT_GT(before.on_disk, 300U);
    EXPECT_LT(before.on_disk, before.tokens);
    EXPECT_EQ(before.disk_bytes, listed.disk_bytes);
    EXPECT_EQ(before.restore_seconds, 0);  // nothing has been measured
    EXPECT_EQ(before.reread_seconds, 0);
    EXPECT_GT(listed.disk_pages, 4U);
    EXPECT_EQ(listed.disk_budget, uint64_t{1} << 30U);
    EXPECT_EQ(listed.memory_pages, 0U);

    turn(longer);
    Messages edited = longer;
    edited.back().text = "quite another answer";
    edited.back().tokens.clear();
    listed = list(edited);
    EXPECT_GT(listed.entries[0].resident, before.on_disk);
    EXPECT_EQ(listed.entries[0].on_disk, 0U);
    EXPECT_GT(listed.entries[0].reread_seconds, 0);
    EXPECT_GT(listed.memory_pages, 4U);
}

TEST_F(KvEngine, APrefetchedLineNeedsNoDisk) {
    Messages messages{{.text = long_text}};
    turn(messages);
    messages.push_back({.text = "and then"});
    restart();
    client.ask<chat::Done>(chat::Kv{.action = chat::KvAction::prefetch, .lines = {messages}});
    EXPECT_TRUE(std::ranges::any_of(client.last_events, [](const chat::Event& event) {
        const auto* progress = std::get_if<chat::Progress>(&event);
        return progress != nullptr && progress->done > 300;
    }));
    const auto usage = turn(messages);
    EXPECT_EQ(usage.restored, 0U);
    EXPECT_GT(usage.reused, 300U);
}

TEST_F(KvEngine, CancelledRequestsEndWhateverTheDiskDoes) {
    Messages messages{{.text = long_text}};
    turn(messages);
    messages.push_back({.text = "and then"});
    restart();
    auto cancelled = ask_for(messages);
    cancelled.cancel->store(true);
    EXPECT_EQ(client.ask<chat::Finished>(cancelled).reason, chat::FinishReason::cancelled);
    chat::Kv prefetch{.action = chat::KvAction::prefetch, .lines = {messages}};
    prefetch.cancel->store(true);
    client.ask<chat::Done>(prefetch);
    chat::Prefill prefill{.messages = messages};
    prefill.cancel->store(true);
    client.ask<chat::Done>(prefill);
    EXPECT_GT(turn(messages).reused, 300U);
}

TEST_F(KvEngine, RequestsInFlightEndWithTheirChannelAndWithTheModel) {
    Messages messages{{.text = long_text}};
    turn(messages);
    messages.push_back({.text = "and then"});
    for (int round = 0; round < 3; ++round) {
        restart();
        support::EngineClient other;
        engine->attach(other.channel);
        auto request = ask_for(messages);
        request.id = other.channel.next_id();
        other.channel.submit(request);
        other.channel.submit(chat::Kv{.id = other.channel.next_id(), .lines = {messages}});
        other.channel.submit(chat::Kv{.id = other.channel.next_id(),
                                      .action = chat::KvAction::prefetch,
                                      .lines = {messages}});
        if (round == 0) engine->detach(other.channel);
        if (round == 1) client.ask<chat::Done>(chat::UnloadModel{});
        if (round == 2) stop();
        if (round == 1) engine->detach(other.channel);
    }
    start();
    EXPECT_GT(turn(messages).restored, 300U);
}

// A list of all conversations must not hold up the answer to one.
TEST_F(KvEngine, TheLinesOfALongListAreRenderedBetweenThePassesOfAnAnswer) {
    chat::Generate answer = ask_for({{.text = "go on"}});
    answer.max_tokens = 1500;
    answer.id = client.channel.next_id();
    client.channel.submit(answer);
    while (!std::holds_alternative<chat::Delta>(client.next_event())) {
    }
    const std::vector<Messages> lines(1200, Messages{{.text = long_text}});
    const auto listed = client.ask<chat::KvListed>(chat::Kv{.lines = lines});
    EXPECT_EQ(listed.entries.size(), lines.size());
    EXPECT_GT(client.tokens().size(), 10U);
    answer.cancel->store(true);
    client.await_end(answer.id);
}

TEST_F(KvEngine, WhatIsToBeForgottenIsForgottenEvenIfItsClientLeavesAtOnce) {
    Messages messages{{.text = long_text}};
    turn(messages);
    client.ask<chat::Done>(chat::Kv{.action = chat::KvAction::save});
    EXPECT_TRUE(on_disk(long_text.substr(0, 20)));
    support::EngineClient other;
    engine->attach(other.channel);
    std::vector<Messages> lines(200, Messages{{.text = long_text + "another"}});
    lines.push_back(messages);
    other.channel.submit(
        chat::Kv{.id = other.channel.next_id(), .action = chat::KvAction::drop, .lines = lines});
    engine->detach(other.channel);
    stop();
    EXPECT_FALSE(on_disk(long_text.substr(0, 20)));
}

TEST_F(KvEngine, AnotherModelFindsNothingAndTheFirstFindsItsOwnAgain) {
    auto changed = speaking_model();
    changed.tensors.front().data.front() ^= std::byte{1};
    const support::TemporaryGguf second(changed);
    Messages messages{{.text = long_text}};
    turn(messages);
    messages.push_back({.text = "and then"});
    const Messages same = messages;
    client.ask<chat::ModelReady>(chat::LoadModel{.path = second.path(), .context = 2048});
    EXPECT_EQ(turn(messages).reused, 0U);
    client.ask<chat::ModelReady>(chat::LoadModel{.path = file.path(), .context = 2048});
    messages = same;
    EXPECT_GT(turn(messages).restored, 300U);
    // Nor does another KV type.
    client.ask<chat::ModelReady>(
        chat::LoadModel{.path = file.path(), .context = 2048, .kv_type = chat::KvTypeChoice::q8});
    messages = same;
    EXPECT_EQ(turn(messages).reused, 0U);
}

TEST_F(KvEngine, TenConversationsShareTheirSystemPromptOnDiskToo) {
    const Messages system{{.role = chat::Role::system, .text = long_text + long_text}};
    for (int i = 0; i < 10; ++i) {
        Messages messages = system;
        messages.push_back({.text = std::string(1, static_cast<char>('a' + i))});
        turn(messages);
    }
    stop();
    const auto pages = list_pages(directory);
    const auto full = std::ranges::count_if(
        pages, [](const StoredPage& page) { return page.address.tokens == kPagePositions; });
    const auto shared = static_cast<std::ptrdiff_t>(ids_of(long_text + long_text).size()) /
                        static_cast<std::ptrdiff_t>(kPagePositions);
    EXPECT_GE(full, shared);
    EXPECT_LE(full, shared + 11);
    EXPECT_LE(pages.size(), static_cast<size_t>(shared) + 21);
}

}  // namespace
}  // namespace core
