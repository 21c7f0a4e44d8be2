// The engine's thread over a tiny model: what a client sees.
#include "core/engine/engine.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/engine_client.h"
#include "tests/support/loaded_model.h"
#include "tests/support/tiny_model.h"

namespace core {
namespace {

using Client = support::EngineClient;

support::TestModel test_model() {
    auto model = support::tiny_model(support::Family::grok1, support::Storage::q8_0);
    support::add_vocabulary(model);
    return model;
}

chat::Generate generate(std::string text, uint32_t tokens = 20) {
    return {.prompt = std::move(text),
            .sampling = {.temperature = 1.0F, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7},
            .max_tokens = tokens};
}

class EngineTest : public testing::Test {
  protected:
    EngineTest() { engine.attach(client.channel); }
    ~EngineTest() override { engine.detach(client.channel); }
    EngineTest(const EngineTest&) = delete;
    EngineTest& operator=(const EngineTest&) = delete;

    chat::ModelReady load() {
        return client.ask<chat::ModelReady>(chat::LoadModel{.path = file.path()});
    }

    support::TemporaryGguf file{test_model()};
    Client client;
    Engine engine{EngineOptions{.threads = 2}};
};

TEST_F(EngineTest, LoadsAModelAndTellsWhatItIs) {
    const auto ready = load();
    EXPECT_EQ(ready.family, "grok-1");
    EXPECT_EQ(ready.format, "grok-1");
    EXPECT_GT(ready.context, 0U);
    EXPECT_GT(ready.weight_bytes, 0U);
    EXPECT_GT(ready.kv_bytes, 0U);
    EXPECT_TRUE(std::holds_alternative<chat::Progress>(client.last_events.front()));
}

TEST_F(EngineTest, TheSameSeedGivesTheSameAnswerReadOrReused) {
    load();
    const auto first = client.ask<chat::Finished>(generate("hello"));
    const auto tokens = client.tokens();
    EXPECT_EQ(first.usage.reused, 0U);
    const auto second = client.ask<chat::Finished>(generate("hello"));
    EXPECT_EQ(second.usage.recomputed, 1U);
    EXPECT_EQ(client.tokens(), tokens);
    EXPECT_FALSE(tokens.empty());
}

TEST_F(EngineTest, AnotherClientsAnswersChangeNothing) {
    load();
    client.ask<chat::Finished>(generate("hello", 40));
    const auto alone = client.tokens();

    Client other;
    engine.attach(other.channel);
    auto long_one = generate("something else entirely", 40);
    long_one.id = other.channel.next_id();
    auto again = generate("hello", 40);
    again.scope = "fresh";
    other.channel.submit(long_one);
    client.ask<chat::Finished>(again);
    EXPECT_EQ(client.tokens(), alone);
    other.events_of(long_one.id);
    engine.detach(other.channel);
}

TEST_F(EngineTest, AReplayOfTheBeginningOfAnAnswerGivesItsEnd) {
    load();
    client.ask<chat::Finished>(generate("hello", 12));
    const auto whole = client.tokens();
    auto branch = generate("hello", static_cast<uint32_t>(whole.size()) - 5);
    branch.forced_prefix.assign(whole.begin(), whole.begin() + 5);
    client.ask<chat::Finished>(branch);
    EXPECT_EQ(client.tokens(), whole);
}

TEST_F(EngineTest, ProbabilitiesAreTold) {
    load();
    auto request = generate("hello", 3);
    request.detail = chat::Detail::full;
    client.ask<chat::Finished>(request);
    for (const auto& event : client.last_events)
        if (const auto* delta = std::get_if<chat::Delta>(&event)) {
            EXPECT_GT(delta->tokens.at(0).raw_probability, 0.0F);
            EXPECT_EQ(delta->tokens.at(0).alternatives.size(), 20U);
        }
}

TEST_F(EngineTest, CountsAreThoseOfThePromptThatIsRead) {
    load();
    const std::vector<chat::Message> messages{
        {.text = "hello"}, {.role = chat::Role::assistant, .text = "yes"}, {.text = "so?"}};
    const auto counted = client.ask<chat::Counted>(chat::Count{.what = messages});
    EXPECT_EQ(counted.tokens.size(), 3U);
    auto request = generate("", 1);
    request.prompt = messages;
    EXPECT_EQ(client.ask<chat::Finished>(request).usage.prompt, counted.total);
    const auto text = client.ask<chat::Counted>(chat::Count{.what = "hello"});
    EXPECT_GT(text.total, 0U);
}

TEST_F(EngineTest, ThePiecesOfATextSpellItAndTheirIdsSpellThePieces) {
    load();
    const auto cut = client.ask<chat::Spelled>(chat::Spell{.what = "hello there"});
    std::string text;
    std::vector<TokenId> ids;
    for (const chat::Piece& piece : cut.pieces) {
        text += piece.text;
        ids.push_back(piece.id);
    }
    EXPECT_TRUE(text.ends_with("hello there")) << text;
    ids.push_back(-1);
    ids.push_back(1 << 20);
    const auto spelled = client.ask<chat::Spelled>(chat::Spell{.what = ids});
    ASSERT_EQ(spelled.pieces.size(), ids.size());
    for (size_t i = 0; i < cut.pieces.size(); ++i)
        EXPECT_EQ(spelled.pieces[i].text, cut.pieces[i].text);
    EXPECT_EQ(spelled.pieces.back().text, "") << "there is no such token";
}

TEST_F(EngineTest, WhatIsNotBuiltYetSaysSo) {
    load();
    EXPECT_FALSE(client.ask<chat::Failed>(chat::Capture{}).sentence.empty());
}

TEST_F(EngineTest, WithoutADirectorySavingAndPrefetchingDoNothing) {
    load();
    client.ask<chat::Finished>(generate("hello", 5));
    for (const auto action : {chat::KvAction::save, chat::KvAction::prefetch})
        client.ask<chat::Done>(chat::Kv{.action = action, .lines = {{{.text = "hello"}}}});
    EXPECT_EQ(client.ask<chat::KvListed>(chat::Kv{}).disk_budget, 0U);
}

TEST_F(EngineTest, WhatIsKeptCanBeListedAndDropped) {
    load();
    EXPECT_TRUE(client.ask<chat::KvListed>(chat::Kv{}).entries.empty());
    const auto usage = client.ask<chat::Finished>(generate("hello", 5)).usage;
    const auto entries = client.ask<chat::KvListed>(chat::Kv{}).entries;
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].tokens, usage.prompt + usage.generated - 1);
    EXPECT_EQ(entries[0].resident, entries[0].tokens);
    client.ask<chat::Done>(chat::Kv{.action = chat::KvAction::drop});
    EXPECT_TRUE(client.ask<chat::KvListed>(chat::Kv{}).entries.empty());
    EXPECT_EQ(client.ask<chat::Finished>(generate("hello", 5)).usage.reused, 0U);
}

TEST_F(EngineTest, WithoutAModelEveryQuestionFailsAndTheEngineGoesOn) {
    EXPECT_EQ(client.ask<chat::Failed>(generate("x")).sentence,
              "No model is loaded, load one first.");
    client.ask<chat::Failed>(chat::Count{.what = "x"});
    client.ask<chat::Failed>(chat::Prefill{});
    client.ask<chat::Failed>(chat::Preview{});
    load();
    client.ask<chat::Done>(chat::UnloadModel{});
    client.ask<chat::Failed>(generate("x"));
}

TEST_F(EngineTest, FilesThatAreNoModelsFailWithTheirExitCode) {
    EXPECT_EQ(client.ask<chat::Failed>(chat::LoadModel{.path = "/nonexistent.gguf"}).exit_code,
              static_cast<int>(ErrorKind::model_not_found));
    EXPECT_EQ(client.ask<chat::Failed>(chat::LoadModel{.path = "/proc/self/status"}).exit_code,
              static_cast<int>(ErrorKind::model_unusable));
    load();
    client.ask<chat::Finished>(generate("x", 2));
}

TEST_F(EngineTest, AContextThatDoesNotFitIntoMemoryFailsBeforeTheLoad) {
    auto model = test_model();
    model.meta("grok.context_length") = uint32_t{1U << 30U};
    const support::TemporaryGguf huge(model);
    const auto failed =
        client.ask<chat::Failed>(chat::LoadModel{.path = huge.path(), .context = 1U << 30U});
    EXPECT_EQ(failed.exit_code, static_cast<int>(ErrorKind::memory));
    EXPECT_EQ(client.last_events.size(), 1U);
    EXPECT_TRUE(failed.sentence.starts_with("Needs ")) << failed.sentence;
}

TEST_F(EngineTest, ACancelledLoadFailsAndLeavesNoModel) {
    chat::LoadModel request{.path = file.path()};
    request.cancel->store(true);
    client.ask<chat::Failed>(request);
    client.ask<chat::Failed>(generate("x"));
}

TEST_F(EngineTest, LoadingAnotherModelEndsTheAnswersOfTheFirst) {
    load();
    auto request = generate("hello", 0);
    request.id = client.channel.next_id();
    client.channel.submit(request);
    const auto id = client.channel.next_id();
    client.channel.submit(chat::LoadModel{.id = id, .path = file.path()});
    const auto events = client.events_of(id);
    const auto ended = std::ranges::count_if(events, [&](const chat::Event& event) {
        return chat::request_of(event) == request.id && chat::is_terminal(event);
    });
    EXPECT_EQ(ended, 1);
    EXPECT_TRUE(std::holds_alternative<chat::ModelReady>(events.back()));
}

TEST_F(EngineTest, DetachAndDestructionInTheMiddleOfAnAnswerReturn) {
    load();
    Client other;
    {
        Engine second{EngineOptions{.threads = 1}};
        second.attach(other.channel);
        other.ask<chat::ModelReady>(chat::LoadModel{.path = file.path()});
        auto request = generate("hello", 0);
        request.id = other.channel.next_id();
        other.channel.submit(request);
        while (!std::holds_alternative<chat::Delta>(other.next_event())) {
        }
    }
    auto request = generate("hello", 0);
    request.id = client.channel.next_id();
    client.channel.submit(request);
    while (!std::holds_alternative<chat::Delta>(client.next_event())) {
    }
    engine.detach(client.channel);
}

TEST_F(EngineTest, AnUnknownInstructionSetIsRefused) {
    EXPECT_THROW(Engine(EngineOptions{.isa = "mmx"}), Error);
}

}  // namespace
}  // namespace core
