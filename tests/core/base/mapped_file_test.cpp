#include "core/base/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

const size_t kPage = static_cast<size_t>(::sysconf(_SC_PAGESIZE));

// A file of `pages` pages of 'x' that removes itself.
class File {
  public:
    explicit File(const std::string& name, size_t size)
        : path("./mapped-" + std::to_string(::getpid()) + "-" + name) {
        std::ofstream(path, std::ios::binary) << std::string(size, 'x');
    }
    ~File() { ::unlink(path.c_str()); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    void truncate(size_t size) const {
        ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(size)), 0);
    }

    const std::string path;
};

size_t count(std::span<const std::byte> bytes, char wanted) {
    size_t found = 0;
    for (const std::byte byte : bytes)
        found += static_cast<char>(byte) == wanted;
    return found;
}

// Which pages are mapped into this process at the moment (proc(5), pagemap: bit 63).
std::vector<bool> pages_in_memory(std::span<const std::byte> bytes) {
    const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    const uintptr_t first = reinterpret_cast<uintptr_t>(bytes.data()) / kPage;
    std::vector<uint64_t> entries((bytes.size() + kPage - 1) / kPage);
    const size_t size = entries.size() * sizeof(uint64_t);
    const ssize_t got =
        ::pread(pagemap, entries.data(), size, static_cast<off_t>(first * sizeof(uint64_t)));
    ::close(pagemap);
    EXPECT_EQ(got, static_cast<ssize_t>(size));
    std::vector<bool> present;
    for (const uint64_t entry : entries)
        present.push_back(entry >> 63 != 0);
    return present;
}

ErrorKind kind_of_failure(const std::string& path) {
    try {
        const MappedFile file(path);
    } catch (const Error& error) {
        return error.kind();
    }
    return ErrorKind::internal;
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
    const File file("plain", 3 * kPage + 5);
    const MappedFile mapped(file.path);
    EXPECT_EQ(mapped.bytes().size(), 3 * kPage + 5);
    EXPECT_EQ(count(mapped.bytes(), 'x'), 3 * kPage + 5);
    EXPECT_FALSE(mapped.damaged());
}

TEST(MappedFile, EmptyFileHasNoBytes) {
    const File file("empty", 0);
    const MappedFile mapped(file.path);
    EXPECT_TRUE(mapped.bytes().empty());
    EXPECT_FALSE(mapped.damaged());
    mapped.release(mapped.bytes());
}

TEST(MappedFile, WhatIsNoFileIsNotFound) {
    EXPECT_EQ(kind_of_failure("./no-such-file"), ErrorKind::model_not_found);
    EXPECT_EQ(kind_of_failure("."), ErrorKind::model_not_found);
    EXPECT_EQ(kind_of_failure("/dev/null"), ErrorKind::model_not_found);
    const std::string fifo = "./mapped-" + std::to_string(::getpid()) + "-fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_EQ(kind_of_failure(fifo), ErrorKind::model_not_found) << "and it does not wait";
    ::unlink(fifo.c_str());
}

TEST(MappedFile, FileThatShrinksReadsAsZerosAndIsDamaged) {
    const File file("shrinks", 8 * kPage);
    const MappedFile mapped(file.path);
    EXPECT_EQ(count(mapped.bytes().first(2 * kPage), 'x'), 2 * kPage);
    file.truncate(3 * kPage);
    EXPECT_EQ(count(mapped.bytes(), 'x'), 3 * kPage);
    EXPECT_EQ(count(mapped.bytes(), '\0'), 5 * kPage);
    EXPECT_TRUE(mapped.damaged());
}

TEST(MappedFile, DamageIsRememberedWhenTheFileGrowsAgain) {
    const File file("regrows", 4 * kPage);
    const MappedFile mapped(file.path);
    file.truncate(kPage);
    EXPECT_EQ(mapped.bytes().back(), std::byte{0});
    file.truncate(4 * kPage);
    EXPECT_TRUE(mapped.damaged());
}

TEST(MappedFile, CutInsideThePageIsNoticedWithoutASignal) {
    const File file("cut", kPage);
    const MappedFile mapped(file.path);
    file.truncate(100);
    EXPECT_EQ(count(mapped.bytes(), 'x'), 100u);
    EXPECT_TRUE(mapped.damaged());
}

TEST(MappedFile, OnlyTheShrunkFileIsDamaged) {
    const File whole("whole", 4 * kPage);
    const File cut("halved", 4 * kPage);
    const MappedFile first(whole.path);
    const MappedFile second(cut.path);
    const MappedFile third(whole.path);
    cut.truncate(0);
    EXPECT_EQ(count(second.bytes(), '\0'), 4 * kPage);
    EXPECT_EQ(count(first.bytes(), 'x') + count(third.bytes(), 'x'), 8 * kPage);
    EXPECT_TRUE(second.damaged());
    EXPECT_FALSE(first.damaged());
    EXPECT_FALSE(third.damaged());
}

TEST(MappedFile, ThreadsThatReadAShrinkingFileGoOn) {
    const File file("threads", 64 * kPage);
    const MappedFile mapped(file.path);
    file.truncate(kPage);
    std::vector<size_t> zeros(4);
    {
        std::vector<std::jthread> readers;
        for (size_t& result : zeros)
            readers.emplace_back([&] { result = count(mapped.bytes(), '\0'); });
    }
    for (const size_t found : zeros)
        EXPECT_EQ(found, 63 * kPage);
    EXPECT_TRUE(mapped.damaged());
}

TEST(MappedFile, ReleasedBytesCanBeReadAgain) {
    const File file("released", 4 * kPage);
    const MappedFile mapped(file.path);
    EXPECT_EQ(count(mapped.bytes(), 'x'), 4 * kPage);
    mapped.release(mapped.bytes().subspan(10, 2 * kPage));
    EXPECT_EQ(pages_in_memory(mapped.bytes()), (std::vector<bool>{true, false, true, true}));
    EXPECT_EQ(count(mapped.bytes(), 'x'), 4 * kPage);
    EXPECT_FALSE(mapped.damaged());
}

TEST(MappedFile, SlotsAreUsedAgain) {
    const File file("slots", kPage);
    for (int round = 0; round < 3000; ++round) {
        const MappedFile mapped(file.path);
        ASSERT_EQ(mapped.bytes()[0], std::byte{'x'});
    }
}

// Reads from an address that is mapped but not by us and has no page behind it.
[[noreturn]] void fault_elsewhere() {
    install_sigbus_guard();
    FILE* stream = std::tmpfile();
    void* start = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, ::fileno(stream), 0);
    const volatile char* byte = static_cast<const char*>(start);
    std::exit(*byte);
}

TEST(MappedFileDeathTest, ForeignBusErrorStillEndsTheProgram) {
#ifdef MOXIE_SANITIZED
    GTEST_SKIP() << "a sanitizer has a handler of its own for SIGBUS";
#endif
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(fault_elsewhere(), testing::KilledBySignal(SIGBUS), "");
    EXPECT_EXIT(
        {
            install_sigbus_guard();
            ::raise(SIGBUS);
        },
        testing::KilledBySignal(SIGBUS), "");
}

TEST(MappedFileDeathTest, EarlierHandlerGetsForeignBusErrors) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            ::signal(SIGBUS, [](int) { ::_exit(42); });
            fault_elsewhere();
        },
        testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace core
