#include "core/kv/page_file.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "core/base/error.h"

namespace core {
namespace {

constexpr std::string_view kMagic("MOXIE-KV", 8);

// Offsets of the header's fields; docs/kv_format.md has the same table.
constexpr size_t kAtVersion = 8;
constexpr size_t kAtHeaderBytes = 12;
constexpr size_t kAtRoot = 16;
constexpr size_t kAtParent = 32;
constexpr size_t kAtName = 48;
constexpr size_t kAtType = 64;
constexpr size_t kAtPositions = 68;
constexpr size_t kAtTokens = 72;
constexpr size_t kAtLayers = 76;
constexpr size_t kAtPageBytes = 80;
constexpr size_t kAtShape = 88;
constexpr size_t kAtChecksum = 104;
constexpr size_t kAtIds = 128;
constexpr size_t kAtHeaderChecksum = kPageHeaderBytes - 8;
static_assert(kAtIds + sizeof(TokenId) * kPagePositions <= kAtHeaderChecksum);

static_assert(std::endian::native == std::endian::little,
              "fields are copied as they lie in memory");

template <class T>
void put(std::span<std::byte> bytes, size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}
void put(std::span<std::byte> bytes, size_t at, const Hash128& hash) {
    put(bytes, at, hash.high);
    put(bytes, at + 8, hash.low);
}

template <class T>
T take(std::span<const std::byte> bytes, size_t at) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}
Hash128 take_hash(std::span<const std::byte> bytes, size_t at) {
    return {.high = take<uint64_t>(bytes, at), .low = take<uint64_t>(bytes, at + 8)};
}

// A layout is the same when type, page size and the shape of every layer are.
Hash128 shape_of(const PageLayout& layout) {
    Hasher128 hasher;
    for (const KvLayerShape& layer : layout.shape()) {
        const std::array<uint32_t, 2> numbers{layer.kv_heads, layer.head_dim};
        hasher.update(std::as_bytes(std::span(numbers)));
    }
    return hasher.digest();
}

// Interrupted and partial transfers are gone on with. False with errno set.
bool write_all(int file, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(file, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return true;
}

PageFault read_all(int file, std::span<std::byte> bytes, size_t offset) {
    while (!bytes.empty()) {
        const ssize_t got = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return PageFault::unreadable;
        if (got == 0) return PageFault::truncated;
        bytes = bytes.subspan(static_cast<size_t>(got));
        offset += static_cast<size_t>(got);
    }
    return PageFault::none;
}

// The beginning of a file into one place and what follows into another, by one system call: with
// direct access each call is a way to the disk and back.
PageFault read_both(int file, std::span<std::byte> first, std::span<std::byte> second) {
    std::array<iovec, 2> parts{iovec{.iov_base = first.data(), .iov_len = first.size()},
                               iovec{.iov_base = second.data(), .iov_len = second.size()}};
    const ssize_t got = ::preadv(file, parts.data(), static_cast<int>(parts.size()), 0);
    const size_t begun = got < 0 ? 0 : static_cast<size_t>(got);
    const auto rest_of = [](std::span<std::byte> part, size_t done) {
        return part.subspan(std::min(part.size(), done));
    };
    const auto rest = rest_of(first, begun);
    if (const PageFault fault = read_all(file, rest, begun); fault != PageFault::none) return fault;
    const size_t done = std::max(begun, first.size());
    return read_all(file, rest_of(second, done - first.size()), done);
}

}  // namespace

std::optional<PageName> page_name_from_hex(std::string_view text) {
    if (text.size() != 32) return std::nullopt;
    Hash128 hash;
    const auto parse = [](std::string_view digits, uint64_t& value) {
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        return error == std::errc() && end == digits.data() + digits.size();
    };
    if (!parse(text.substr(0, 16), hash.high) || !parse(text.substr(16), hash.low))
        return std::nullopt;
    return hash;
}

std::string page_path(const PageAddress& address) {
    const std::string parent = address.parent.hex();
    return address.root.hex() + "/" + parent.substr(0, 2) + "/" + parent + "-" +
           address.name.hex() + "-" + std::to_string(address.tokens);
}

std::optional<PageAddress> address_from_path(std::string_view root_folder, std::string_view file) {
    constexpr size_t kHex = 32;
    if (file.size() < 2 * kHex + 3 || file[kHex] != '-' || file[2 * kHex + 1] != '-')
        return std::nullopt;
    const auto root = page_name_from_hex(root_folder);
    const auto parent = page_name_from_hex(file.substr(0, kHex));
    const auto name = page_name_from_hex(file.substr(kHex + 1, kHex));
    if (!root || !parent || !name) return std::nullopt;
    PageAddress address{.root = *root, .parent = *parent, .name = *name};
    const std::string_view count = file.substr(2 * kHex + 2);
    const auto [end, error] =
        std::from_chars(count.data(), count.data() + count.size(), address.tokens);
    const bool whole = error == std::errc() && end == count.data() + count.size();
    // Only what page_path makes: no upper case, no leading zero.
    if (!whole || address.tokens == 0 || address.tokens > kPagePositions ||
        !page_path(address).ends_with(file))
        return std::nullopt;
    return address;
}

std::vector<std::byte> encode_header(const PageAddress& address, std::span<const TokenId> ids,
                                     const PageLayout& layout, std::span<const std::byte> page) {
    MOXIE_CHECK(ids.size() == address.tokens && !ids.empty() && ids.size() <= kPagePositions);
    std::vector<std::byte> bytes(kPageHeaderBytes);
    std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
    put(bytes, kAtVersion, kPageFileVersion);
    put(bytes, kAtHeaderBytes, static_cast<uint32_t>(kPageHeaderBytes));
    put(bytes, kAtRoot, address.root);
    put(bytes, kAtParent, address.parent);
    put(bytes, kAtName, address.name);
    put(bytes, kAtType, static_cast<uint32_t>(layout.type()));
    put(bytes, kAtPositions, kPagePositions);
    put(bytes, kAtTokens, address.tokens);
    put(bytes, kAtLayers, static_cast<uint32_t>(layout.shape().size()));
    put(bytes, kAtPageBytes, static_cast<uint64_t>(page.size()));
    put(bytes, kAtShape, shape_of(layout));
    put(bytes, kAtChecksum, hash128(page));
    std::memcpy(bytes.data() + kAtIds, ids.data(), ids.size_bytes());
    put(bytes, kAtHeaderChecksum, hash64(std::span(bytes).first(kAtHeaderChecksum)));
    return bytes;
}

const char* describe(PageFault fault) {
    switch (fault) {
        case PageFault::none: return "is sound";
        case PageFault::missing: return "is missing";
        case PageFault::unreadable: return "cannot be read";
        case PageFault::truncated: return "is truncated";
        case PageFault::damaged: return "is damaged";
        case PageFault::foreign: return "is not what its place says";
    }
    return "is damaged";
}

PageFault decode_header(std::span<const std::byte> bytes, PageHeader& header) {
    MOXIE_CHECK(bytes.size() == kPageHeaderBytes);
    if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) return PageFault::foreign;
    if (take<uint32_t>(bytes, kAtVersion) != kPageFileVersion) return PageFault::foreign;
    if (take<uint64_t>(bytes, kAtHeaderChecksum) != hash64(bytes.first(kAtHeaderChecksum)))
        return PageFault::damaged;
    header.address = {.root = take_hash(bytes, kAtRoot),
                      .parent = take_hash(bytes, kAtParent),
                      .name = take_hash(bytes, kAtName),
                      .tokens = take<uint32_t>(bytes, kAtTokens)};
    header.page_bytes = take<uint64_t>(bytes, kAtPageBytes);
    header.shape = take_hash(bytes, kAtShape);
    header.checksum = take_hash(bytes, kAtChecksum);
    header.type = take<uint32_t>(bytes, kAtType);
    header.layers = take<uint32_t>(bytes, kAtLayers);
    const uint32_t tokens = header.address.tokens;
    if (take<uint32_t>(bytes, kAtHeaderBytes) != kPageHeaderBytes ||
        take<uint32_t>(bytes, kAtPositions) != kPagePositions || tokens == 0 ||
        tokens > kPagePositions)
        return PageFault::foreign;
    header.ids.resize(tokens);
    std::memcpy(header.ids.data(), bytes.data() + kAtIds, tokens * sizeof(TokenId));
    return PageFault::none;
}

namespace {

// Holds a header against the place where its file was found.
PageFault decode_header_of(const PageAddress& address, std::span<const std::byte> bytes,
                           PageHeader& header) {
    if (const PageFault fault = decode_header(bytes, header); fault != PageFault::none)
        return fault;
    // The name is computed anew: what a header claims is not what its ids are.
    const bool own =
        header.address == address && page_name(address.parent, header.ids) == address.name;
    return own ? PageFault::none : PageFault::foreign;
}

}  // namespace

PageFault read_header(int file, const PageAddress& address, PageHeader& header) {
    std::array<std::byte, kPageHeaderBytes> bytes{};
    if (const PageFault fault = read_all(file, bytes, 0); fault != PageFault::none) return fault;
    return decode_header_of(address, bytes, header);
}

PageFault read_page(int file, const PageAddress& address, std::span<const TokenId> ids,
                    const PageLayout& layout, std::span<std::byte> page) {
    MOXIE_CHECK(page.size() == layout.page_bytes());
    alignas(kPageHeaderBytes) std::array<std::byte, kPageHeaderBytes> bytes = {};
    if (const PageFault fault = read_both(file, bytes, page); fault != PageFault::none)
        return fault;
    PageHeader header;
    if (const PageFault fault = decode_header_of(address, bytes, header); fault != PageFault::none)
        return fault;
    if (!std::ranges::equal(header.ids, ids) || header.page_bytes != page.size() ||
        header.type != static_cast<uint32_t>(layout.type()) ||
        header.layers != layout.shape().size() || header.shape != shape_of(layout))
        return PageFault::foreign;
    return hash128(page) == header.checksum ? PageFault::none : PageFault::damaged;
}

bool write_page(int file, std::span<const std::byte> header, std::span<const std::byte> page) {
    return write_all(file, header) && write_all(file, page);
}

}  // namespace core
