// Token files and the batches drawn from them. A token file is a plain array of little-endian
// uint16. The batch of a step depends on (file, seed, step, shape) only, so a resumed run sees the
// same data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace train {

// Set on tokens that are not the assistant's own words (user turns, role names).
inline constexpr uint16_t kLightToken = 0x8000;
// [EOS], the end of a record.
inline constexpr uint16_t kEndOfRecord = 2;

// Throws std::runtime_error when the file cannot be read or has an odd number of bytes.
std::vector<uint16_t> read_tokens(const std::string& path);
void write_tokens(const std::string& path, const std::vector<uint16_t>& tokens);

struct Batch {
    std::vector<int64_t> inputs;   // [rows, context]
    std::vector<int64_t> targets;  // [rows, context], inputs shifted by one
    std::vector<float> weights;    // [rows, context], 1 where the target counts in the loss, else 0
};

class Corpus {
  public:
    // REQUIRES: more than `context` tokens, otherwise throws std::runtime_error.
    Corpus(std::vector<uint16_t> tokens, uint32_t context, uint64_t seed);

    // Windows of `context` + 1 tokens. A window begins at the first record start of its stretch of
    // the file where there is one, as a chat does.
    size_t windows() const { return windows_; }
    size_t tokens() const { return tokens_.size(); }

    // Rows of step `step`: every epoch visits all windows once, in an order of its own.
    // Of the light targets, a share of `light_share` counts, drawn anew in every step.
    Batch batch(uint64_t step, uint32_t rows, double light_share);

    // Windows `first`, `first` + 1, ... in file order, for evaluation; light
    // targets do not count.
    Batch in_order(size_t first, uint32_t rows) const;

  private:
    size_t window_start(size_t window) const;
    // Adds one row; `light_counts()` says for each light target whether it counts.
    template <typename Draw>
    void append(Batch& batch, size_t window, Draw&& light_counts) const;
    void order_epoch(uint64_t epoch);

    // Constant after construction.
    std::vector<uint16_t> tokens_;
    uint32_t context_;
    uint64_t seed_;
    size_t windows_;

    // The order of the epoch used last.
    uint64_t epoch_ = 0;
    std::vector<uint32_t> order_;
};

}  // namespace train
