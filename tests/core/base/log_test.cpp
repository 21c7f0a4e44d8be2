#include "core/base/log.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

using testing::EndsWith;
using testing::SizeIs;
using testing::StartsWith;

class LogTest : public testing::Test {
  protected:
    LogTest() : folder_("./log-" + std::to_string(::getpid())) {
        std::filesystem::create_directory(folder_);
    }
    ~LogTest() override {
        close_log();
        std::filesystem::remove_all(folder_);
    }
    std::string path() const { return folder_ + "/moxie.log"; }
    std::vector<std::string> lines() const {
        std::vector<std::string> found;
        std::ifstream in(path());
        for (std::string line; std::getline(in, line);)
            found.push_back(line);
        return found;
    }

  private:
    std::string folder_;
};

TEST_F(LogTest, LinesAreInTheFileAfterClose) {
    open_log({.path = path()});
    log_info("model: loaded");
    log_error("models/x.gguf: is empty");
    close_log();
    ASSERT_THAT(lines(), SizeIs(2));
    EXPECT_THAT(lines()[0], EndsWith(" info    model: loaded"));
    EXPECT_THAT(lines()[1], EndsWith(" error   models/x.gguf: is empty"));
}

TEST_F(LogTest, NothingHappensWhileItIsClosed) {
    log_error("nobody hears this");
    open_log({.path = path()});
    close_log();
    log_error("nor this");
    EXPECT_THAT(lines(), SizeIs(0));
}

TEST_F(LogTest, LowerLevelsAreLeftOut) {
    open_log({.path = path(), .level = LogLevel::warning});
    log_debug("debug");
    log_info("info");
    log_warning("warning");
    close_log();
    ASSERT_THAT(lines(), SizeIs(1));
}

TEST_F(LogTest, TheLevelCanChangeWhileItRuns) {
    open_log({.path = path()});
    EXPECT_FALSE(is_logged(LogLevel::debug));
    log_debug("before");
    set_log_level(LogLevel::debug);
    EXPECT_EQ(log_level(), LogLevel::debug);
    EXPECT_TRUE(is_logged(LogLevel::debug));
    log_debug("after");
    close_log();
    EXPECT_FALSE(is_logged(LogLevel::error));
    ASSERT_THAT(lines(), SizeIs(1));
    EXPECT_THAT(lines()[0], EndsWith(" debug   after"));
}

TEST_F(LogTest, ALineCanBeAJsonObject) {
    open_log({.path = path(), .json = true});
    log_info("a \"quoted\" C:\\path\n\xff");
    close_log();
    ASSERT_THAT(lines(), SizeIs(1));
    EXPECT_THAT(lines()[0], StartsWith("{\"time\":\"2"));
    EXPECT_THAT(lines()[0], EndsWith("\"level\":\"info\",\"message\":\"a \\\"quoted\\\" "
                                     "C:\\\\path?\uFFFD\"}"));
}

TEST_F(LogTest, FilesArePrivateAndRotate) {
    open_log({.path = path(), .max_bytes = 1000, .files = 2});
    for (int i = 0; i < 60; ++i)
        log_info("one of the lines that fill the file up to its limit");
    close_log();
    for (const char* name : {"", ".1", ".2"}) {
        const auto file =
            std::filesystem::path(path()).replace_extension(std::string(name) + ".log");
        ASSERT_TRUE(std::filesystem::exists(file)) << file;
        EXPECT_LE(std::filesystem::file_size(file), 1000U);
        EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
    }
}

TEST_F(LogTest, OneCallIsOneLineWithoutControls) {
    open_log({.path = path()});
    log_info("name\n2026 forged line\x1b[2J\x7f {}");
    close_log();
    ASSERT_THAT(lines(), SizeIs(1));
    EXPECT_THAT(lines()[0], EndsWith("name?2026 forged line?[2J? {}"));
}

TEST_F(LogTest, ThreadsShareIt) {
    open_log({.path = path()});
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([] {
                for (int line = 0; line < 100; ++line)
                    log_info("line");
            });
    }
    close_log();
    EXPECT_THAT(lines(), SizeIs(400));
}

TEST_F(LogTest, FilesRotate) {
    open_log({.path = path(), .max_bytes = 1000, .files = 1});
    for (int i = 0; i < 100; ++i)
        log_info("some text of a line in the log");
    close_log();
    EXPECT_LE(std::filesystem::file_size(path()), 1000u);
    size_t files = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(path()).parent_path()))
        ++files;
    EXPECT_EQ(files, 2u);
}

TEST_F(LogTest, FileThatCannotBeWrittenIsAnError) {
    try {
        open_log({.path = "/proc/no-such-folder/moxie.log"});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::storage);
        EXPECT_EQ(error.object(), "/proc/no-such-folder/moxie.log");
    }
}

}  // namespace
}  // namespace core
