// What no process can prevent: a file system that is full, and a kill in the middle of writing.
// Neither ever gives a wrong row, and neither leaks a page.
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "tests/core/kv/rows_world.h"

namespace core {
namespace {

constexpr uint32_t kPage = kPagePositions;

// A file system of its own, in memory.
class SmallDisk {
  public:
    SmallDisk(const std::string& path, uint64_t bytes) : path_(path) {
        std::filesystem::create_directory(path);
        const std::string size = "size=" + std::to_string(bytes);
        mounted_ = ::mount("moxie-test", path.c_str(), "tmpfs", 0, size.c_str()) == 0;
        error_ = errno;
    }
    ~SmallDisk() {
        if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    bool mounted() const { return mounted_; }
    std::string problem() const { return std::strerror(error_); }

  private:
    std::string path_;
    bool mounted_ = false;
    int error_ = 0;
};

TEST(HardEnd, AFullFileSystemCostsTheDiskOnly) {
    const TemporaryFolder folder;
    const std::string directory = folder.path() + "/disk";
    const uint64_t page_bytes = test_layout().page_bytes() + kPageHeaderBytes;
    const SmallDisk disk(directory, 12 * page_bytes);
    if (!disk.mounted())
        GTEST_SKIP() << "a small file system cannot be mounted here: " << disk.problem();
    // The budget allows more than the disk holds.
    RowsWorld world({.pages = 200, .directory = directory + "/kv", .disk_pages = 1000});
    const auto line = [](uint32_t i) { return some_tokens(4 * kPage, i); };
    for (uint32_t i = 0; i < 6; ++i)
        EXPECT_EQ(world.read(line(i)), line(i).size());
    world.settle();
    EXPECT_TRUE(world.leaks_nothing());
    for (uint32_t i = 0; i < 6; ++i)
        EXPECT_EQ(world.read(line(i)), 1U) << "memory has all of them";
    world.restart();
    uint32_t known = 0;
    for (uint32_t i = 0; i < 6; ++i)
        known += world.known(line(i));
    EXPECT_GE(known, 4 * kPage) << "what was written before it was full";
    EXPECT_LT(known, 6 * 4 * kPage);

    // Room again: what is forgotten gives it.
    const auto chore = world.store().drop("", {});
    world.wait([&] { return chore->done(); });
    world.read(line(7));
    world.restart();
    EXPECT_EQ(world.known(line(7)), line(7).size());
}

// Conversations that grow, until somebody ends this. One byte for each turn that is kept.
[[noreturn]] void write_until_killed(const RowsWorld::Options& options, int told) {
    RowsWorld world(options);
    for (uint32_t turn = 1;; ++turn)
        for (uint32_t conversation = 0; conversation < 4; ++conversation) {
            world.read(some_tokens(size_t{turn} * 40, conversation));
            if (::write(told, "k", 1) != 1) ::_exit(1);
        }
}

TEST(HardEnd, AKilledWriterLeavesNoWrongRowAndLeaksNothing) {
    const TemporaryFolder folder;
    const RowsWorld::Options options{.pages = 400, .directory = folder.path() + "/kv"};
    uint32_t survived = 0;
    for (uint32_t round = 0; round < 8; ++round) {
        int told[2];
        ASSERT_EQ(::pipe(told), 0);
        const pid_t writer = ::fork();
        ASSERT_GE(writer, 0);
        if (writer == 0) write_until_killed(options, told[1]);
        ::close(told[1]);
        char turn = 0;
        for (uint32_t turns = 0; turns < 3 + 5 * round; ++turns)
            ASSERT_EQ(::read(told[0], &turn, 1), 1);
        ASSERT_EQ(::kill(writer, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(::waitpid(writer, &status, 0), writer);
        EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
        ::close(told[0]);

        RowsWorld after(options);
        for (uint32_t conversation = 0; conversation < 4; ++conversation) {
            const Tokens line = some_tokens(6 * kPage, conversation);
            survived += after.known(line);  // which checks each row
            EXPECT_LE(after.read(line), line.size());
        }
        after.settle();
        EXPECT_TRUE(after.leaks_nothing());
        after.restart();
        for (uint32_t conversation = 0; conversation < 4; ++conversation)
            EXPECT_EQ(after.known(some_tokens(6 * kPage, conversation)), 6 * kPage);
        // The next one begins anew, but for what it leaves as a killed writer.
        for (const std::string& file : folder.files())
            if (!file.ends_with(".part")) std::filesystem::remove(file);
    }
    EXPECT_GT(survived, 0U) << "nobody was killed after writing anything";
}

}  // namespace
}  // namespace core
