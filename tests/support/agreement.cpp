#include "tests/support/agreement.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/support/loaded_model.h"

namespace support {
namespace {

// The engine computes in float32: its relative error is a few 1e-7, with int8 or half keys a few
// 1e-6 as long as no decision turns over, which safe_tokens() sees to.
constexpr double kTolerance = 1e-4;

KvRounding rounding_of(core::KvType type) {
    switch (type) {
        case core::KvType::f32: return KvRounding::f32;
        case core::KvType::f16: return KvRounding::f16;
        case core::KvType::q8: return KvRounding::q8;
    }
    return KvRounding::none;
}

std::span<const core::TokenId> part(const std::vector<core::TokenId>& tokens, size_t begin,
                                    size_t end) {
    return std::span(tokens).subspan(begin, end - begin);
}

Rows slice_rows(const Rows& rows, size_t begin, size_t end) {
    return {rows.begin() + static_cast<ptrdiff_t>(begin),
            rows.begin() + static_cast<ptrdiff_t>(end)};
}

}  // namespace

AgreementCase::AgreementCase(Family family, Storage storage, core::KvType kv, uint32_t length)
    : model_(tiny_model(family, storage)), kv_(kv), fork_(length * 2 / 3) {
    const Rounding rounding{.activations = true, .kv = rounding_of(kv)};
    const auto make = [&](uint32_t count, uint64_t seed) {
        NaiveForward forward(model_.reference, rounding);
        Line line;
        line.tokens = safe_tokens(forward, model_.reference.vocab, count, seed, line.logits);
        return line;
    };
    middle_ = make(length / 2, 2);
    short_ = make(3, 3);
    NaiveForward forward(model_.reference, rounding);
    long_.tokens = safe_tokens(forward, model_.reference.vocab, length, 1, long_.logits);
    forward.truncate(fork_);
    branch_.tokens = safe_tokens(forward, model_.reference.vocab, 8, 4, branch_.logits);
}

void AgreementCase::expect_rows(const char* mode, const Rows& actual, const Line& line,
                                size_t begin) const {
    for (size_t row = 0; row < actual.size(); ++row) {
        const double error = relative_error(actual[row], line.logits[begin + row]);
        worst_ = std::max(worst_, error);
        // Written so that a NaN fails.
        if (!(error <= kTolerance)) {
            ADD_FAILURE() << mode << ": relative error " << error << " at position " << begin + row;
            return;
        }
    }
}

void AgreementCase::compare(const core::Kernels& kernels) const {
    LoadedModel loaded(model_, kernels);
    const std::vector<core::TokenId>& tokens = long_.tokens;
    expect_rows("one prefill", loaded.forward_in_chunks(kv_, tokens, tokens.size()), long_, 0);
    expect_rows("token by token", loaded.forward_in_chunks(kv_, tokens, 1), long_, 0);
    compare_ragged(loaded);
    compare_fork(loaded);
}

// Prefill chunks of different lengths together, then decode steps beside a prefill chunk.
void AgreementCase::compare_ragged(LoadedModel& loaded) const {
    const size_t all = long_.tokens.size();
    core::PagePool pool = loaded.pages(kv_, static_cast<uint32_t>(2 * all));
    core::Sequence first(pool), second(pool), third(pool);
    const size_t cut = all - 2;
    const core::Slice prefill[] = {
        {.sequence = &first, .tokens = part(long_.tokens, 0, cut)},
        {.sequence = &second, .tokens = part(middle_.tokens, 0, 1)},
        {.sequence = &third, .tokens = part(short_.tokens, 0, 2)},
    };
    Rows rows = loaded.forward(prefill);
    expect_rows("ragged, first sequence", slice_rows(rows, 0, cut), long_, 0);
    expect_rows("ragged, second sequence", slice_rows(rows, cut, cut + 1), middle_, 0);
    expect_rows("ragged, third sequence", slice_rows(rows, cut + 1, cut + 3), short_, 0);
    const size_t rest = middle_.tokens.size() - 1;
    const core::Slice mixed[] = {
        {.sequence = &third, .tokens = part(short_.tokens, 2, 3)},
        {.sequence = &second, .tokens = part(middle_.tokens, 1, rest + 1)},
        {.sequence = &first, .tokens = part(long_.tokens, cut, all)},
    };
    rows = loaded.forward(mixed);
    expect_rows("mixed, decode step", slice_rows(rows, 0, 1), short_, 2);
    expect_rows("mixed, prefill", slice_rows(rows, 1, 1 + rest), middle_, 1);
    expect_rows("mixed, last tokens", slice_rows(rows, 1 + rest, rows.size()), long_, cut);
}

// The branch writes into pages that it shares with the trunk, which goes on undisturbed.
void AgreementCase::compare_fork(LoadedModel& loaded) const {
    core::PagePool pool = loaded.pages(kv_, static_cast<uint32_t>(2 * long_.tokens.size()));
    core::Sequence trunk(pool);
    loaded.forward(trunk, part(long_.tokens, 0, fork_));
    core::Sequence branch = trunk.fork();
    const size_t half = branch_.tokens.size() / 2;
    expect_rows("branch", loaded.forward(branch, part(branch_.tokens, 0, half)), branch_, 0);
    expect_rows("trunk beside its branch",
                loaded.forward(trunk, part(long_.tokens, fork_, long_.tokens.size())), long_,
                fork_);
    expect_rows("branch, later",
                loaded.forward(branch, part(branch_.tokens, half, branch_.tokens.size())), branch_,
                half);
}

}  // namespace support
