// What the chat shows and how: reasoning, hints behind C-x, the zoomed composer, the bell, /show.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/chat/key_prefix.h"
#include "tests/app/kept_chat.h"

namespace app {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class SeenTest : public testing::Test {
  protected:
    // With what config.toml says.
    ChatOptions options(const std::string& text = {}) {
        const std::string path = folder.path() + "/config.toml";
        std::ofstream(path) << text;
        return {.model_path = "/models/grok.gguf", .config = Config::load({.user_file = path})};
    }
    // Sends a prompt and lets the engine begin to answer.
    static void ask(KeptChat& chat, const std::string& prompt) {
        chat.enter(prompt);
        std::optional<core::SaveTurns> save;
        while (auto next = chat.take_request<core::SaveTurns>())
            save = std::move(next);
        ASSERT_TRUE(save);
        chat.tell(core::StoreFailed{.id = save->id});
        ASSERT_TRUE(chat.take_generate());
    }

    KeptFolder folder;
};

// --- reasoning

TEST_F(SeenTest, ReasoningIsFoldedToARowThatTellsItsTokensAndTime) {
    KeptChat chat({}, options());
    chat.ready();
    ask(chat, "why?");
    chat.say({"<think>", "because", " of"});
    EXPECT_TRUE(chat.sees("▸ thinking (3 tokens)")) << chat.screen();
    EXPECT_FALSE(chat.sees("because"));
    chat.say({" it</think>", "\n\nSo", " it is"});
    chat.finish(chat::FinishReason::stop, {.prompt = 5, .generated = 6, .decode_seconds = 3});
    EXPECT_TRUE(chat.sees("▸ thinking (4 tokens, 2.0 s)")) << chat.screen();
    EXPECT_TRUE(chat.sees("grok ▾ So it is"));
    EXPECT_FALSE(chat.sees("because"));
}

TEST_F(SeenTest, ReasoningOpensWithAKeyAndIsHiddenWithACommand) {
    KeptChat chat({}, options());
    chat.ready();
    ask(chat, "why?");
    chat.say({"<think>because", " of it</think>", "So it is"});
    chat.finish();
    chat.type("\x18v");
    EXPECT_TRUE(chat.sees("▾ thinking because of it")) << chat.screen();
    EXPECT_TRUE(chat.sees("So it is"));
    chat.type("\x18v");
    EXPECT_FALSE(chat.sees("because")) << chat.screen();
    chat.enter("/think hide");
    EXPECT_FALSE(chat.sees("thinking")) << chat.screen();
    EXPECT_TRUE(chat.sees("So it is"));
    chat.enter("/think much");
    EXPECT_TRUE(chat.sees("there are fold, show and hide")) << chat.screen();
}

TEST_F(SeenTest, TheConfigurationSaysHowReasoningIsShownFirst) {
    KeptChat chat({}, options("[chat]\nthinking = \"show\"\n"));
    chat.ready();
    ask(chat, "why?");
    chat.say({"<think>because"});
    EXPECT_TRUE(chat.sees("▾ thinking because")) << chat.screen();
    chat.say({" of it"});
    EXPECT_TRUE(chat.sees("▾ thinking because of it")) << chat.screen();
}

TEST_F(SeenTest, AMarkOfAChangeStandsInTheAnswerBehindReasoning) {
    KeptChat chat({}, options());
    chat.ready();
    ask(chat, "why?");
    chat.say({"<think>because</think>", "So"});
    chat.enter("/set temperature 1.5");
    chat.say({" it is"});
    EXPECT_TRUE(chat.sees("So┊")) << chat.screen();
    EXPECT_TRUE(chat.sees("┊ it is")) << chat.screen();
}

// --- keys

TEST_F(SeenTest, WhatMayFollowThePrefixIsShownToWhoHesitates) {
    KeptChat chat({}, options());
    chat.ready();
    chat.type("\x18");
    chat.wait(milliseconds(559));  // typing has taken 40
    EXPECT_FALSE(chat.sees("regen")) << chat.screen();
    chat.wait(milliseconds(1));
    EXPECT_TRUE(chat.sees("regen")) << chat.screen();
    EXPECT_TRUE(chat.sees("zoom"));
    chat.type("\x07");
    EXPECT_FALSE(chat.sees("regen")) << chat.screen();
    EXPECT_EQ(chat.app().composer_text(), "");
}

TEST_F(SeenTest, NothingAppearsByItselfWithoutMotion) {
    KeptChat chat({}, options("[access]\nno_motion = true\n"));
    chat.ready();
    chat.type("\x18");
    chat.wait(milliseconds(5000));
    EXPECT_FALSE(chat.sees("regen")) << chat.screen();
    chat.type("\x07");
    ask(chat, "count");
    chat.say({"one", " two"});
    const std::string before =
        chat.screen().substr(chat.screen().rfind('\n', chat.screen().size() - 2));
    chat.wait(milliseconds(1000));
    chat.say({" three", " four"});
    chat.wait(milliseconds(1000));
    EXPECT_TRUE(chat.sees("one two three four"));
    EXPECT_THAT(chat.screen(), HasSubstr(before)) << "the status waits for the end";
}

TEST_F(SeenTest, EveryKeyBehindThePrefixIsListedOnceWithItsAction) {
    const std::vector<ui::KeyHint> hints = keys_behind("C-x", KeyBindings());
    EXPECT_GT(hints.size(), 20U);
    for (const ui::KeyHint& hint : hints) {
        EXPECT_THAT(hint.key, Not(HasSubstr("C-x ")));
        EXPECT_EQ(std::count_if(hints.begin(), hints.end(),
                                [&](const ui::KeyHint& one) { return one.key == hint.key; }),
                  1)
            << hint.key;
    }
    EXPECT_TRUE(keys_behind("C-y", KeyBindings()).empty());
}

TEST_F(SeenTest, TheComposerTakesTheWholeScreenUntilTheMessageIsSent) {
    KeptChat chat({}, options());
    chat.ready();
    chat.enter("/show template");
    EXPECT_TRUE(chat.sees("Template: grok-1"));
    chat.type("a message\x18z");
    EXPECT_FALSE(chat.sees("Template: grok-1")) << chat.screen();
    EXPECT_TRUE(chat.sees("> a message"));
    chat.type("\x18z");
    EXPECT_TRUE(chat.sees("Template: grok-1")) << chat.screen();
    chat.type("\x18z\r");
    EXPECT_TRUE(chat.sees("Template: grok-1")) << chat.screen();
}

TEST_F(SeenTest, TheHelpOpensAtItsTop) {
    KeptChat chat({}, options());
    chat.ready();
    chat.type("\x1bOP");
    EXPECT_TRUE(chat.sees("A unique beginning of a command is enough")) << chat.screen();
    EXPECT_FALSE(chat.sees("//TEXT sends"));
}

// --- the bell

TEST_F(SeenTest, TheEndOfAnAnswerRingsWhereNobodyLooks) {
    KeptChat chat({}, options());
    chat.ready();
    const auto answer = [&chat] {
        ask(chat, "hello");
        chat.say({"hi"});
        chat.finish();
    };
    answer();
    EXPECT_EQ(chat.terminal().rings(), 0) << "somebody looks, as far as is known";
    chat.type("\x1b[O");
    answer();
    EXPECT_EQ(chat.terminal().rings(), 1);
    chat.type("\x1b[I");
    answer();
    EXPECT_EQ(chat.terminal().rings(), 1);
}

TEST_F(SeenTest, TheBellIsAlwaysOrNeverRungWhereThatIsConfigured) {
    for (const auto& [wish, rings] : {std::pair{"done", 1}, std::pair{"off", 0}}) {
        KeptChat chat({}, options("[ui]\nbell = \"" + std::string(wish) + "\"\n"));
        chat.ready();
        chat.type("\x1b[O\x1b[I\x1b[O");
        if (rings == 1) chat.type("\x1b[I");
        ask(chat, "hello");
        chat.say({"hi"});
        chat.finish();
        EXPECT_EQ(chat.terminal().rings(), rings) << wish;
    }
}

TEST_F(SeenTest, AnAnswerThatWasStoppedDoesNotRing) {
    KeptChat chat({}, options("[ui]\nbell = \"done\"\n"));
    chat.ready();
    ask(chat, "hello");
    chat.say({"hi"});
    chat.type("\x03");
    chat.finish(chat::FinishReason::cancelled);
    EXPECT_EQ(chat.terminal().rings(), 0);
}

// --- /show

TEST_F(SeenTest, MemoryIsToldAsFarAsItIsKnown) {
    KeptChat chat({}, options());
    chat.enter("/show memory");
    EXPECT_TRUE(chat.sees("program")) << chat.screen();
    EXPECT_FALSE(chat.sees("weights"));
    chat.emit(chat::ModelReady{.id = chat.load().id,
                               .name = "grok",
                               .context = 100,
                               .weight_bytes = 310'000'000,
                               .kv_bytes = 24'000'000});
    chat.enter("/show memory");
    EXPECT_TRUE(chat.sees("weights     310 MB")) << chat.screen();
    EXPECT_TRUE(chat.sees("a full context takes 24 MB"));
    EXPECT_TRUE(chat.sees("available"));
}

TEST_F(SeenTest, TokensOfEachMessageAreCounted) {
    KeptChat chat({}, options());
    chat.ready();
    chat.enter("/show tokens");
    EXPECT_TRUE(chat.sees("There is no message yet."));
    ask(chat, "hello");
    chat.say({"hi", " there"});
    chat.finish(chat::FinishReason::stop, {.prompt = 7, .generated = 2});
    ask(chat, "and more");
    chat.say({"yes"});
    chat.finish(chat::FinishReason::stop, {.prompt = 20, .generated = 1});
    chat.enter("/show tokens");
    EXPECT_TRUE(chat.sees("1    you    7")) << chat.screen();
    EXPECT_TRUE(chat.sees("2    answer 2"));
    EXPECT_TRUE(chat.sees("3    you    11")) << "20 without 7 and 2";
    EXPECT_TRUE(chat.sees("4    answer 1"));
    EXPECT_TRUE(chat.sees("of 8,000, 1,024 kept for the answer"));
}

TEST_F(SeenTest, EveryTopicOfShowIsKnown) {
    KeptChat chat({}, options());
    chat.ready();
    for (const char* topic :
         {"params", "model", "template", "memory", "kv", "context", "tokens", "keys", "config"}) {
        chat.enter("/show " + std::string(topic));
        EXPECT_FALSE(chat.sees("unknown")) << topic << "\n" << chat.screen();
    }
    chat.enter("/show nothing");
    EXPECT_TRUE(chat.sees("there are params, model, template, memory, kv, context, tokens, keys"))
        << chat.screen();
}

// --- models

TEST_F(SeenTest, ThreadsAndTemplateAreChosenWithTheModel) {
    KeptChat chat({}, options());
    chat.ready();
    EXPECT_EQ(chat.load().threads, 0U);
    chat.enter("/model /models/llama.gguf --threads 3");
    chat.until([&] { return chat.load().id != 0; }, "a LoadModel");
    EXPECT_EQ(chat.load().threads, 3U);
    chat.ready("llama");
    chat.enter("/set template chatml");
    chat.until([&] { return chat.load().id != 0; }, "a LoadModel");
    EXPECT_EQ(chat.load().template_name, "chatml");
    EXPECT_EQ(chat.load().path, "/models/llama.gguf");
    EXPECT_EQ(chat.load().threads, 3U) << "for the rest of the session";
    chat.ready("llama");
    chat.enter("/set template chatlm");
    EXPECT_TRUE(chat.sees("chatlm")) << chat.screen();
    EXPECT_EQ(chat.load().id, 0U);
    chat.enter("/model x --thread 3");
    EXPECT_TRUE(chat.sees("--threads N")) << chat.screen();
}

// --- conversations without a model

TEST_F(SeenTest, WithoutAModelTheListTellsWhatIsOnDiskOrADash) {
    KeptChat chat({}, options());
    chat.type("\x18s");
    std::optional<core::ListConversations> list;
    while (auto next = chat.take_request<core::ListConversations>())
        list = std::move(next);
    ASSERT_TRUE(list);
    chat.tell(core::Listed{.id = list->id,
                           .conversations = {{.id = "3f2a", .title = "of foxes"},
                                             {.id = "4b1c", .title = "of owls"}}});
    for (const auto& [id, pages] :
         {std::pair{"3f2a", std::optional(chat::KvEntry{
                                .tokens = 900, .on_disk = 899, .disk_bytes = 310'000'000})},
          std::pair{"4b1c", std::optional<chat::KvEntry>()}}) {
        const auto look = chat.take_request<core::LookForPages>();
        ASSERT_TRUE(look);
        EXPECT_EQ(look->conversation, id);
        chat.tell(core::PagesFound{.id = look->id, .pages = pages});
    }
    EXPECT_TRUE(chat.sees("◐ on disk 310 MB")) << chat.screen();
    EXPECT_TRUE(chat.sees("- · no model")) << chat.screen();
}

}  // namespace
}  // namespace app
