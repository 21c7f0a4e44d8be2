#include "tests/core/kv/rows_world.h"

#include <poll.h>

#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace core {
namespace {

constexpr KvLayerShape kShape[] = {{.kv_heads = 2, .head_dim = 8}, {.kv_heads = 1, .head_dim = 40}};

// splitmix64
uint64_t mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111eb;
    return value ^ (value >> 31U);
}

// Calls visit(span of bytes) for each run of bytes that holds something of this position.
template <class Visit>
void for_each_run(const PageLayout& layout, std::byte* page, uint32_t row, Visit&& visit) {
    const size_t value = kv_value_bytes(layout.type());
    for (uint32_t layer = 0; layer < layout.shape().size(); ++layer) {
        const auto [heads, dim] = layout.shape()[layer];
        const size_t scales = layout.type() == KvType::q8 ? kv_blocks(dim) : 0;
        for (uint32_t head = 0; head < heads; ++head) {
            std::byte* k = page + layout.k_offset(layer, head);
            for (uint32_t d = 0; d < dim; ++d)
                visit(std::span(k + (d * kPagePositions + row) * value, value));
            k += value * dim * kPagePositions;
            for (size_t block = 0; block < scales; ++block)
                visit(std::span(k + (block * kPagePositions + row) * 4, 4));
            std::byte* v = page + layout.v_offset(layer, head);
            visit(std::span(v + row * padded_dim(dim) * value, dim * value));
            v += value * padded_dim(dim) * kPagePositions;
            visit(std::span(v + row * scales * 4, scales * 4));
        }
    }
}

template <class Use>
void for_each_byte(const PageLayout& layout, std::byte* page, uint32_t row, uint64_t seed,
                   Use&& use) {
    uint64_t counter = 0;
    for_each_run(layout, page, row, [&](std::span<std::byte> run) {
        for (std::byte& byte : run)
            use(byte, static_cast<std::byte>(mix(seed + ++counter)));
    });
}

std::vector<uint64_t> seeds_of(std::span<const TokenId> tokens) {
    std::vector<uint64_t> seeds;
    uint64_t seed = 0;
    for (const TokenId token : tokens)
        seeds.push_back(seed = mix(seed ^ static_cast<uint64_t>(token + 1)));
    return seeds;
}

}  // namespace

PageLayout test_layout(KvType type) {
    return {kShape, type};
}

void append(Sequence& sequence, std::span<const TokenId> tokens) {
    sequence.reserve(static_cast<uint32_t>(tokens.size()));
    Tokens line(sequence.tokens().begin(), sequence.tokens().end());
    line.insert(line.end(), tokens.begin(), tokens.end());
    const auto seeds = seeds_of(line);
    for (size_t at = sequence.length(); at < line.size(); ++at)
        for_each_byte(sequence.layout(), sequence.pages()[at / kPagePositions]->data,
                      static_cast<uint32_t>(at % kPagePositions), seeds[at],
                      [](std::byte& byte, std::byte value) { byte = value; });
    sequence.commit(tokens);
}

uint32_t correct_rows(const Sequence& sequence) {
    const auto seeds = seeds_of(sequence.tokens());
    for (uint32_t at = 0; at < sequence.length(); ++at) {
        bool equal = true;
        for_each_byte(sequence.layout(), sequence.pages()[at / kPagePositions]->data,
                      at % kPagePositions, seeds[at],
                      [&](std::byte& byte, std::byte value) { equal = equal && byte == value; });
        if (!equal) return at;
    }
    return sequence.length();
}

Tokens some_tokens(size_t count, uint32_t seed) {
    Tokens tokens;
    for (size_t i = 0; i < count; ++i)
        tokens.push_back(static_cast<TokenId>(mix((uint64_t{seed} << 32U) + i) % 100'000));
    return tokens;
}

Tokens joined(const Tokens& line, const Tokens& more) {
    Tokens all = line;
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

RowsWorld::RowsWorld(Options options) : options_(std::move(options)) {
    start();
}

void RowsWorld::start() {
    const PageLayout layout = test_layout(options_.type);
    if (!options_.directory.empty())
        disk_.emplace(options_.directory,
                      options_.disk_pages * (kPageHeaderBytes + layout.page_bytes()),
                      options_.shortest_line);
    pool_.emplace(layout, options_.pages * layout.page_bytes());
    store_.emplace(
        *pool_, CacheIdentity{.model = {.high = 0, .low = options_.model}, .type = options_.type},
        disk_ ? &*disk_ : nullptr);
}

void RowsWorld::restart() {
    store_.reset();
    pool_.reset();
    disk_.reset();
    start();
}

void RowsWorld::wait_for_news() {
    pollfd bell{.fd = disk_->fd(), .events = POLLIN, .revents = 0};
    if (::poll(&bell, 1, 60'000) != 1) throw std::runtime_error("the disk thread is silent");
    store_->poll();
}

void RowsWorld::settle() {
    // What was submitted before it is done before it.
    const Tokens nothing{1};
    const auto last = store_->drop("a scope that nobody uses", std::span(&nothing, 1));
    if (last) wait([&] { return last->done(); });
    if (const auto measure = store_->measure()) wait([&] { return measure->done; });
    wait([&] { return !store_->writing(); });
}

Sequence RowsWorld::find(const Tokens& tokens, const std::string& scope) {
    if (const auto restore = store_->restore(scope, tokens)) {
        wait([&] { return restore->done; });
        last_restore.found = restore->found;
        last_restore.restored = restore->restored;
        last_restore.bytes = restore->bytes;
    }
    Sequence sequence = store_->longest_prefix(scope, tokens);
    EXPECT_EQ(correct_rows(sequence), sequence.length()) << "a wrong row came from the cache";
    return sequence;
}

uint32_t RowsWorld::read(const Tokens& tokens, Keep where, const std::string& scope) {
    Sequence sequence = find(tokens, scope);
    const auto rest = std::span(tokens).subspan(sequence.length());
    while (true) {
        try {
            append(sequence, rest);
            break;
        } catch (const Error&) {
            if (store_->evict()) continue;
            if (!store_->writing()) throw;
            wait_for_news();
        }
    }
    store_->keep(scope, sequence, where);
    return static_cast<uint32_t>(rest.size());
}

uint32_t RowsWorld::known(const Tokens& line, const std::string& scope) {
    return find(joined(line, {-1}), scope).length();
}

}  // namespace core
