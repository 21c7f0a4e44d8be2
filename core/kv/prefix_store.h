// What has been read before: kept sequences, and the longest beginning of a prompt among them.
//
// Resume, edit, regenerate, fork and a shared system prompt are one mechanism: look up the longest
// prefix. Forks share pages by reference, so that the branches of a conversation cost their
// difference only. Content-addressed pages and the disk take this class's place behind the same
// three functions (docs/architecture.md, section 9).
//
// A prefix is trusted only where its token ids agree one by one. Engine thread only.
#pragma once

#include <cstddef>
#include <list>
#include <span>
#include <string>
#include <string_view>

#include "core/base/token_id.h"
#include "core/kv/sequence.h"

namespace core {

class PrefixStore {
  public:
    // The pool must outlive the store.
    explicit PrefixStore(PagePool& pool) : pool_(&pool) {}

    // A sequence that holds the longest beginning of `tokens` known in this scope; empty when
    // nothing agrees. At most tokens.size() - 1 long: the last token's logits are wanted.
    Sequence longest_prefix(std::string_view scope, std::span<const TokenId> tokens);

    // Keeps a sequence for later. Those of the scope that it continues are forgotten, and it is
    // forgotten itself when one that is kept continues it.
    void keep(std::string_view scope, Sequence sequence);

    // Gives up the sequence that was not used for the longest time. False when none is left.
    // Called when the pool has no page to give.
    bool forget_oldest();

    // Forgets what begins with these tokens, in every scope; no tokens: everything.
    void forget(std::span<const TokenId> beginning);

    size_t size() const { return kept_.size(); }

    // Calls visit(sequence) for each that is kept, the most recently used first.
    template <class Visit>
    void for_each(Visit&& visit) const {
        for (const Kept& kept : kept_)
            visit(kept.sequence);
    }

  private:
    // More branches than anybody walks between; bounds the search, not the memory.
    static constexpr size_t kMaxKept = 64;

    struct Kept {
        std::string scope;
        Sequence sequence;
    };
    PagePool* pool_;
    std::list<Kept> kept_;  // the most recently used first
};

}  // namespace core
