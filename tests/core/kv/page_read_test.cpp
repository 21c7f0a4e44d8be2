// Pages of the size that real models have, which are read past the system's cache when they are not
// in it. On a disk where there is one: the tests' usual folder is in memory.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/kv/disk_store.h"
#include "tests/support/temporary_folder.h"

namespace core {
namespace {

constexpr KvLayerShape kShape[] = {{.kv_heads = 8, .head_dim = 128},
                                   {.kv_heads = 8, .head_dim = 128}};

struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
};

class LargePage : public testing::Test {
  protected:
    void SetUp() override {
        for (size_t i = 0; i < ids.size(); ++i)
            ids[i] = static_cast<TokenId>(i * i);
        uint32_t value = 1;
        for (std::byte& byte : content) {
            value = value * 1664525U + 1013904223U;
            byte = static_cast<std::byte>(value >> 24U);
        }
        page.address = {.root = {.high = 1, .low = 2},
                        .parent = {.high = 3, .low = 4},
                        .name = page_name({.high = 3, .low = 4}, ids),
                        .tokens = kPagePositions};
        page.ids = ids;
        page.rows = kPagePositions;
        ASSERT_TRUE(store.write({.address = page.address,
                                 .ids = ids,
                                 .page = content,
                                 .last_use = std::chrono::system_clock::now()},
                                layout));
        path = folder.files().at(0);
    }

    // So that the next reader needs the disk.
    void leave_memory() const {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        EXPECT_EQ(::fdatasync(file), 0);
        EXPECT_EQ(::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
        ::close(file);
    }

    // Once from disk, once from the system's memory, each to where it may go directly and to where
    // it cannot.
    void expect(PageFault fault) {
        for (const bool cached : {false, true})
            for (const size_t shift : {0U, 64U}) {
                leave_memory();
                if (cached) (void)support::content_of(path);
                const std::span<std::byte> place(memory.get() + shift, layout.page_bytes());
                std::ranges::fill(place, std::byte{0});
                EXPECT_EQ(store.read(page, layout, place), fault)
                    << (cached ? "cached" : "from disk") << ", shifted by " << shift;
                EXPECT_TRUE(fault != PageFault::none || std::ranges::equal(place, content))
                    << "a wrong page";
            }
    }

    const PageLayout layout{kShape, KvType::f16};
    support::TemporaryFolder folder{std::filesystem::temp_directory_path()};
    DiskStore store{folder.path() + "/kv", uint64_t{1} << 30U};
    std::vector<TokenId> ids = std::vector<TokenId>(kPagePositions);
    std::vector<std::byte> content = std::vector<std::byte>(layout.page_bytes());
    const std::unique_ptr<std::byte, Free> memory{static_cast<std::byte*>(
        std::aligned_alloc(kPageHeaderBytes, layout.page_bytes() + kPageHeaderBytes))};
    FoundPage page;
    std::string path;
};

TEST_F(LargePage, IsTheSameByEveryWay) {
    expect(PageFault::none);
}

TEST_F(LargePage, ThatIsTruncatedIsToldByEveryWay) {
    for (const uint64_t size : {layout.page_bytes() + 4095, layout.page_bytes(), size_t{5000}}) {
        std::filesystem::resize_file(path, size);
        expect(PageFault::truncated);
    }
}

TEST_F(LargePage, ThatIsDamagedIsToldByEveryWay) {
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    const std::byte flipped = content[100'000] ^ std::byte{1};
    EXPECT_EQ(::pwrite(file, &flipped, 1, kPageHeaderBytes + 100'000), 1);
    ::close(file);
    expect(PageFault::damaged);
}

TEST_F(LargePage, ThatIsGoneIsMissing) {
    page.address.name.low ^= 1U;
    const std::span<std::byte> place(memory.get(), layout.page_bytes());
    EXPECT_EQ(store.read(page, layout, place), PageFault::missing);
}

}  // namespace
}  // namespace core
