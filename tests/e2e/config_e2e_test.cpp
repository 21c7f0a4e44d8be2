// `moxie config` and what the program makes of its files, on the real binary.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/program.h"
#include "tests/support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using app::ProgramInput;
using app::ProgramRun;
using testing::HasSubstr;

class ConfigProgram : public testing::Test {
  protected:
    ConfigProgram() { fs::create_directories(folder.path() + "/CONFIG/moxie"); }
    std::string file() const { return folder.path() + "/CONFIG/moxie/config.toml"; }
    void write(const std::string& text) { std::ofstream(file()) << text; }
    ProgramRun run(ProgramInput input) {
        input.home = folder.path();
        return app::run_program(input);
    }
    ProgramRun config(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "config");
        return run({.arguments = std::move(arguments)});
    }
    ProgramRun ask(std::vector<std::string> arguments) {
        const std::string script = folder.path() + "/script.toml";
        std::ofstream(script) << "[[reply]]\ntext = \"{temperature} {system}\"\n";
        arguments.insert(arguments.begin(), {"--backend", "mock:" + script});
        return run({.arguments = std::move(arguments)});
    }

    support::TemporaryFolder folder;
};

TEST_F(ConfigProgram, PathIsTheUsersFileWhichIsNotMade) {
    EXPECT_EQ(config({"path"}).out, file() + "\n");
    EXPECT_FALSE(fs::exists(file()));
}

TEST_F(ConfigProgram, ShowTellsTheOriginOfEveryValue) {
    write("[model]\nctx = 4096\n");
    const std::string all = run({.arguments = {"config", "show", "--origin"},
                                 .environment = {{"MOXIE_UI_THEME", "mono"}}})
                                .out;
    EXPECT_THAT(all, HasSubstr("ctx = 4096                        # " + file() + ":2\n"));
    EXPECT_THAT(all, HasSubstr("theme = \"mono\"                    # MOXIE_UI_THEME\n"));
    EXPECT_THAT(all, HasSubstr("threads = 0                       # built-in\n"));
    EXPECT_EQ(config({"show", "model.ctx"}).out, "[model]\nctx = 4096\n");
    const auto json = nlohmann::json::parse(config({"show", "model.ctx", "--json"}).out);
    EXPECT_EQ(json[0]["value"], 4096);
    EXPECT_EQ(json[0]["origin"], file() + ":2");
    const ProgramRun unknown = config({"show", "model.cxt"});
    EXPECT_EQ(unknown.status, 2);
    EXPECT_THAT(unknown.err, HasSubstr("did you mean model.ctx"));
}

TEST_F(ConfigProgram, CheckTellsMistakesAndEndsWithThree) {
    write("[sampling]\ntemperature = 0.5\n");
    EXPECT_EQ(config({"check"}).status, 0);
    write("[sampling]\ntemprature = 0.5\n");
    const ProgramRun typo = config({"check"});
    EXPECT_EQ(typo.status, 3);
    EXPECT_EQ(typo.out,
              "config.toml:2: unknown key \"temprature\" in [sampling] — did you mean "
              "\"temperature\"? Using default 0.8.\n");
    write("[sampling\n");
    EXPECT_THAT(config({"check"}).out, HasSubstr("config.toml:1:"));
}

TEST_F(ConfigProgram, EditMakesAFileOfCommentsAndOpensIt) {
    const ProgramRun edited =
        run({.arguments = {"config", "edit"},
             .environment = {{"VISUAL", "sed -i 's/# ctx = 8192/ctx = 1/'"}}});
    EXPECT_EQ(edited.status, 0) << edited.out << edited.err;
    EXPECT_EQ(config({"show", "model.ctx"}).out, "[model]\nctx = 1\n");
    EXPECT_EQ(fs::status(file()).permissions(), fs::perms(0600));
    const ProgramRun failed =
        run({.arguments = {"config", "edit"}, .environment = {{"VISUAL", "false"}}});
    EXPECT_EQ(failed.status, 2);
}

TEST_F(ConfigProgram, AnswersFollowFilesVariablesAndFlags) {
    write("[sampling]\ntemperature = 0.25\n[chat]\nsystem = \"be brief\"\n");
    EXPECT_EQ(ask({"hi"}).out, "0.25 be brief\n");
    EXPECT_EQ(ask({"--temperature", "0.5", "--system", "be long", "hi"}).out, "0.5 be long\n");
    const std::string other = folder.path() + "/other.toml";
    std::ofstream(other) << "[sampling]\ntemperature = 1.5\n";
    EXPECT_EQ(ask({"--config", other, "hi"}).out, "1.5 \n");
}

TEST_F(ConfigProgram, APresetIsWeakerThanAFlagAndStrongerThanAFile) {
    write("[sampling]\ntemperature = 0.25\n");
    fs::create_directories(folder.path() + "/CONFIG/moxie/presets");
    std::ofstream(folder.path() + "/CONFIG/moxie/presets/warm.toml") << "temperature = 1.25\n";
    EXPECT_EQ(ask({"--preset", "warm", "hi"}).out, "1.25 \n");
    EXPECT_EQ(ask({"--preset", "warm", "--temperature", "0.5", "hi"}).out, "0.5 \n");
    const ProgramRun unknown = ask({"--preset", "wram", "hi"});
    EXPECT_EQ(unknown.status, 3);
    EXPECT_THAT(unknown.err, HasSubstr("did you mean warm"));
}

TEST_F(ConfigProgram, ReadOnlyDirectoriesAreNoError) {
    if (::geteuid() == 0) {
        // Root may write everywhere; a file where a directory should be stops it too.
        fs::remove_all(folder.path() + "/CONFIG");
        for (const char* kind : {"CONFIG", "STATE", "CACHE"})
            std::ofstream(folder.path() + "/" + kind) << "in the way";
    } else {
        ::chmod(folder.path().c_str(), 0500);
    }
    const std::string script = std::string(MOXIE_BINARY_DIR) + "/read_only_script.toml";
    std::ofstream(script) << "[[reply]]\ntext = \"a\"\n";
    const ProgramRun answer = run({.arguments = {"--backend", "mock:" + script, "hi"}});
    fs::remove(script);
    EXPECT_EQ(answer.status, 0) << answer.err;
    EXPECT_EQ(answer.out, "a\n");
    EXPECT_EQ(answer.err, "");
    ::chmod(folder.path().c_str(), 0700);
}

}  // namespace
