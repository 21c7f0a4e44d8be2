// The format of page files: what is written is read back, and nothing else is.
#include "core/kv/page_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/kv/rows_world.h"

namespace core {
namespace {

struct Sample {
    PageLayout layout = test_layout();
    Tokens ids = some_tokens(kPagePositions, 1);
    PageAddress address;
    std::vector<std::byte> page;

    explicit Sample(uint32_t tokens = kPagePositions) {
        ids.resize(tokens);
        address = {.root = {1, 2}, .parent = {3, 4}, .name = {}, .tokens = tokens};
        address.name = page_name(address.parent, ids);
        for (size_t i = 0; i < layout.page_bytes(); ++i)
            page.push_back(static_cast<std::byte>(i * 7 + i / 256));
    }
};

class PageFile : public testing::Test {
  protected:
    void write(const std::string& bytes) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    }
    std::string content() const {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void write(const Sample& sample) {
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        const auto header = encode_header(sample.address, sample.ids, sample.layout, sample.page);
        EXPECT_TRUE(write_page(file, header, sample.page));
        ::close(file);
    }
    PageFault read(const Sample& expected) {
        const int file = ::open(path.c_str(), O_RDONLY);
        memory.assign(expected.layout.page_bytes(), std::byte{0});
        const PageFault fault =
            read_page(file, expected.address, expected.ids, expected.layout, memory);
        ::close(file);
        return fault;
    }

    TemporaryFolder folder;
    std::string path = folder.path() + "/page";
    std::vector<std::byte> memory;
};

TEST_F(PageFile, APageIsReadBackAsItWas) {
    for (const uint32_t tokens : {1U, 17U, kPagePositions}) {
        const Sample sample(tokens);
        write(sample);
        EXPECT_EQ(read(sample), PageFault::none);
        EXPECT_EQ(memory, sample.page);
    }
}

// docs/kv_format.md, byte by byte: a change here is a new version of the format.
TEST_F(PageFile, TheFieldsLieWhereTheDocumentSays) {
    const Sample sample(3);
    write(sample);
    const std::string bytes = content();
    EXPECT_EQ(bytes.size(), 4096 + sample.page.size());
    const auto number = [&](size_t at, size_t size) {
        uint64_t value = 0;
        std::memcpy(&value, bytes.data() + at, size);
        return value;
    };
    EXPECT_EQ(bytes.substr(0, 8), "MOXIE-KV");
    EXPECT_EQ(number(8, 4), 1U);      // version
    EXPECT_EQ(number(12, 4), 4096U);  // header bytes
    EXPECT_EQ(number(16, 8), 1U);     // root
    EXPECT_EQ(number(24, 8), 2U);
    EXPECT_EQ(number(32, 8), 3U);  // parent
    EXPECT_EQ(number(40, 8), 4U);
    EXPECT_EQ(number(48, 8), sample.address.name.high);
    EXPECT_EQ(number(56, 8), sample.address.name.low);
    EXPECT_EQ(number(64, 4), 1U);   // f16
    EXPECT_EQ(number(68, 4), 64U);  // positions
    EXPECT_EQ(number(72, 4), 3U);   // tokens
    EXPECT_EQ(number(76, 4), 2U);   // layers
    EXPECT_EQ(number(80, 8), sample.page.size());
    const Hash128 checksum = hash128(sample.page);
    EXPECT_EQ(number(104, 8), checksum.high);
    EXPECT_EQ(number(112, 8), checksum.low);
    EXPECT_EQ(number(120, 8), 0U);
    for (size_t i = 0; i < 3; ++i)
        EXPECT_EQ(number(128 + 4 * i, 4), static_cast<uint64_t>(sample.ids[i]));
    EXPECT_EQ(number(4088, 8), hash64(std::as_bytes(std::span(bytes)).first(4088)));
}

TEST_F(PageFile, TruncationAtEveryLengthIsSeen) {
    const Sample sample;
    write(sample);
    const std::string whole = content();
    for (size_t length = 0; length < whole.size(); length += length < 4200 ? 1 : 97) {
        write(whole.substr(0, length));
        EXPECT_EQ(read(sample), PageFault::truncated) << length << " bytes";
    }
}

TEST_F(PageFile, EveryFlippedBitIsSeen) {
    const Sample sample;
    write(sample);
    const std::string whole = content();
    for (size_t byte = 0; byte < whole.size(); byte += byte < 400 ? 1 : 61) {
        std::string flipped = whole;
        flipped[byte] = static_cast<char>(flipped[byte] ^ (1 << (byte % 8)));
        write(flipped);
        EXPECT_NE(read(sample), PageFault::none) << "byte " << byte;
    }
}

TEST_F(PageFile, SoundFilesInAnotherPlaceAreForeign) {
    const Sample sample;
    write(sample);
    const auto fault_with = [&](auto&& change) {
        Sample other;
        change(other);
        return read(other);
    };
    EXPECT_EQ(fault_with([](Sample& s) { s.address.root.low ^= 1; }), PageFault::foreign);
    EXPECT_EQ(fault_with([](Sample& s) { s.address.parent.low ^= 1; }), PageFault::foreign);
    EXPECT_EQ(fault_with([](Sample& s) { s.address.name.low ^= 1; }), PageFault::foreign);
    EXPECT_EQ(fault_with([](Sample& s) { s.ids.back() ^= 1; }), PageFault::foreign);
    EXPECT_EQ(fault_with([](Sample& s) { s.layout = test_layout(KvType::q8); }),
              PageFault::foreign);
    // The same size, another shape.
    const KvLayerShape swapped[] = {{.kv_heads = 1, .head_dim = 16},
                                    {.kv_heads = 1, .head_dim = 40}};
    EXPECT_EQ(fault_with([&](Sample& s) { s.layout = PageLayout(swapped, KvType::f16); }),
              PageFault::foreign);
}

TEST_F(PageFile, IdsThatDoNotMakeTheNameAreForeign) {
    Sample forged;
    forged.ids[5] ^= 1;  // the name stays that of other ids
    write(forged);
    EXPECT_EQ(read(forged), PageFault::foreign);
}

TEST_F(PageFile, FilesOfOtherKindsAreForeign) {
    const Sample sample;
    write(std::string(100'000, 'x'));
    EXPECT_EQ(read(sample), PageFault::foreign);
    write("");
    EXPECT_EQ(read(sample), PageFault::truncated);
}

TEST(PagePath, HoldsTheWholeAddressAndNothingElseIsOne) {
    const PageAddress address{
        .root = {0xa1, 2}, .parent = {0xfe00000000000003, 4}, .name = {5, 6}, .tokens = 17};
    const std::string path = page_path(address);
    EXPECT_EQ(path,
              "00000000000000a10000000000000002/fe/"
              "fe000000000000030000000000000004-00000000000000050000000000000006-17");
    const std::string root = path.substr(0, 32);
    const std::string file = path.substr(36);
    EXPECT_EQ(address_from_path(root, file), address);
    for (const std::string& wrong :
         {file + "x", file.substr(1), file.substr(0, 65), file.substr(0, 66) + "65",
          file.substr(0, 66) + "0", file.substr(0, 66) + "017", file.substr(0, 66) + "-1",
          std::string("F") + file.substr(1), std::string("x") + file.substr(1), std::string()})
        EXPECT_FALSE(address_from_path(root, wrong)) << wrong;
    EXPECT_FALSE(address_from_path("a1", file));
}

TEST(PageName, DependsOnEverythingThatItStandsFor) {
    const CacheIdentity identity{.model = {1, 2}, .type = KvType::f16, .numerics_version = 1};
    const auto root = [&](auto&& change, std::string_view scope = "") {
        CacheIdentity other = identity;
        change(other);
        return root_name(other, scope);
    };
    const PageName own = root([](CacheIdentity&) {});
    EXPECT_EQ(own, root_name(identity, ""));
    EXPECT_NE(own, root([](CacheIdentity& i) { i.model.low = 3; }));
    EXPECT_NE(own, root([](CacheIdentity& i) { i.type = KvType::q8; }));
    EXPECT_NE(own, root([](CacheIdentity& i) { i.numerics_version = 2; }));
    EXPECT_NE(own, root([](CacheIdentity& i) { i.numerics_class = "fast"; }));
    EXPECT_NE(own, root([](CacheIdentity&) {}, "alice"));
    // Where one field ends and the next begins is part of it.
    EXPECT_NE(root([](CacheIdentity& i) { i.numerics_class = "fast"; }, "alice"),
              root([](CacheIdentity& i) { i.numerics_class = "fastalice"; }));

    const Tokens ids{1, 2, 3};
    EXPECT_NE(page_name(own, ids), page_name({1, 1}, ids));
    EXPECT_NE(page_name(own, ids), page_name(own, Tokens{1, 2}));
    EXPECT_NE(page_name(own, ids), page_name(own, Tokens{1, 2, 4}));
}

TEST(PageLayout, CopiedRowsAreWholeAndTellNothingElse) {
    for (const KvType type : {KvType::f32, KvType::f16, KvType::q8}) {
        const PageLayout layout = test_layout(type);
        PagePool pool(layout, 4 * layout.page_bytes());
        for (const uint32_t rows : {1U, 20U, kPagePositions}) {
            Sequence sequence(pool);
            append(sequence, some_tokens(kPagePositions, 1));
            std::vector<std::byte> once(layout.page_bytes());
            std::vector<std::byte> twice(layout.page_bytes());
            layout.copy_rows(rows, {sequence.pages()[0]->data, layout.page_bytes()}, once);
            layout.copy_rows(kPagePositions, once, twice);
            EXPECT_EQ(once, twice);
            std::memcpy(sequence.pages()[0]->data, once.data(), once.size());
            EXPECT_EQ(correct_rows(sequence), rows);
        }
    }
}

}  // namespace
}  // namespace core
