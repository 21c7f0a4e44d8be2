// What is configured comes into force in the chat: layers, profiles, presets, what opens first.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/chat/chat_settings.h"
#include "tests/app/kept_chat.h"

namespace app {
namespace {

class SettingsTest : public testing::Test {
  protected:
    SettingsTest() {
        // No thread is there that could read it meanwhile.
        ::setenv("XDG_CONFIG_HOME", folder.path().c_str(), 1);
    }
    ~SettingsTest() override { ::unsetenv("XDG_CONFIG_HOME"); }

    std::string write(const std::string& name, const std::string& text) {
        std::string path = folder.path() + "/moxie/" + name;
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path) << text;
        return path;
    }
    // As the command line makes them.
    ChatOptions options(const std::string& file = {}, std::vector<ConfigFlag> flags = {}) {
        ConfigSources sources{.flags = std::move(flags)};
        if (!file.empty()) sources.user_file = write("config.toml", file);
        ChatOptions options{.model_path = "/models/grok.gguf",
                            .data_folder = folder.path(),
                            .config = Config::load(sources)};
        options.sampling.put(SamplingSource::config, sampling_of_config(options.config));
        options.sampling.put(SamplingSource::flag, sampling_of_flags(options.config));
        return options;
    }
    static std::string source(KeptChat& chat, const char* name) {
        return std::string(source_name(chat.app().settings().layers().source_of(name)));
    }

    KeptFolder folder;
};

TEST_F(SettingsTest, AProfileAndItsPresetComeIntoForceWithTheirModel) {
    write("presets/precise.toml", "top_p = 0.5\ntemperature = 0.1\n");
    KeptChat chat({}, options("[sampling]\ntop_k = 9\n[model_profile.\"grok*\"]\nmin_p = 0.2\n"
                              "temperature = 0.7\npreset = \"precise\"\nctx = 512\n"));
    EXPECT_EQ(chat.session().sampling().top_p, 0.95F);
    chat.ready("grok");
    EXPECT_EQ(chat.load().context, 512U);
    const chat::Sampling& sampling = chat.session().sampling();
    EXPECT_EQ(sampling.top_p, 0.5F);
    EXPECT_EQ(sampling.temperature, 0.1F);  // the preset's
    EXPECT_EQ(sampling.min_p, 0.2F);
    EXPECT_EQ(sampling.top_k, 9);
    EXPECT_EQ(source(chat, "top_p"), "preset");
    EXPECT_EQ(source(chat, "min_p"), "model");
    EXPECT_EQ(source(chat, "top_k"), "config");
    chat.enter("/model /models/llama.gguf");
    chat.ready("llama");
    EXPECT_EQ(chat.load().context, 0U);
    EXPECT_EQ(chat.session().sampling().top_p, 0.95F);
    EXPECT_EQ(source(chat, "min_p"), "default");
}

TEST_F(SettingsTest, WhatTheModelFileRecommendsIsWeakerThanTheConfiguration) {
    KeptChat chat({}, options("[sampling]\ntop_k = 9\n"));
    const auto load = [&chat](const std::string& name, std::map<std::string, std::string> hints) {
        chat.until([&chat] { return chat.load().id != 0; }, "a LoadModel");
        chat.emit(chat::ModelReady{.id = chat.load().id,
                                   .name = name,
                                   .context = 100,
                                   .sampling_hints = std::move(hints)});
    };
    load("qwen", {{"temperature", "0.6"}, {"top_k", "20"}, {"top_p", "7"}});
    EXPECT_EQ(chat.session().sampling().temperature, 0.6F);
    EXPECT_EQ(source(chat, "temperature"), "gguf");
    EXPECT_EQ(chat.session().sampling().top_k, 9);
    EXPECT_EQ(source(chat, "top_k"), "config");
    EXPECT_EQ(source(chat, "top_p"), "default") << "7 is not possible";
    EXPECT_TRUE(chat.sees("The model file recommends what is not possible: top_p"))
        << chat.screen();
    chat.enter("/model /models/llama.gguf");
    load("llama", {});
    EXPECT_EQ(chat.session().sampling().temperature, 0.8F);
    EXPECT_EQ(source(chat, "temperature"), "default");
}

TEST_F(SettingsTest, AThemeThatChangesShowsAtOnceAndAMistakeLeavesTheOldOne) {
    write("themes/mine.toml", "[styles]\nerror = { fg = \"blue\" }\n");
    ChatOptions wanted = options();
    wanted.theme = "mine";
    KeptChat chat({}, wanted);
    chat.ready();
    EXPECT_EQ(chat.app().theme_name(), "mine");
    ASSERT_GE(chat.app().theme_watch().fd(), 0);
    write("themes/mine.toml", "[styles]\nerror = { fg = \"bluu\" }\n");
    chat.app().on_theme_changed();
    chat.wait(std::chrono::milliseconds(1));
    EXPECT_TRUE(chat.sees("mine.toml:2: unknown colour \"bluu\"")) << chat.screen();
    chat.enter("/theme nowhere");
    EXPECT_TRUE(chat.sees("theme nowhere: is not there")) << chat.screen();
    EXPECT_EQ(chat.app().theme_name(), "mine");
    chat.enter("/theme mono");
    EXPECT_EQ(chat.app().theme_name(), "mono");
    EXPECT_EQ(chat.app().theme_watch().fd(), -1);
}

TEST_F(SettingsTest, TheModelIsAskedForATitleOnceWhereThatIsWanted) {
    KeptChat chat(folder.path(), options("[chat]\ntitle = \"model-idle\"\n"));
    chat.ready();
    chat.enter("hello there");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    chat.take_generate();
    chat.say({"Hi"});
    chat.finish();
    chat.until([&] { return chat.session().activity() == Activity::naming; }, "a question");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    const auto& messages = std::get<std::vector<chat::Message>>(request->prompt);
    EXPECT_TRUE(messages.back().text.starts_with("Give our conversation a title"));
    chat.say({"\"A", " warm welcome\".\n", "more"});
    chat.finish();
    chat.until_idle();
    EXPECT_EQ(chat.session().title(), "A warm welcome");
    EXPECT_EQ(chat.conversation().size(), 2U) << "the question is no part of it";
    chat.converse("more", {"Yes"});
    EXPECT_EQ(chat.session().activity(), Activity::idle);
}

TEST_F(SettingsTest, TextsThatEndAnAnswerAreSetForTheNext) {
    KeptChat chat({}, options());
    chat.ready();
    chat.enter("/stop-at \"the end\" END");
    EXPECT_TRUE(chat.sees("Answers end at \"the end\", \"END\", from the next one on."));
    chat.enter("hello");
    chat.tell(core::StoreFailed{.id = chat.take_request<core::SaveTurns>()->id});
    EXPECT_EQ(chat.take_generate().value().stop, (std::vector<std::string>{"the end", "END"}));
}

TEST_F(SettingsTest, ALargePasteIsAskedAbout) {
    KeptChat chat({}, options("[terminal]\npaste_lines_confirm = 2\n"));
    chat.ready();
    const std::string paste = "\x1b[200~one\ntwo\nthree\x1b[201~";
    chat.type(paste);
    EXPECT_TRUE(chat.sees("paste 3 lines? y yes")) << chat.screen();
    EXPECT_EQ(chat.app().composer_text(), "");
    chat.type("n");
    chat.type(paste + "y");
    EXPECT_EQ(chat.app().composer_text(), "one\ntwo\nthree");
    chat.type("\x03" + paste + "f");
    EXPECT_TRUE(chat.sees("attached ▸ ▪ pasted · 3 lines")) << chat.screen();
}

TEST_F(SettingsTest, WhatIsSetHidesAFlagAndResetBringsItBack) {
    KeptChat chat(folder.path(), options("", {{"sampling.temperature", "--temperature", "0.3"}}));
    chat.ready();
    chat.enter("/set temperature 1.2");
    EXPECT_EQ(chat.session().sampling().temperature, 1.2F);
    EXPECT_EQ(source(chat, "temperature"), "set");
    chat.enter("/set temperature+=0.1");
    EXPECT_EQ(chat.session().sampling().temperature, 1.3F);
    chat.enter("/set reset temperature");
    EXPECT_EQ(chat.session().sampling().temperature, 0.3F);
    EXPECT_EQ(source(chat, "temperature"), "cli");
    chat.enter("/set max_tokens 7");
    chat.enter("hello");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    EXPECT_EQ(chat.take_generate()->max_tokens, 7U);
}

TEST_F(SettingsTest, AConversationBringsItsParametersBelowTheFlags) {
    {
        KeptChat chat(folder.path(), options());
        chat.ready();
        chat.enter("/set top_k 7");
        chat.enter("/set min_p 0.3");
        chat.converse("hello", {"hi"});
        chat.until_idle();
    }
    ChatOptions again = options("[sampling]\nmin_p = 0.1\n", {{"sampling.top_k", "--top-k", "5"}});
    again.resume = "";
    KeptChat chat(folder.path(), again);
    chat.ready();
    chat.until_seen("hi");
    EXPECT_EQ(chat.session().sampling().top_k, 5);
    EXPECT_EQ(chat.session().sampling().min_p, 0.3F);
    EXPECT_EQ(source(chat, "min_p"), "chat");
    chat.enter("/new");
    EXPECT_EQ(chat.session().sampling().min_p, 0.1F);
    EXPECT_EQ(source(chat, "min_p"), "config");
}

TEST_F(SettingsTest, PresetsAreSavedLoadedAndCompared) {
    KeptChat chat({}, options());
    chat.ready();
    chat.enter("/set temperature 0.25");
    chat.enter("/preset save calm");
    EXPECT_TRUE(chat.sees("Saved as "));
    chat.enter("/set reset");
    chat.enter("/preset diff calm");
    EXPECT_TRUE(chat.sees("temperature 0.8 → 0.25")) << chat.screen();
    chat.enter("/preset load calm");
    EXPECT_EQ(chat.session().sampling().temperature, 0.25F);
    EXPECT_EQ(source(chat, "temperature"), "preset");
    chat.enter("/preset load clam");
    EXPECT_TRUE(chat.sees("did you mean calm")) << chat.screen();
}

TEST_F(SettingsTest, MistakesAreToldAtTheStartAndReloadReadsTheFileAgain) {
    KeptChat chat({}, options("[sampling]\ntemprature = 0.2\n"));
    chat.ready();
    EXPECT_TRUE(chat.sees("config.toml:2: unknown key \"temprature\" in [sampling] — did you mean"))
        << chat.screen();
    write("config.toml", "[sampling]\ntemperature = 0.2\n[ui]\nmouse = \"full\"\n");
    chat.enter("/config reload");
    EXPECT_EQ(chat.session().sampling().temperature, 0.2F);
    EXPECT_TRUE(chat.sees("ui.mouse is known, but has no effect in this version")) << chat.screen();
    chat.enter("/config show sampling.temperature");
    EXPECT_TRUE(chat.sees("config.toml:2")) << chat.screen();
}

TEST_F(SettingsTest, TheLastConversationOpensFirstUnlessConfiguredOtherwise) {
    ChatOptions first = options();
    first.open_last = true;
    {
        KeptChat chat(folder.path(), first);
        chat.until([&] { return !chat.session().opening(); }, "the end of opening");
        chat.ready();
        EXPECT_FALSE(chat.sees("there is no conversation")) << chat.screen();
        chat.converse("hello", {"hi there"});
        chat.until_idle();
    }
    {
        KeptChat chat(folder.path(), first);
        chat.until_seen("hi there");
    }
    ChatOptions fresh = options("startup = \"new\"\n");
    fresh.open_last = true;
    KeptChat chat(folder.path(), fresh);
    chat.ready();
    EXPECT_TRUE(chat.conversation().empty());
}

TEST_F(SettingsTest, WithoutAQueueEnterWaitsForTheAnswer) {
    KeptChat chat(folder.path(), options("[chat]\nqueue = false\n"));
    chat.ready();
    chat.enter("hello");
    chat.until([&] { return chat.session().busy(); }, "an answer");
    chat.enter("and this");
    EXPECT_TRUE(chat.session().queue().empty());
    EXPECT_EQ(chat.app().composer_text(), "and this");
}

TEST_F(SettingsTest, PagesAreWrittenAtTheEndWhereThatIsConfigured) {
    KeptChat chat(folder.path(), options("[kv]\nsave_on = \"exit\"\n"));
    chat.ready();
    chat.enter("hello");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_TRUE(request->persist);
    EXPECT_TRUE(request->write_later);
    const auto saves = [&chat] {
        const std::vector<chat::Kv> asked = chat.take_kv();
        return std::ranges::count(asked, chat::KvAction::save, &chat::Kv::action);
    };
    EXPECT_EQ(saves(), 0);
    chat.finish();
    chat.enter("/model /models/llama.gguf");
    EXPECT_EQ(saves(), 1) << "the memory goes with the model";
    chat.ready("llama");
    chat.app().end({});
    chat.wait(std::chrono::milliseconds(1));
    EXPECT_EQ(saves(), 1);
}

TEST_F(SettingsTest, PagesWaitForASaveByHandWhereTheyAreNeverWritten) {
    KeptChat chat(folder.path(), options("[kv]\nsave_on = \"never\"\n"));
    chat.ready();
    chat.enter("hello");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    const auto request = chat.take_generate();
    ASSERT_TRUE(request);
    EXPECT_TRUE(request->persist);
    EXPECT_TRUE(request->write_later);
    chat.finish();
    chat.enter("/unload");
    for (const chat::Kv& asked : chat.take_kv())
        EXPECT_NE(asked.action, chat::KvAction::save);
}

TEST_F(SettingsTest, WithoutIdsNoPagesAreWrittenNotEvenByHand) {
    KeptChat chat(folder.path(), options("[privacy]\nsave_tokens = false\n"));
    chat.ready();
    chat.enter("hello");
    chat.until([&] { return chat.session().activity() == Activity::prefill; }, "an answer");
    EXPECT_FALSE(chat.take_generate().value().persist);
    chat.finish();
    chat.enter("/kv save");
    EXPECT_TRUE(chat.sees("privacy.save_tokens is off")) << chat.screen();
}

TEST_F(SettingsTest, WithoutIdsAnAnswerIsSavedAsTextAlone) {
    {
        KeptChat chat(folder.path(), options("[privacy]\nsave_tokens = false\n"));
        chat.ready();
        chat.converse("hello", {"hi", " there"});
        EXPECT_EQ(chat.conversation().turn(2).tokens.size(), 2U) << "in memory they are needed";
    }
    ChatOptions again = options();
    again.resume = "";
    KeptChat chat(folder.path(), again);
    chat.ready();
    chat.until_seen("hi there");
    EXPECT_TRUE(chat.conversation().turn(2).tokens.empty());
}

TEST_F(SettingsTest, AThemeThatIsNotThereIsToldAndTheUsualOneUsed) {
    ChatOptions with_theme = options();
    with_theme.theme = "nowhere";
    KeptChat chat({}, with_theme);
    chat.ready();
    EXPECT_TRUE(chat.sees("heme nowhere")) << chat.screen();
}

}  // namespace
}  // namespace app
