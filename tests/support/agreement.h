// Comparison of the engine with naive_forward over every way of feeding tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/kernels.h"
#include "tests/support/loaded_model.h"
#include "tests/support/tiny_model.h"

namespace support {

// A tiny model and what naive_forward says about three unrelated sequences and a branch, computed
// once and compared with as many engines as wanted.
class AgreementCase {
  public:
    // `length` is that of the longest sequence. REQUIRES: length >= 12; not a KV cache in halves
    // together with quantized weights, where one half turned over turns int8 activations over.
    AgreementCase(Family family, Storage storage, core::KvType kv, uint32_t length);

    // Compares one prefill, token by token, a ragged batch of the three sequences and a forked
    // sequence. Failures are reported through gtest.
    void compare(const core::Kernels& kernels) const;

    // The largest relative L2 error of a row in all comparisons so far.
    double worst_error() const { return worst_; }

  private:
    struct Line {
        std::vector<core::TokenId> tokens;
        std::vector<std::vector<double>> logits;
    };

    void expect_rows(const char* mode, const Rows& actual, const Line& line, size_t begin) const;
    void compare_ragged(LoadedModel& loaded) const;
    void compare_fork(LoadedModel& loaded) const;

    TestModel model_;
    core::KvType kv_;
    Line long_, middle_, short_;
    Line branch_;  // continues `long_` from `fork_`
    uint32_t fork_ = 0;
    mutable double worst_ = 0.0;
};

}  // namespace support
