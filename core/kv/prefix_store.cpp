#include "core/kv/prefix_store.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace core {
namespace {

uint32_t common_length(std::span<const TokenId> a, std::span<const TokenId> b) {
    return static_cast<uint32_t>(std::distance(a.begin(), std::ranges::mismatch(a, b).in1));
}

}  // namespace

Sequence PrefixStore::longest_prefix(std::string_view scope, std::span<const TokenId> tokens) {
    if (tokens.empty()) return Sequence(*pool_);
    tokens = tokens.first(tokens.size() - 1);
    auto best = kept_.end();
    uint32_t best_length = 0;
    for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
        if (kept->scope != scope) continue;
        const uint32_t length = common_length(kept->sequence.tokens(), tokens);
        if (length <= best_length) continue;
        best = kept;
        best_length = length;
    }
    if (best == kept_.end()) return Sequence(*pool_);
    kept_.splice(kept_.begin(), kept_, best);
    Sequence prefix = best->sequence.fork();
    prefix.truncate(best_length);
    return prefix;
}

void PrefixStore::keep(std::string_view scope, Sequence sequence) {
    if (sequence.length() == 0) return;
    const auto continues = [](const Sequence& longer, const Sequence& shorter) {
        return common_length(longer.tokens(), shorter.tokens()) == shorter.length();
    };
    for (const Kept& kept : kept_)
        if (kept.scope == scope && continues(kept.sequence, sequence)) return;
    std::erase_if(kept_, [&](const Kept& kept) {
        return kept.scope == scope && continues(sequence, kept.sequence);
    });
    kept_.push_front({.scope = std::string(scope), .sequence = std::move(sequence)});
    if (kept_.size() > kMaxKept) kept_.pop_back();
}

bool PrefixStore::forget_oldest() {
    if (kept_.empty()) return false;
    kept_.pop_back();
    return true;
}

void PrefixStore::forget(std::span<const TokenId> beginning) {
    std::erase_if(kept_, [&](const Kept& kept) {
        return common_length(kept.sequence.tokens(), beginning) == beginning.size();
    });
}

}  // namespace core
