// Paged attention: scalar against double, every tier against scalar bit by bit, and independence of
// everything but the query's own keys.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/half.h"
#include "core/kernels/kernels.h"
#include "core/kernels/vector.h"

namespace core {
namespace {

using Floats = std::vector<float>;

// Scores reach 15 where the temperature sharpens them; a chain of 128 fmas is then off by up to
// 3e-6 in the exponent, and so are the weights, relatively. Values are about 1.
constexpr double kBound = 1e-5;

struct Shape {
    KvType type = KvType::f32;
    uint32_t head_dim = 64;
    uint32_t heads = 1;
    uint32_t positions = 150;  // two pages and a part
    float softcap = 0.0F;
    uint32_t temperature_length = 0;
    uint32_t window = 0;
};

Floats normal_floats(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> values;
    Floats result(count);
    std::generate(result.begin(), result.end(), [&] { return values(random); });
    return result;
}

// q, k and v of every position, and the pages that hold k and v. What no position has written is
// NaN, so that a key or value beyond a query's position would show.
class Subject {
  public:
    explicit Subject(const Shape& shape)
        : shape_(shape),
          q_(normal_floats(size_t{shape.positions} * shape.heads * shape.head_dim, 1)),
          k_(normal_floats(size_t{shape.positions} * shape.head_dim, 2)),
          v_(normal_floats(size_t{shape.positions} * shape.head_dim, 3)) {
        const uint32_t count = (shape.positions + kPagePositions - 1) / kPagePositions;
        const size_t bytes =
            k_bytes(shape.type, shape.head_dim) + v_bytes(shape.type, shape.head_dim);
        for (uint32_t p = 0; p < count; ++p) {
            auto* page = static_cast<std::byte*>(std::aligned_alloc(64, bytes));
            std::memset(page, 0xff, bytes);  // NaN as float and as half
            storage_.emplace_back(page, &std::free);
            pages_.push_back(page);
        }
    }

    // Stores K and V of positions [begin, end).
    void store(uint32_t begin, uint32_t end) {
        for (uint32_t p = begin; p < end; ++p) {
            std::byte* page = storage_[p / kPagePositions].get();
            const size_t at = size_t{p} * shape_.head_dim;
            vector_kernels_scalar().store_kv(
                {.type = shape_.type,
                 .head_dim = shape_.head_dim,
                 .row = p % kPagePositions,
                 .k = k_.data() + at,
                 .v = v_.data() + at,
                 .k_page = page,
                 .v_page = page + k_bytes(shape_.type, shape_.head_dim)});
        }
    }

    // Attention of queries [begin, begin + count): [count][heads][head_dim].
    Floats attend(const VectorKernels& kernels, uint32_t begin, uint32_t count) const {
        const size_t row = size_t{shape_.heads} * shape_.head_dim;
        Floats out(count * row + 16, -7.0F);
        const size_t floats = attention_scratch(shape_.head_dim, shape_.heads * count);
        std::unique_ptr<float, decltype(&std::free)> scratch(
            static_cast<float*>(std::aligned_alloc(64, (floats + 15) / 16 * 64)), &std::free);
        kernels.attention({.type = shape_.type,
                           .head_dim = shape_.head_dim,
                           .heads = shape_.heads,
                           .queries = count,
                           .position = begin,
                           .scale = scale(),
                           .softcap = shape_.softcap,
                           .temperature_length = shape_.temperature_length,
                           .window = shape_.window,
                           .pages = pages_.data(),
                           .k_offset = 0,
                           .v_offset = k_bytes(shape_.type, shape_.head_dim),
                           .q = q_.data() + begin * row,
                           .q_stride = row,
                           .out = out.data(),
                           .out_stride = row,
                           .scratch = scratch.get()});
        for (size_t i = count * row; i < out.size(); ++i)
            EXPECT_EQ(out[i], -7.0F) << "written behind the end";
        out.resize(count * row);
        return out;
    }

    // The same in double from the values as rounded to the KV type.
    std::vector<double> expected(uint32_t position) const {
        std::vector<double> out;
        const uint32_t dim = shape_.head_dim;
        const uint32_t first =
            shape_.window != 0 && position >= shape_.window ? position - shape_.window + 1 : 0;
        for (uint32_t head = 0; head < shape_.heads; ++head) {
            const float* q = q_.data() + (size_t{position} * shape_.heads + head) * dim;
            std::vector<double> p(position + 1, 0.0);
            double total = 0.0;
            for (uint32_t key = first; key <= position; ++key) {
                double score = 0.0;
                for (uint32_t d = 0; d < dim; ++d)
                    score += double{q[d]} * rounded(k_, key, d);
                score *= scale();
                if (shape_.softcap != 0.0F)
                    score = shape_.softcap * std::tanh(score / shape_.softcap);
                if (shape_.temperature_length != 0 && position > shape_.temperature_length)
                    score *= std::log2(position) / std::log2(shape_.temperature_length);
                total += p[key] = std::exp(score);
            }
            for (uint32_t d = 0; d < dim; ++d) {
                double sum = 0.0;
                for (uint32_t key = first; key <= position; ++key)
                    sum += p[key] * rounded(v_, key, d);
                out.push_back(sum / total);
            }
        }
        return out;
    }

    const Shape& shape() const { return shape_; }

  private:
    float scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)); }

    double rounded(const Floats& values, uint32_t position, uint32_t d) const {
        const float* row = values.data() + size_t{position} * shape_.head_dim;
        if (shape_.type == KvType::f32) return row[d];
        if (shape_.type == KvType::f16) return f16_to_f32(f32_to_f16(row[d]));
        const uint32_t first = d / kKvBlock * kKvBlock;
        const uint32_t last = std::min(first + kKvBlock, shape_.head_dim);
        float highest = 0.0F;
        for (uint32_t i = first; i < last; ++i)
            highest = std::max(highest, std::abs(row[i]));
        const float step = highest / 127.0F;
        return double{std::nearbyint(row[d] * (1.0F / step))} * step;
    }

    Shape shape_;
    Floats q_, k_, v_;
    std::vector<std::unique_ptr<std::byte, decltype(&std::free)>> storage_;
    std::vector<const std::byte*> pages_;
};

std::vector<Shape> shapes() {
    std::vector<Shape> all;
    for (const KvType type : {KvType::f32, KvType::f16, KvType::q8}) {
        all.push_back({.type = type, .head_dim = 8, .heads = 2, .softcap = 3.0F});
        all.push_back({.type = type, .head_dim = 64, .heads = 1, .softcap = 30.0F});
        all.push_back({.type = type, .head_dim = 128, .heads = 5, .temperature_length = 4});
        all.push_back({.type = type, .head_dim = 40, .heads = 3, .window = 70});
        all.push_back({.type = type, .head_dim = 16, .heads = 8, .positions = 64, .window = 5});
    }
    return all;
}

std::string describe(const Shape& s) {
    return "kv type " + std::to_string(static_cast<int>(s.type)) + ", head_dim " +
           std::to_string(s.head_dim) + ", heads " + std::to_string(s.heads) + ", window " +
           std::to_string(s.window);
}

TEST(Attention, AgreesWithDoubleArithmetic) {
    for (const Shape& shape : shapes()) {
        Subject subject(shape);
        subject.store(0, shape.positions);
        const Floats actual = subject.attend(*all_kernels().back()->vector, 0, shape.positions);
        const size_t row = size_t{shape.heads} * shape.head_dim;
        for (const uint32_t position : {0U, 1U, 5U, 31U, 63U, 64U, 127U, 149U}) {
            if (position >= shape.positions) continue;
            const std::vector<double> expected = subject.expected(position);
            for (size_t i = 0; i < row; ++i)
                ASSERT_NEAR(actual[position * row + i], expected[i], kBound)
                    << describe(shape) << " position " << position << " element " << i;
        }
    }
}

TEST(Attention, EveryTierGivesTheBitsOfScalar) {
    for (const Shape& shape : shapes()) {
        Subject subject(shape);
        subject.store(0, shape.positions);
        for (const uint32_t begin : {0U, 3U, shape.positions - 1}) {
            const uint32_t count = std::min(9U, shape.positions - begin);
            const Floats expected = subject.attend(vector_kernels_scalar(), begin, count);
            for (const Kernels* kernels : all_kernels()) {
                EXPECT_EQ(subject.attend(*kernels->vector, begin, count), expected)
                    << kernels->name << ": " << describe(shape) << " from " << begin;
            }
        }
    }
}

TEST(Attention, AQueryAloneGivesTheBitsOfTheQueryInABlock) {
    for (const Shape& shape : shapes()) {
        Subject subject(shape);
        subject.store(0, shape.positions);
        const VectorKernels& kernels = *all_kernels().back()->vector;
        const Floats together = subject.attend(kernels, 0, shape.positions);
        const size_t row = size_t{shape.heads} * shape.head_dim;
        for (uint32_t position = 0; position < shape.positions; ++position) {
            const Floats alone = subject.attend(kernels, position, 1);
            ASSERT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + position * row))
                << describe(shape) << " position " << position;
        }
    }
}

// The pages hold NaN where nothing is stored: a query at the edge must neither see it nor multiply
// it by zero.
TEST(Attention, WhatLiesBehindAQueryIsNeverUsed) {
    for (const Shape& shape : shapes()) {
        Subject whole(shape);
        whole.store(0, shape.positions);
        Subject growing(shape);
        for (const uint32_t position : {0U, 15U, 16U, 40U, 63U}) {
            growing.store(0, position + 1);
            for (const Kernels* kernels : all_kernels()) {
                EXPECT_EQ(growing.attend(*kernels->vector, position, 1),
                          whole.attend(*kernels->vector, position, 1))
                    << kernels->name << ": " << describe(shape) << " position " << position;
            }
        }
    }
}

}  // namespace
}  // namespace core
