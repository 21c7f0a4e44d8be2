#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/base/hash.h"
#include "core/kv/page_file.h"
#include "tests/fuzz/targets.h"

namespace fuzz {
namespace {

const core::PageLayout& layout() {
    static constexpr std::array<core::KvLayerShape, 1> kShape{{{.kv_heads = 1, .head_dim = 32}}};
    static const core::PageLayout all(kShape, core::KvType::q8);
    return all;
}

void decode(Bytes header_bytes) {
    core::PageHeader header;
    if (core::decode_header(header_bytes, header) != core::PageFault::none) return;
    if (header.ids.empty() || header.ids.size() != header.address.tokens) __builtin_trap();
}

}  // namespace

void page_file(Bytes bytes) {
    static const MemoryFile file;
    file.write(bytes);
    static std::vector<std::byte> page(layout().page_bytes());
    const core::PageAddress address{.root = {1, 2}, .parent = {3, 4}, .name = {5, 6}, .tokens = 2};
    const std::array<core::TokenId, 2> ids{7, 8};
    core::PageHeader header;
    core::read_header(file.descriptor(), address, header);
    if (core::read_page(file.descriptor(), address, ids, layout(), page) == core::PageFault::none)
        __builtin_trap();  // no page is named so

    // As it comes, and with a checksum that is right, which no mutation finds.
    std::vector<std::byte> head(core::kPageHeaderBytes);
    std::memcpy(head.data(), bytes.data(), std::min(bytes.size(), head.size()));
    decode(head);
    const uint64_t checksum = core::hash64(std::span(head).first(head.size() - sizeof(uint64_t)));
    std::memcpy(head.data() + head.size() - sizeof checksum, &checksum, sizeof checksum);
    decode(head);

    const std::string_view text = text_of(bytes);
    const size_t cut = std::min<size_t>(text.size(), 32);
    if (const auto found = core::address_from_path(text.substr(0, cut), text.substr(cut));
        found && !core::page_path(*found).ends_with(text.substr(cut)))
        __builtin_trap();
}

}  // namespace fuzz
