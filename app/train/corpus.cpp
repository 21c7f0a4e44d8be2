#include "app/train/corpus.h"

#include <algorithm>
#include <fstream>
#include <numeric>
#include <random>
#include <stdexcept>

namespace train {

std::vector<uint16_t> read_tokens(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file)
        throw std::runtime_error(path + ": cannot be opened, run `moxie-train prepare` first");
    const auto bytes = static_cast<size_t>(file.tellg());
    if (bytes % sizeof(uint16_t) != 0) {
        throw std::runtime_error(path + ": has " + std::to_string(bytes) +
                                 " bytes, expected an even number");
    }
    std::vector<uint16_t> tokens(bytes / sizeof(uint16_t));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(tokens.data()), static_cast<std::streamsize>(bytes));
    if (!file) throw std::runtime_error(path + ": cannot be read to its end");
    return tokens;
}

void write_tokens(const std::string& path, const std::vector<uint16_t>& tokens) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(tokens.data()),
               static_cast<std::streamsize>(tokens.size() * sizeof(uint16_t)));
    if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

Corpus::Corpus(std::vector<uint16_t> tokens, uint32_t context, uint64_t seed)
    : tokens_(std::move(tokens)), context_(context), seed_(seed), windows_(0) {
    if (tokens_.size() <= context_) {
        throw std::runtime_error("token file has " + std::to_string(tokens_.size()) +
                                 " tokens, needs more than the context of " +
                                 std::to_string(context_));
    }
    windows_ = (tokens_.size() - 1) / context_;
    order_epoch(0);
}

Batch Corpus::batch(uint64_t step, uint32_t rows, double light_share) {
    Batch result;
    std::mt19937_64 random((seed_ + 1) * 0x9E3779B97F4A7C15ULL + step);
    const auto light_counts = [&] {
        return static_cast<double>(random() >> 11) * 0x1p-53 < light_share;
    };
    for (uint32_t row = 0; row < rows; ++row) {
        const uint64_t drawn = step * rows + row;
        if (drawn / windows_ != epoch_) order_epoch(drawn / windows_);
        append(result, order_[drawn % windows_], light_counts);
    }
    return result;
}

Batch Corpus::in_order(size_t first, uint32_t rows) const {
    Batch result;
    for (size_t window = first; window < std::min<size_t>(first + rows, windows_); ++window) {
        append(result, window, [] { return false; });
    }
    return result;
}

size_t Corpus::window_start(size_t window) const {
    const size_t begin = window * context_;
    const size_t end = std::min(begin + context_, tokens_.size() - context_);
    for (size_t i = begin; i < end; ++i) {
        if (i == 0 || (tokens_[i - 1] & ~kLightToken) == kEndOfRecord) return i;
    }
    return begin;
}

template <typename Draw>
void Corpus::append(Batch& batch, size_t window, Draw&& light_counts) const {
    const size_t start = window_start(window);
    for (size_t i = start; i < start + context_; ++i) {
        const uint16_t target = tokens_[i + 1];
        batch.inputs.push_back(tokens_[i] & ~kLightToken);
        batch.targets.push_back(target & ~kLightToken);
        batch.weights.push_back((target & kLightToken) == 0 || light_counts() ? 1.0F : 0.0F);
    }
}

void Corpus::order_epoch(uint64_t epoch) {
    epoch_ = epoch;
    order_.resize(windows_);
    std::iota(order_.begin(), order_.end(), 0U);
    // Fisher-Yates by hand: std::shuffle may differ between standard libraries.
    std::mt19937_64 random(seed_ * 0x9E3779B97F4A7C15ULL + epoch);
    for (size_t i = windows_; i > 1; --i)
        std::swap(order_[i - 1], order_[random() % i]);
}

}  // namespace train
