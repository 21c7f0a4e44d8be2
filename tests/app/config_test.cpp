// Precedence, origins and mistakes of the configuration.
#include "app/settings/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/settings/parameters.h"
#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConfigTest : public testing::Test {
  protected:
    std::string write(const std::string& name, const std::string& text) {
        std::string path = folder.path() + "/" + name;
        std::ofstream(path) << text;
        return path;
    }
    // A configuration whose user file has this text.
    Config user(const std::string& text) {
        return Config::load({.user_file = write("config.toml", text)});
    }
    static std::vector<std::string> texts_of(const Config& config) {
        std::vector<std::string> texts;
        for (const ConfigNotice& notice : config.notices())
            texts.push_back(notice.text);
        return texts;
    }

    support::TemporaryFolder folder;
};

TEST_F(ConfigTest, WithoutFilesEverythingIsBuiltIn) {
    const Config config = Config::load({.system_file = folder.path() + "/none.toml",
                                        .user_file = folder.path() + "/none/config.toml"});
    EXPECT_EQ(config.integer("model.ctx"), 8192);
    EXPECT_DOUBLE_EQ(config.number("sampling.temperature"), 0.8);
    EXPECT_THAT(config.texts("models.scan"), ElementsAre("hf", "llama.cpp", "lmstudio", "ollama"));
    EXPECT_EQ(config.setting("ui.theme").origin, "built-in");
    EXPECT_FALSE(config.is_set("model.ctx"));
    EXPECT_THAT(config.notices(), IsEmpty());
}

TEST_F(ConfigTest, TheStrongestLayerWinsAndIsNamed) {
    const std::string system =
        write("system.toml", "[model]\nctx = 1\nthreads = 1\nkv_type = \"q8\"\ndefault = \"s\"\n");
    const std::string user = write("user.toml", "[model]\nctx = 2\nthreads = 2\nkv_type = \"f32\"");
    ConfigSources sources{.system_file = system,
                          .user_file = user,
                          .environment = {{"MOXIE_MODEL_CTX", "3"}, {"MOXIE_MODEL_THREADS", "3"}},
                          .flags = {{"model.ctx", "--ctx", "4"}}};
    const Config config = Config::load(sources);
    EXPECT_EQ(config.integer("model.ctx"), 4);
    EXPECT_EQ(config.setting("model.ctx").origin, "--ctx");
    EXPECT_TRUE(config.is_flag("model.ctx"));
    EXPECT_EQ(config.integer("model.threads"), 3);
    EXPECT_EQ(config.setting("model.threads").origin, "MOXIE_MODEL_THREADS");
    EXPECT_EQ(config.text("model.kv_type"), "f32");
    EXPECT_EQ(config.setting("model.kv_type").origin, user + ":4");
    EXPECT_EQ(config.text("model.default"), "s");
    EXPECT_EQ(config.setting("model.default").origin, system + ":5");
}

TEST_F(ConfigTest, AChosenFileReplacesTheUsersAndNotTheSystems) {
    ConfigSources sources{.system_file = write("system.toml", "[model]\nthreads = 1\n"),
                          .user_file = write("user.toml", "[model]\nctx = 2\n"),
                          .chosen_file = write("chosen.toml", "[ui]\ntheme = \"dark\"\n")};
    const Config config = Config::load(sources);
    EXPECT_EQ(config.integer("model.threads"), 1);
    EXPECT_EQ(config.integer("model.ctx"), 8192);
    EXPECT_EQ(config.text("ui.theme"), "dark");
    sources.chosen_file = folder.path() + "/missing.toml";
    EXPECT_THROW(Config::load(sources), core::Error);
}

TEST_F(ConfigTest, AnUnknownKeyIsToldWithItsLineTheNearestNameAndTheDefault) {
    const Config config = user("\n[sampling]\ntop_k = 20\ntemprature = 0.2\n");
    EXPECT_THAT(texts_of(config),
                ElementsAre("config.toml:4: unknown key \"temprature\" in [sampling] — did you "
                            "mean \"temperature\"? Using default 0.8."));
    EXPECT_EQ(config.integer("sampling.top_k"), 20);
    try {
        require_no_mistake(config.notices());
        FAIL();
    } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::config);
        EXPECT_THAT(error.what(), HasSubstr("config.toml:4"));
    }
}

TEST_F(ConfigTest, WhatIsUsedInsteadIsWhatTheOtherLayersSay) {
    const Config config = Config::load({.user_file = write("config.toml", "[model]\ncxt = 1\n"),
                                        .environment = {{"MOXIE_MODEL_CTX", "512"}}});
    EXPECT_THAT(texts_of(config), ElementsAre(HasSubstr("Using 512 of MOXIE_MODEL_CTX.")));
}

TEST_F(ConfigTest, AnUnknownSectionIsToldWithTheNearestOne) {
    EXPECT_THAT(texts_of(user("[sampler]\ntemperature = 1\n")),
                ElementsAre("config.toml:2: unknown section [sampler] — did you mean [sampling]? "
                            "It is ignored."));
}

TEST_F(ConfigTest, ANameUnlikeAnyIsToldWithoutAGuess) {
    const Config config = Config::load({.user_file = write("config.toml",
                                                           "[weather]\nx = 1\n"
                                                           "[ui]\nwalrus = 1\n"),
                                        .environment = {{"MOXIE_UI_WALRUS", "1"}}});
    EXPECT_THAT(texts_of(config),
                ElementsAre("config.toml:2: unknown section [weather]. It is ignored.",
                            "config.toml:4: unknown key \"walrus\" in [ui]. It is ignored.",
                            "unknown variable MOXIE_UI_WALRUS. It is ignored."));
}

TEST_F(ConfigTest, ASyntaxErrorIsToldWithLineAndColumnAndTheFileIsIgnored) {
    const Config config = user("[model]\nctx = 4096\nthreads = \n");
    ASSERT_EQ(config.notices().size(), 1U);
    EXPECT_THAT(config.notices()[0].text, testing::StartsWith("config.toml:3:"));
    EXPECT_THAT(config.notices()[0].text,
                testing::EndsWith("Started with defaults; fix and /config reload."));
    EXPECT_EQ(config.integer("model.ctx"), 8192);
    EXPECT_THROW(require_no_mistake(config.notices()), core::Error);
}

TEST_F(ConfigTest, ValuesOutOfRangeOrOfAnotherTypeAreToldAndNotUsed) {
    const Config config = user(
        "[sampling]\ntemperature = -1\ntop_k = \"many\"\n[model]\nkv_type = \"f17\"\n"
        "[kv]\npersist = 1\n[sampling.top_p]\nx = 1\n");
    EXPECT_THAT(
        texts_of(config),
        ElementsAre(
            "config.toml:2: sampling.temperature is -1, must be between 0 and 5. Using default "
            "0.8.",
            "config.toml:3: sampling.top_k is \"many\", must be a whole number from 0. Using "
            "default 40.",
            "config.toml:5: model.kv_type is \"f17\", must be f32, f16 or q8. Using default "
            "\"f16\".",
            "config.toml:7: kv.persist is 1, must be true or false. Using default true.",
            HasSubstr("sampling.top_p is something else")));
    EXPECT_DOUBLE_EQ(config.number("sampling.temperature"), 0.8);
}

TEST_F(ConfigTest, VariablesAreCheckedLikeKeys) {
    const Config config = Config::load({.environment = {{"MOXIE_KV_PERSIST", "false"},
                                                        {"MOXIE_MODELS_DIRS", "/a,/b"},
                                                        {"MOXIE_SAMPLING_TOP_P", "7"},
                                                        {"MOXIE_SAMPLING_TEMPRATURE", "1"},
                                                        {"MOXIE_ISA", "scalar"}}});
    EXPECT_FALSE(config.boolean("kv.persist"));
    EXPECT_THAT(config.texts("models.dirs"), ElementsAre("/a", "/b"));
    EXPECT_THAT(texts_of(config),
                ElementsAre("MOXIE_SAMPLING_TOP_P is 7, must be between 0 and 1. Using default "
                            "0.95.",
                            "unknown variable MOXIE_SAMPLING_TEMPRATURE — did you mean "
                            "MOXIE_SAMPLING_TEMPERATURE? Using default 0.8."));
}

TEST_F(ConfigTest, AWrongFlagIsAUsageError) {
    try {
        Config::load({.flags = {{"model.threads", "--threads", "many"}}});
        FAIL();
    } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::usage);
        EXPECT_STREQ(error.what(), "--threads: is many, must be between 0 and 1024");
    }
}

TEST_F(ConfigTest, KeysWithoutEffectAreToldButNoMistake) {
    const Config config = user("[ui]\nmouse = \"wheel\"\n[backends.x]\nmodel = \"y\"\n");
    EXPECT_THAT(
        texts_of(config),
        ElementsAre("config.toml:2: ui.mouse is known, but has no effect in this version.",
                    "config.toml:4: [backends] is known, but has no effect in this version."));
    EXPECT_NO_THROW(require_no_mistake(config.notices()));
}

TEST_F(ConfigTest, ProfilesApplyToModelsWhoseNameFitsTheirGlob) {
    const Config config = user(
        "[model_profile.\"grok-2*\"]\nctx = 16384\ntemperature = 0.3\ncontext = 1\n"
        "[model_profile.\"*\"]\npreset = \"precise\"\n");
    EXPECT_EQ(config.profiles_for("llama", "").size(), 1U);
    const auto found = config.profiles_for("", "Grok-2-Q4_K");
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(std::get<int64_t>(found[0]->settings.at("ctx").value), 16384);
    EXPECT_DOUBLE_EQ(std::get<double>(found[0]->settings.at("temperature").value), 0.3);
    EXPECT_EQ(std::get<std::string>(found[1]->settings.at("preset").value), "precise");
    EXPECT_THAT(texts_of(config), ElementsAre(HasSubstr("config.toml:4: unknown key \"context\"")));
}

TEST_F(ConfigTest, ReloadingReadsTheFilesAgainAndKeepsTheFlags) {
    const Config before = Config::load({.user_file = write("config.toml", "[model]\nctx = 1\n"),
                                        .flags = {{"model.threads", "--threads", "3"}}});
    write("config.toml", "[model]\nctx = 2\nthreads = 9\n");
    const Config after = before.reloaded();
    EXPECT_EQ(after.integer("model.ctx"), 2);
    EXPECT_EQ(after.integer("model.threads"), 3);
}

TEST_F(ConfigTest, AFileThatCannotBeReadIsToldAndDefaultsAreUsed) {
    if (::geteuid() == 0) {
        std::filesystem::create_directory(folder.path() + "/config.toml");
    } else {
        ::chmod(write("config.toml", "[model]\nctx = 1\n").c_str(), 0);
    }
    const Config config = Config::load({.user_file = folder.path() + "/config.toml"});
    EXPECT_THAT(texts_of(config),
                ElementsAre(HasSubstr(::geteuid() == 0 ? "is a folder" : "cannot be read")));
}

// --- the table --------------------------------------------------------------------------------

TEST(ConfigKeys, EveryBuiltInValueFitsItsKey) {
    std::set<std::string> names;
    for (const ConfigKey& key : config_keys()) {
        EXPECT_NO_THROW(built_in(key)) << full_name(key);
        EXPECT_TRUE(names.insert(full_name(key)).second) << full_name(key);
        EXPECT_FALSE(key.help.empty()) << full_name(key);
    }
}

TEST(ConfigKeys, ValuesSurviveTheirToml) {
    for (const ConfigKey& key : config_keys()) {
        const ConfigValue value = built_in(key);
        const auto parsed =
            parse_config_text("[s]\n" + std::string(key.name) + " = " + toml_text(value) + "\n");
        const auto& entries = std::get<std::vector<FileEntry>>(parsed);
        ASSERT_EQ(entries.size(), 1U) << full_name(key);
        EXPECT_EQ(entries[0].value, value) << full_name(key);
    }
}

TEST(ConfigKeys, SamplingHasTheParametersOfTheChatWithTheirRangesAndDefaults) {
    const chat::Sampling usual;
    for (const Parameter& parameter : parameters()) {
        if (parameter.name == "grok1_order") continue;  // set by the model's family
        const ConfigKey* key = find_config_key("sampling", parameter.name);
        ASSERT_NE(key, nullptr) << parameter.name;
        if (parameter.name == "seed") continue;  // -1 is a seed of its own for every answer
        EXPECT_EQ(key->minimum, parameter.minimum) << parameter.name;
        EXPECT_EQ(key->maximum, parameter.maximum) << parameter.name;
        EXPECT_EQ(std::string(key->fallback), value_of(usual, parameter)) << parameter.name;
    }
}

}  // namespace
}  // namespace app
