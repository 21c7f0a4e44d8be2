#include "core/base/paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

// Sets a variable for the length of a test.
class Environment {
  public:
    Environment(const char* name, const char* value) : name_(name) {
        const char* old = std::getenv(name);
        had_ = old != nullptr;
        if (had_) old_ = old;
        if (value != nullptr) {
            ::setenv(name, value, 1);
        } else {
            ::unsetenv(name);
        }
    }
    ~Environment() {
        if (had_) {
            ::setenv(name_, old_.c_str(), 1);
        } else {
            ::unsetenv(name_);
        }
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    const char* name_;
    bool had_ = false;
    std::string old_;
};

TEST(Paths, VariablesNameTheBase) {
    const Environment config("XDG_CONFIG_HOME", "/c/");
    const Environment data("XDG_DATA_HOME", "/d");
    const Environment state("XDG_STATE_HOME", "/s");
    const Environment cache("XDG_CACHE_HOME", "/k");
    const Environment runtime("XDG_RUNTIME_DIR", "/r");
    EXPECT_EQ(config_folder(), "/c/moxie");
    EXPECT_EQ(data_folder(), "/d/moxie");
    EXPECT_EQ(state_folder(), "/s/moxie");
    EXPECT_EQ(cache_folder(), "/k/moxie");
    EXPECT_EQ(runtime_folder(), "/r/moxie");
}

TEST(Paths, UnsetEmptyAndRelativeVariablesAreIgnored) {
    const Environment home("HOME", "/home/ada");
    const Environment config("XDG_CONFIG_HOME", "relative/path");
    const Environment data("XDG_DATA_HOME", "");
    const Environment state("XDG_STATE_HOME", nullptr);
    const Environment cache("XDG_CACHE_HOME", "~/.cache");
    const Environment runtime("XDG_RUNTIME_DIR", nullptr);
    EXPECT_EQ(config_folder(), "/home/ada/.config/moxie");
    EXPECT_EQ(data_folder(), "/home/ada/.local/share/moxie");
    EXPECT_EQ(state_folder(), "/home/ada/.local/state/moxie");
    EXPECT_EQ(cache_folder(), "/home/ada/.cache/moxie");
    EXPECT_EQ(runtime_folder(), "/home/ada/.local/state/moxie/run");
}

class PrivateFolder : public testing::Test {
  protected:
    PrivateFolder()
        : root_(std::filesystem::absolute("paths-" + std::to_string(::getpid())).string()) {
        std::filesystem::create_directory(root_);
    }
    ~PrivateFolder() override { std::filesystem::remove_all(root_); }
    static unsigned mode(const std::string& path) {
        struct stat status = {};
        ::stat(path.c_str(), &status);
        return status.st_mode & 07777u;
    }

    const std::string root_;
};

TEST_F(PrivateFolder, IsMadeWithItsParentsForTheUserAlone) {
    EXPECT_EQ(make_private_folder(root_ + "/a/b"), root_ + "/a/b");
    EXPECT_EQ(mode(root_ + "/a"), 0700u);
    EXPECT_EQ(mode(root_ + "/a/b"), 0700u);
}

TEST_F(PrivateFolder, ThatExistsKeepsItsMode) {
    std::filesystem::permissions(root_, std::filesystem::perms(0750));
    make_private_folder(root_);
    EXPECT_EQ(mode(root_), 0750u);
}

TEST_F(PrivateFolder, CannotBeWhereAFileIs) {
    std::ofstream(root_ + "/file") << "x";
    EXPECT_THROW(make_private_folder(root_ + "/file"), Error);
    EXPECT_THROW(make_private_folder(root_ + "/file/below"), Error);
}

}  // namespace
}  // namespace core
