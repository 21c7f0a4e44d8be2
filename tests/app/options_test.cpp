// What of a chat is opened, kept, and where: the options for it.
#include "app/options.h"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace app {
namespace {

constexpr Terminals kTerminal{.standard_input = true, .standard_output = true};

// No thread is there that could read them meanwhile.
void set_variable(const char* name, const char* value) {
    ::setenv(name, value, 1);
}

void unset_variable(const char* name) {
    ::unsetenv(name);
}

class OptionsTest : public testing::Test {
  protected:
    OptionsTest() {
        set_variable("XDG_CONFIG_HOME", "/config");
        set_variable("XDG_DATA_HOME", "/data");
        set_variable("XDG_CACHE_HOME", "/cache");
    }
    ~OptionsTest() override {
        unset_variable("XDG_CONFIG_HOME");
        unset_variable("XDG_DATA_HOME");
        unset_variable("XDG_CACHE_HOME");
    }

    static ChatInvocation chat(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"--backend", "mock:script.toml"});
        return std::get<ChatInvocation>(parse_command_line(arguments, kTerminal));
    }

    static OneShotInvocation once(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"--backend", "mock:script.toml"});
        return std::get<OneShotInvocation>(parse_command_line(arguments, kTerminal));
    }

    static void expect_refused(std::vector<std::string> arguments, const std::string& text) {
        arguments.insert(arguments.begin(), {"--backend", "mock:script.toml"});
        try {
            parse_command_line(arguments, kTerminal);
            FAIL() << text;
        } catch (const core::Error& error) {
            EXPECT_EQ(error.kind(), core::ErrorKind::usage);
            EXPECT_THAT(error.what(), testing::HasSubstr(text));
        }
    }
};

TEST_F(OptionsTest, ChatsAreKeptUnlessTheyAreTemporary) {
    EXPECT_EQ(chat({}).chat.data_folder, "/data/moxie");
    EXPECT_FALSE(chat({}).chat.resume);
    EXPECT_EQ(chat({"--temporary"}).chat.data_folder, "");
    EXPECT_TRUE(chat({"--temporary"}).chat.temporary);
}

TEST_F(OptionsTest, ContinueOpensTheLastConversationAndResumeThatOfItsId) {
    EXPECT_EQ(chat({"-c"}).chat.resume, "");
    EXPECT_EQ(chat({"-r", "3f2a"}).chat.resume, "3f2a");
    expect_refused({"-c", "-r", "3f2a"}, "use one of them");
    expect_refused({"-c", "--temporary"}, "use one of them");
    EXPECT_EQ(once({"-c", "a prompt"}).oneshot.resume, "");
}

TEST_F(OptionsTest, PagesOfChatsAreKeptInTheCacheUpToTwentyGigabytes) {
    EXPECT_EQ(chat({}).backend.kv_directory, "/cache/moxie/kv");
    EXPECT_EQ(chat({}).backend.kv_disk_bytes, 20'000'000'000U);
    EXPECT_EQ(chat({"--kv-dir", "/elsewhere", "--kv-disk", "0.5"}).backend.kv_directory,
              "/elsewhere");
    EXPECT_EQ(chat({"--kv-disk", "0.5"}).backend.kv_disk_bytes, 500'000'000U);
    EXPECT_EQ(chat({"--no-kv-disk"}).backend.kv_directory, "");
    EXPECT_EQ(chat({}).backend.kv_min_tokens, 256U);
    expect_refused({"--kv-disk", "-1"}, "--kv-disk");
}

TEST_F(OptionsTest, AnswersOnStandardOutputLeaveNoPages) {
    EXPECT_EQ(once({"prompt"}).backend.kv_directory, "");
    EXPECT_EQ(once({"--kv-dir", "/named", "prompt"}).backend.kv_directory, "/named");
    EXPECT_EQ(once({"--save", "prompt"}).backend.kv_directory, "/cache/moxie/kv");
}

TEST_F(OptionsTest, AOneShotAnswerIsSavedOnlyWhenAskedOrContinued) {
    EXPECT_FALSE(once({"prompt"}).oneshot.save);
    EXPECT_EQ(once({"prompt"}).oneshot.data_folder, "");
    EXPECT_TRUE(once({"--save", "prompt"}).oneshot.save);
    EXPECT_TRUE(once({"-c", "prompt"}).oneshot.save);
    EXPECT_FALSE(once({"-c", "--no-save", "prompt"}).oneshot.save);
    EXPECT_EQ(once({"-c", "--no-save", "prompt"}).oneshot.data_folder, "/data/moxie");
    expect_refused({"--save", "--temporary", "prompt"}, "use one of them");
    expect_refused({"--save"}, "is for a prompt");
}

TEST_F(OptionsTest, FlagsAndVariablesAreLayersOfTheConfiguration) {
    set_variable("MOXIE_MODEL_THREADS", "3");
    set_variable("MOXIE_SAMPLING_TEMPERATURE", "0.1");
    set_variable("MOXIE_SAMPLING_TOP_K", "9");
    set_variable("MOXIE_KV_PERSIST", "false");
    const ChatInvocation given = chat({"--temperature", "0.5"});
    EXPECT_EQ(given.backend.threads, 3U);
    EXPECT_EQ(given.backend.kv_directory, "");
    EXPECT_FLOAT_EQ(given.chat.sampling.choice().sampling.temperature, 0.5F);
    EXPECT_EQ(given.chat.sampling.choice().sampling.top_k, 9);
    EXPECT_EQ(given.config.setting("sampling.temperature").origin, "--temperature");
    EXPECT_EQ(given.config.setting("sampling.top_k").origin, "MOXIE_SAMPLING_TOP_K");
    EXPECT_EQ(chat({"--threads", "2"}).backend.threads, 2U);
    for (const char* name : {"MOXIE_MODEL_THREADS", "MOXIE_SAMPLING_TEMPERATURE",
                             "MOXIE_SAMPLING_TOP_K", "MOXIE_KV_PERSIST"})
        unset_variable(name);
}

TEST_F(OptionsTest, ContextIsTheEnginesChoiceUnlessSomebodyMadeIt) {
    EXPECT_EQ(chat({}).chat.context, 0U);
    EXPECT_EQ(chat({"--ctx", "4096"}).chat.context, 4096U);
}

TEST_F(OptionsTest, TheChatNeedsATerminal) {
    try {
        parse_command_line({"--backend", "mock:script.toml", "--tui"}, {});
        FAIL();
    } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::terminal);
    }
}

TEST_F(OptionsTest, AModelKeepsItsNameFromWhereverTheChatIsOpenedAgain) {
    const ChatInvocation given = chat({"-m", "models/../grok.gguf"});
    EXPECT_EQ(given.chat.model_path, (std::filesystem::current_path() / "grok.gguf").string());
    EXPECT_TRUE(given.chat.model_chosen);
}

}  // namespace
}  // namespace app
