// Who sets a sampling parameter, and presets.
#include "app/settings/sampling_layers.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/settings/presets.h"
#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(SamplingLayers, EveryLayerHidesThoseBelowIt) {
    SamplingLayers layers;
    EXPECT_FLOAT_EQ(layers.choice().sampling.temperature, 0.8F);
    EXPECT_EQ(layers.source_of("temperature"), SamplingSource::built_in);
    float value = 0;
    for (size_t i = 1; i < kSamplingSources; ++i) {
        const auto source = static_cast<SamplingSource>(i);
        value += 0.25F;
        layers.set(source, "temperature", std::to_string(value));
        EXPECT_FLOAT_EQ(layers.choice().sampling.temperature, value);
        EXPECT_EQ(layers.source_of("temperature"), source);
    }
    layers.reset("temperature");
    EXPECT_EQ(layers.source_of("temperature"), SamplingSource::flag);
    EXPECT_EQ(layers.source_of("top_p"), SamplingSource::built_in);
}

TEST(SamplingLayers, ASeedIsFixedUntilItIsRandomAgain) {
    SamplingLayers layers;
    layers.set(SamplingSource::preset, "seed", "7");
    EXPECT_TRUE(layers.choice().fixed_seed);
    EXPECT_EQ(layers.choice().sampling.seed, 7U);
    layers.set(SamplingSource::live, "seed", "random");
    EXPECT_FALSE(layers.choice().fixed_seed);
}

TEST(SamplingLayers, MaxTokensAreOneOfThem) {
    SamplingLayers layers;
    layers.set(SamplingSource::config, "max_tokens", "100");
    EXPECT_EQ(layers.choice().max_tokens, 100U);
    layers.set(SamplingSource::flag, "max_tokens", "-1");
    EXPECT_EQ(layers.choice().max_tokens, 0U);
    EXPECT_THROW(layers.set(SamplingSource::live, "max_tokens", "many"), core::Error);
    EXPECT_THROW(layers.set(SamplingSource::live, "temperature", "9"), core::Error);
    EXPECT_THROW(layers.set(SamplingSource::live, "tmperature", "1"), core::Error);
}

TEST(SamplingLayers, FilesAndFlagsAreLayersOfTheirOwn) {
    const Config config = Config::load(
        {.environment = {{"MOXIE_SAMPLING_TOP_K", "5"}, {"MOXIE_SAMPLING_TOP_P", "0.5"}},
         .flags = {{"sampling.top_k", "--top-k", "7"}}});
    EXPECT_EQ(sampling_of_config(config), (SamplingValues{{"top_p", "0.5"}}));
    EXPECT_EQ(sampling_of_flags(config), (SamplingValues{{"top_k", "7"}}));
}

TEST(SamplingLayers, AChoiceMadeOfItsValuesIsTheSame) {
    SamplingLayers layers;
    layers.set(SamplingSource::live, "temperature", "1.1");
    layers.set(SamplingSource::live, "seed", "3");
    layers.set(SamplingSource::live, "max_tokens", "50");
    SamplingLayers again;
    again.put(SamplingSource::conversation, sampling_values(layers.choice()));
    EXPECT_EQ(again.choice().sampling, layers.choice().sampling);
    EXPECT_EQ(again.choice().max_tokens, 50U);
    EXPECT_TRUE(again.choice().fixed_seed);
}

class PresetsTest : public testing::Test {
  protected:
    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    void write(const std::string& name, const std::string& text) {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        std::ofstream(path(name)) << text;
    }
    Presets presets() const { return Presets({path("user"), path("system")}); }

    support::TemporaryFolder folder;
};

TEST_F(PresetsTest, WhatIsSavedIsLoadedAndPrivate) {
    const SamplingValues values{{"seed", "random"}, {"temperature", "0.3"}, {"top_k", "20"}};
    const std::string file = presets().save("precise", values);
    EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
    EXPECT_EQ(presets().load("precise"), (SamplingValues{{"temperature", "0.3"}, {"top_k", "20"}}));
    EXPECT_THAT(presets().names(), ElementsAre("precise"));
}

TEST_F(PresetsTest, TheUsersHideTheSystems) {
    write("system/a.toml", "temperature = 0.1\n");
    write("system/b.toml", "temperature = 0.2\n");
    write("user/a.toml", "temperature = 0.3\n");
    EXPECT_THAT(presets().names(), ElementsAre("a", "b"));
    EXPECT_EQ(presets().load("a").at("temperature"), "0.3");
    EXPECT_EQ(presets().load("b").at("temperature"), "0.2");
}

TEST_F(PresetsTest, MistakesAreToldWithFileAndLine) {
    write("user/bad.toml", "temperature = 0.1\ntop_k = -4\n");
    write("user/worse.toml", "tmp = 1\n");
    for (const auto& [name, text] :
         {std::pair{"bad", "bad.toml:2: top_k is -4, must be"},
          std::pair{"worse", "worse.toml:1: unknown key \"tmp\""},
          std::pair{"bda", "did you mean bad"}, std::pair{"../bad", "is no name"}}) {
        try {
            presets().load(name);
            FAIL() << name;
        } catch (const core::Error& error) {
            EXPECT_THAT(error.what(), HasSubstr(text));
        }
    }
}

}  // namespace
}  // namespace app
