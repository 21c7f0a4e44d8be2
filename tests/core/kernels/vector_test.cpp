// Norms, activations, rotation and KV rows: every tier against scalar bit by bit, scalar against
// double.
#include "core/kernels/vector.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/half.h"
#include "core/kernels/kernels.h"

namespace core {
namespace {

using Floats = std::vector<float>;

constexpr uint32_t kSizes[] = {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 48, 100, 1000};

Floats normal_floats(size_t count, uint32_t seed, float deviation = 1.0F) {
    std::mt19937 random(seed);
    std::normal_distribution<float> values(0.0F, deviation);
    Floats result(count);
    std::generate(result.begin(), result.end(), [&] { return values(random); });
    return result;
}

// Values at the edges of exp, tanh and float, then a sweep of the range where they move.
Floats hostile_floats() {
    const float inf = std::numeric_limits<float>::infinity();
    Floats values = {0.0F,   -0.0F,   1e-45F, -1e-45F, 1e-38F,   0.6249999F,
                     0.625F, -0.625F, 87.33F, -87.3F,  -87.337F, 88.37F,
                     88.8F,  -104.0F, 3e38F,  -3e38F,  inf,      -inf};
    for (float x = -100.0F; x <= 100.0F; x += 0.0371F)
        values.push_back(x);
    for (float x = -2.0F; x <= 2.0F; x += 0.00071F)
        values.push_back(x);
    return values;
}

// Equal bits, or both NaN: which operand's NaN survives is the compiler's choice.
testing::AssertionResult same_bits(const Floats& a, const Floats& b) {
    for (size_t i = 0; i < a.size(); ++i) {
        if (std::isnan(a[i]) && std::isnan(b[i])) continue;
        if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]))
            return testing::AssertionFailure() << "element " << i << ": " << a[i] << ", " << b[i];
    }
    return testing::AssertionSuccess();
}

// Runs `compute` with every tier and expects scalar's bits.
void expect_same_in_every_tier(const std::function<Floats(const VectorKernels&)>& compute,
                               const std::string& what) {
    const Floats expected = compute(vector_kernels_scalar());
    for (const Kernels* kernels : all_kernels())
        EXPECT_TRUE(same_bits(compute(*kernels->vector), expected)) << kernels->name << " " << what;
}

// The largest |actual - expected| / max(|expected|, floor).
double worst_error(const Floats& actual, const std::function<double(size_t)>& expected,
                   double floor) {
    double worst = 0.0;
    for (size_t i = 0; i < actual.size(); ++i) {
        const double wanted = expected(i);
        worst = std::max(worst, std::abs(actual[i] - wanted) / std::max(std::abs(wanted), floor));
    }
    return worst;
}

TEST(VectorKernels, EveryTierGivesTheBitsOfScalarAtEverySize) {
    for (const uint32_t n : kSizes) {
        const Floats x = normal_floats(n, n, 3.0F);
        const Floats y = normal_floats(n, n + 1);
        const auto check = [&](const char* name, auto operation) {
            expect_same_in_every_tier(
                [&](const VectorKernels& kernels) {
                    Floats result = x;
                    operation(kernels, result);
                    return result;
                },
                name + (" of " + std::to_string(n)));
        };
        check("rms_norm", [&](const VectorKernels& k, Floats& r) {
            k.rms_norm(r.data(), y.data(), 1e-5F, n, r.data());
        });
        check("add", [&](const VectorKernels& k, Floats& r) { k.add(r.data(), y.data(), n); });
        check("scale", [&](const VectorKernels& k, Floats& r) { k.scale(r.data(), 0.3F, n); });
        check("add_scaled", [&](const VectorKernels& k, Floats& r) {
            k.add_scaled(r.data(), 0.3F, y.data(), n);
        });
        check("softcap", [&](const VectorKernels& k, Floats& r) { k.softcap(r.data(), 2.0F, n); });
        check("gelu_gate", [&](const VectorKernels& k, Floats& r) {
            k.gelu_gate(r.data(), y.data(), n, r.data());
        });
        check("silu_gate", [&](const VectorKernels& k, Floats& r) {
            k.silu_gate(r.data(), y.data(), n, r.data());
        });
        check("softmax", [&](const VectorKernels& k, Floats& r) { k.softmax(r.data(), n); });
        check("dot",
              [&](const VectorKernels& k, Floats& r) { r[0] = k.dot(r.data(), y.data(), n); });
        if (n % 2 != 0) continue;
        check("rotate_half", [&](const VectorKernels& k, Floats& r) {
            k.rotate_half(r.data(), y.data(), y.data() + n / 2, n / 2);
        });
        check("rotate_adjacent", [&](const VectorKernels& k, Floats& r) {
            k.rotate_adjacent(r.data(), y.data(), y.data() + n / 2, n / 2);
        });
    }
}

TEST(VectorKernels, EveryTierGivesTheBitsOfScalarForHostileValues) {
    Floats x = hostile_floats();
    x.push_back(std::numeric_limits<float>::quiet_NaN());
    const auto n = static_cast<uint32_t>(x.size());
    const Floats ones(n, 1.0F);
    for (const auto gate : {&VectorKernels::gelu_gate, &VectorKernels::silu_gate}) {
        expect_same_in_every_tier(
            [&](const VectorKernels& kernels) {
                Floats y(n);
                (kernels.*gate)(x.data(), ones.data(), n, y.data());
                return y;
            },
            "gate");
    }
    expect_same_in_every_tier(
        [&](const VectorKernels& kernels) {
            Floats y = x;
            kernels.softcap(y.data(), 1.0F, n);
            return y;
        },
        "softcap");
}

TEST(VectorKernels, NothingIsWrittenBehindTheEnd) {
    for (const Kernels* kernels : all_kernels()) {
        const VectorKernels& k = *kernels->vector;
        for (const uint32_t n : kSizes) {
            Floats x = normal_floats(n + 32, 7);
            const Floats before = x;
            const Floats ones(n + 32, 1.0F);
            k.rms_norm(x.data(), ones.data(), 1e-5F, n, x.data());
            k.add(x.data(), ones.data(), n);
            k.scale(x.data(), 2.0F, n);
            k.add_scaled(x.data(), 2.0F, ones.data(), n);
            k.softcap(x.data(), 2.0F, n);
            k.gelu_gate(x.data(), ones.data(), n, x.data());
            k.silu_gate(x.data(), ones.data(), n, x.data());
            k.softmax(x.data(), n);
            k.rotate_half(x.data(), ones.data(), ones.data(), n / 2);
            EXPECT_TRUE(std::equal(x.begin() + n, x.end(), before.begin() + n))
                << kernels->name << " " << n;
        }
    }
}

TEST(VectorKernels, ActivationsAreAccurate) {
    Floats x;
    for (const float value : hostile_floats())
        if (std::abs(value) < 80.0F) x.push_back(value);
    const auto n = static_cast<uint32_t>(x.size());
    const Floats ones(n, 1.0F);
    Floats y(n);
    // Relative, down to outputs of 1e-30: the tails are products with exp and keep its accuracy.
    const VectorKernels& k = vector_kernels_scalar();
    k.silu_gate(x.data(), ones.data(), n, y.data());
    EXPECT_LT(worst_error(
                  y, [&](size_t i) { return x[i] / (1.0 + std::exp(-double{x[i]})); }, 1e-30),
              5e-7);
    k.gelu_gate(x.data(), ones.data(), n, y.data());
    // The exponent of the tail, 2u, has a relative error of 1e-7 that exp multiplies by |2u|.
    const auto gelu = [&](size_t i) {
        const double v = x[i];
        const double u = std::sqrt(2.0 / M_PI) * (v + 0.044715 * v * v * v);
        return v / (1.0 + std::exp(-2.0 * u));
    };
    EXPECT_LT(worst_error(y, gelu, 1e-6), 2e-6);
    y = x;
    k.softcap(y.data(), 1.0F, n);
    EXPECT_LT(worst_error(
                  y, [&](size_t i) { return std::tanh(double{x[i]}); }, 1e-30),
              2e-7);
}

TEST(VectorKernels, NormAndSoftmaxAreAccurate) {
    const VectorKernels& k = vector_kernels_scalar();
    for (const uint32_t n : kSizes) {
        const Floats x = normal_floats(n, n, 5.0F);
        const Floats weight = normal_floats(n, n + 1);
        double squares = 0.0;
        double total = 0.0;
        const double highest = *std::max_element(x.begin(), x.end());
        for (const float v : x) {
            squares += double{v} * v;
            total += std::exp(v - highest);
        }
        Floats y(n);
        k.rms_norm(x.data(), weight.data(), 1e-5F, n, y.data());
        const double factor = 1.0 / std::sqrt(squares / n + 1e-5);
        EXPECT_LT(worst_error(
                      y, [&](size_t i) { return weight[i] * factor * x[i]; }, 1e-20),
                  1e-6);
        y = x;
        k.softmax(y.data(), n);
        EXPECT_LT(worst_error(
                      y, [&](size_t i) { return std::exp(x[i] - highest) / total; }, 1e-20),
                  2e-6);
    }
}

TEST(VectorKernels, RotationTurnsPairsByTheirAngle) {
    const Floats angles = {0.3F, 1.7F, -2.0F};
    Floats cos, sin;
    for (const float angle : angles) {
        cos.push_back(std::cos(angle));
        sin.push_back(std::sin(angle));
    }
    const Floats x = {1, 2, 3, 4, 5, 6};
    for (const Kernels* kernels : all_kernels()) {
        Floats half = x;
        Floats adjacent = x;
        kernels->vector->rotate_half(half.data(), cos.data(), sin.data(), 3);
        kernels->vector->rotate_adjacent(adjacent.data(), cos.data(), sin.data(), 3);
        for (size_t i = 0; i < 3; ++i) {
            EXPECT_NEAR(half[i], x[i] * cos[i] - x[i + 3] * sin[i], 1e-6);
            EXPECT_NEAR(half[i + 3], x[i + 3] * cos[i] + x[i] * sin[i], 1e-6);
            EXPECT_NEAR(adjacent[2 * i], x[2 * i] * cos[i] - x[2 * i + 1] * sin[i], 1e-6);
            EXPECT_NEAR(adjacent[2 * i + 1], x[2 * i + 1] * cos[i] + x[2 * i] * sin[i], 1e-6);
        }
    }
}

struct StoredHead {
    std::vector<std::byte> k, v;
};

StoredHead store(const VectorKernels& kernels, KvType type, const Floats& k, const Floats& v,
                 uint32_t row) {
    const auto dim = static_cast<uint32_t>(k.size());
    StoredHead head{std::vector<std::byte>(k_bytes(type, dim)),
                    std::vector<std::byte>(v_bytes(type, dim))};
    kernels.store_kv({.type = type,
                      .head_dim = dim,
                      .row = row,
                      .k = k.data(),
                      .v = v.data(),
                      .k_page = head.k.data(),
                      .v_page = head.v.data()});
    return head;
}

template <class T>
T element(const std::vector<std::byte>& bytes, size_t index, size_t offset = 0) {
    T value;
    std::memcpy(&value, bytes.data() + offset + index * sizeof(T), sizeof(T));
    return value;
}

TEST(VectorKernels, KvRowsAreRoundedAndPlacedAsDocumented) {
    constexpr uint32_t kRow = 37;
    for (const uint32_t dim : {8U, 16U, 40U, 64U, 128U}) {
        const Floats k = normal_floats(dim, 1);
        const Floats v = normal_floats(dim, 2);
        const uint32_t padded = padded_dim(dim);
        const uint32_t blocks = kv_blocks(dim);
        const StoredHead f32 = store(vector_kernels_scalar(), KvType::f32, k, v, kRow);
        const StoredHead f16 = store(vector_kernels_scalar(), KvType::f16, k, v, kRow);
        const StoredHead q8 = store(vector_kernels_scalar(), KvType::q8, k, v, kRow);
        for (uint32_t d = 0; d < dim; ++d) {
            const size_t k_at = size_t{d} * kPagePositions + kRow;
            const size_t v_at = size_t{kRow} * padded + d;
            EXPECT_EQ(element<float>(f32.k, k_at), k[d]);
            EXPECT_EQ(element<float>(f32.v, v_at), v[d]);
            EXPECT_EQ(element<uint16_t>(f16.k, k_at), f32_to_f16(k[d]));
            EXPECT_EQ(element<uint16_t>(f16.v, v_at), f32_to_f16(v[d]));

            const size_t block = d / kKvBlock;
            const float k_scale =
                element<float>(q8.k, block * kPagePositions + kRow, size_t{dim} * kPagePositions);
            const float v_scale = element<float>(q8.v, size_t{kRow} * blocks + block,
                                                 size_t{padded} * kPagePositions);
            EXPECT_NEAR(element<int8_t>(q8.k, k_at) * k_scale, k[d], 0.501F * k_scale);
            EXPECT_NEAR(element<int8_t>(q8.v, v_at) * v_scale, v[d], 0.501F * v_scale);
            const size_t first = block * kKvBlock;
            const size_t last = std::min<size_t>(first + kKvBlock, dim);
            float highest = 0.0F;
            for (size_t i = first; i < last; ++i)
                highest = std::max(highest, std::abs(k[i]));
            EXPECT_EQ(k_scale, highest / 127.0F);
        }
    }
}

TEST(VectorKernels, KvRowsAreTheSameBytesInEveryTier) {
    for (const uint32_t dim : {8U, 24U, 64U, 80U, 128U}) {
        Floats k = normal_floats(dim, dim);
        Floats v = normal_floats(dim, dim + 1, 1e-6F);  // below the normal range of f16
        k[0] = 70000.0F;                                // above its range
        std::fill_n(v.begin(), 8, 0.0F);
        for (const KvType type : {KvType::f32, KvType::f16, KvType::q8}) {
            const StoredHead expected = store(vector_kernels_scalar(), type, k, v, 5);
            for (const Kernels* kernels : all_kernels()) {
                const StoredHead actual = store(*kernels->vector, type, k, v, 5);
                EXPECT_EQ(actual.k, expected.k) << kernels->name << " " << dim;
                EXPECT_EQ(actual.v, expected.v) << kernels->name << " " << dim;
            }
        }
    }
}

TEST(VectorKernels, KvRowOfZerosHasScaleZero) {
    const Floats zeros(64, 0.0F);
    const StoredHead head = store(vector_kernels_scalar(), KvType::q8, zeros, zeros, 0);
    EXPECT_TRUE(
        std::all_of(head.k.begin(), head.k.end(), [](std::byte b) { return b == std::byte{0}; }));
    EXPECT_TRUE(
        std::all_of(head.v.begin(), head.v.end(), [](std::byte b) { return b == std::byte{0}; }));
}

}  // namespace
}  // namespace core
