// `moxie convert` that is killed: what it leaves is in nobody's way, and the next try is as good as
// the first.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>

#include "tests/app/program.h"
#include "tests/support/grok1_shapes.h"
#include "tests/support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;

constexpr support::Grok1Shape kShape = {512, 8192, 512, 128, 4096, 8, 1};

std::string content(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

class KilledConversion : public testing::Test {
  protected:
    void SetUp() override {
        fs::create_directory(in());
        for (uint32_t i = 0; i < support::grok1_file_count(kShape); ++i)
            grok1_file(support::grok1_slot(kShape, i))
                .write(in() + "/" + support::grok1_file_name(i));
    }

    std::string in() const { return folder.path() + "/in"; }
    std::string out() const { return folder.path() + "/out.gguf"; }

    app::ProgramRun convert(const std::string& target) const {
        return app::run_program({.arguments = {"convert", in(), target, "--type", "q8_0"}});
    }
    std::vector<fs::path> parts() const {
        std::vector<fs::path> found;
        for (const auto& entry : fs::directory_iterator(folder.path()))
            if (entry.path().filename().string().starts_with("out.gguf.")) found.push_back(entry);
        return found;
    }
    // Sends the signal to a conversion once a part of the file is written, and gives what it ended
    // with; nothing: it was done first.
    std::optional<int> signal_in_the_middle(int signal) const {
        const pid_t child = ::fork();
        if (child == 0) {
            // NOLINTNEXTLINE(concurrency-mt-unsafe): the child has one thread.
            ::setenv("XDG_CONFIG_HOME", folder.path().c_str(), 1);
            const int nowhere = ::open("/dev/null", O_WRONLY);
            ::dup2(nowhere, STDOUT_FILENO);
            ::dup2(nowhere, STDERR_FILENO);
            ::execl(MOXIE_BINARY_DIR "/moxie", "moxie", "convert", in().c_str(), out().c_str(),
                    "--type", "q8_0", nullptr);
            ::_exit(127);
        }
        const std::string part = out() + ".partial-" + std::to_string(child) + "-0";
        int status = 0;
        std::error_code not_yet;
        while (fs::file_size(part, not_yet) == 0 || not_yet)
            if (::waitpid(child, &status, WNOHANG) != 0) return std::nullopt;
        ::kill(child, signal);
        ::waitpid(child, &status, 0);
        return fs::exists(out()) ? std::nullopt : std::optional(status);
    }
    // The same until it did not end first.
    int status_after(int signal) const {
        for (;;) {
            if (const std::optional<int> status = signal_in_the_middle(signal)) return *status;
            fs::remove(out());
        }
    }

    support::TemporaryFolder folder;
};

TEST_F(KilledConversion, LeavesNothingThatBreaksTheNext) {
    const std::string whole = folder.path() + "/whole.gguf";
    ASSERT_EQ(convert(whole).status, 0);
    for (int time = 0; time < 3; ++time) {
        ASSERT_TRUE(WIFSIGNALED(status_after(SIGKILL)));
        ASSERT_EQ(parts().size(), 1u) << "the parts of the kills before it are gone";
    }
    const app::ProgramRun again = convert(out());
    EXPECT_EQ(again.status, 0) << again.err;
    EXPECT_TRUE(parts().empty());
    EXPECT_EQ(content(out()), content(whole));
}

TEST_F(KilledConversion, AnInterruptLeavesNothingAndIsTold) {
    for (const int signal : {SIGINT, SIGTERM}) {
        const int status = status_after(signal);
        ASSERT_TRUE(WIFEXITED(status));
        EXPECT_EQ(WEXITSTATUS(status), 128 + signal);
        EXPECT_TRUE(parts().empty());
    }
}

}  // namespace
