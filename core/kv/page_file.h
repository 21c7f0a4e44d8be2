// One page of the KV cache as a file: docs/kv_format.md, byte by byte.
//
// A header of 4,096 bytes (names, token ids, shape, checksums), then the page as it lies in memory.
// Files are untrusted: nothing of one is used before all of it has been verified. No function here
// throws; what went wrong with a file is a value. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/kv/page_name.h"

namespace core {

inline constexpr size_t kPageHeaderBytes = 4096;

// Where a page belongs; all of it is in its path, so that a directory tells its pages unopened.
struct PageAddress {
    PageName root;
    PageName parent;
    PageName name;
    uint32_t tokens = 0;  // kPagePositions, or fewer for the tail of a line

    friend bool operator==(const PageAddress&, const PageAddress&) = default;
};

// Of 32 hexadecimal digits; nothing for any other text.
std::optional<PageName> page_name_from_hex(std::string_view text);
// Below the cache directory: `<root>/<first byte of parent>/<parent>-<name>-<tokens>`.
std::string page_path(const PageAddress& address);
// Nothing for a path that page_path does not make.
std::optional<PageAddress> address_from_path(std::string_view root_folder, std::string_view file);

// The bytes of a header that describes a page. REQUIRES: address.tokens == ids.size().
std::vector<std::byte> encode_header(const PageAddress& address, std::span<const TokenId> ids,
                                     const PageLayout& layout, std::span<const std::byte> page);

enum class PageFault : uint8_t {
    none,
    missing,     // there is no such file
    unreadable,  // the system refuses it
    truncated,
    damaged,  // a checksum or a field that cannot be
    foreign,  // sound, but of another name, root, shape or other ids than its place says
};
// "is truncated", for logs.
const char* describe(PageFault fault);

struct PageHeader {
    PageAddress address;
    std::vector<TokenId> ids;
    uint32_t type = 0;  // KvType
    uint32_t layers = 0;
    uint64_t page_bytes = 0;
    Hash128 shape;
    Hash128 checksum;  // of the page
};

// Checks a header by itself. REQUIRES: kPageHeaderBytes bytes.
PageFault decode_header(std::span<const std::byte> bytes, PageHeader& header);

// Reads the header of an open file and holds it against the place where the file was found.
PageFault read_header(int file, const PageAddress& address, PageHeader& header);

// Reads a page into `page` and verifies that copy: place, ids, shape, checksum. With anything but
// `none` the content of `page` is unspecified. With direct access (O_DIRECT) memory and size must
// be multiples of kPageHeaderBytes. REQUIRES: page.size() == layout.page_bytes().
PageFault read_page(int file, const PageAddress& address, std::span<const TokenId> ids,
                    const PageLayout& layout, std::span<std::byte> page);

// Writes header and page. False with errno set when the system refuses or the disk is full.
bool write_page(int file, std::span<const std::byte> header, std::span<const std::byte> page);

}  // namespace core
