// Names of KV pages: what a page's content is a function of, hashed.
//
// A page is named by its parent's name and its own token ids, so that a name stands for all tokens
// from the beginning on. The chain starts at a root, which stands for everything else that decides
// the bits: weights, configuration, KV type, page size, arithmetic, and the scope within which
// pages may be shared. Whoever finds a page by name still compares its ids (XXH3 is no
// cryptographic hash); see docs/decisions/022-page-names.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/hash.h"
#include "core/base/token_id.h"
#include "core/kv/page_pool.h"

namespace core {

using PageName = Hash128;

// Of docs/kv_format.md. Part of every root, so that programs that write different versions may
// share a directory and never meet.
inline constexpr uint32_t kPageFileVersion = 1;

// For hash tables: a name is uniform already.
struct PageNameHash {
    size_t operator()(const PageName& name) const { return static_cast<size_t>(name.low); }
};

// What pages of two caches must have in common to be exchanged, the scope apart.
struct CacheIdentity {
    Hash128 model;  // weights and configuration: core/model/identity.h
    KvType type = KvType::f16;
    uint32_t numerics_version = 0;  // kNumericsVersion of core/model/identity.h
    // Of kernels that give other bits than the rest; all tiers give the same, so it is "" today.
    std::string_view numerics_class = {};
};

PageName root_name(const CacheIdentity& identity, std::string_view scope);

// REQUIRES: 1 to kPagePositions tokens.
PageName page_name(const PageName& parent, std::span<const TokenId> tokens);

// How many tokens two lines have in common at their beginning.
size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b);

}  // namespace core
