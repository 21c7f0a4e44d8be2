// The matmul op: jobs cut into tasks, any number of workers, equal bits; OpenBLAS as the oracle.

#include "core/ops/matmul.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "core/ops/gemm_f32.h"

namespace core {
namespace {

std::vector<float> random_floats(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<float> values(count);
    for (float& value : values) {
        value = static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F;
    }
    return values;
}

// Q8_0 storage blocks: f16 scale 2^-7, random values.
std::vector<std::byte> random_q8(uint32_t rows, uint32_t cols, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> data(size_t{rows} * cols / 32 * 34);
    for (std::byte& byte : data) {
        byte = static_cast<std::byte>(random());
    }
    for (size_t block = 0; block < data.size(); block += 34) {
        data[block] = std::byte{0};
        data[block + 1] = std::byte{0x20};
    }
    return data;
}

Matrix q8_matrix(uint32_t rows, uint32_t cols, uint32_t seed) {
    const auto data = random_q8(rows, cols, seed);
    return pack({.type = DType::q8_0, .rows = rows, .cols = cols, .data = data});
}

Matrix f32_matrix(uint32_t rows, uint32_t cols, const std::vector<float>& values) {
    return pack(
        {.type = DType::f32, .rows = rows, .cols = cols, .data = std::as_bytes(std::span(values))});
}

// The products of all jobs by the plain kernel, one panel and one token at a time.
std::vector<float> expected_product(const Kernels& kernels, const Matrix& w, const Activations& x) {
    std::vector<float> y(size_t{x.tokens()} * w.rows());
    for (uint32_t panel = 0; panel < w.panels(); ++panel) {
        const uint32_t row = panel * kPanelRows;
        for (uint32_t token = 0; token < x.tokens(); ++token) {
            matmul_kernel(kernels, w.type())({.panels = w.panel(panel),
                                              .panel_bytes = w.panel_bytes(),
                                              .rows = std::min(kPanelRows, w.rows() - row),
                                              .scale_groups = w.scale_groups(),
                                              .x = x.view(),
                                              .token_begin = token,
                                              .token_end = token + 1,
                                              .col_end = w.cols(),
                                              .y = y.data() + row,
                                              .y_stride = w.rows()});
        }
    }
    return y;
}

TEST(Matmul, JobsOfAllShapesInOneRegionGiveTheBitsOfTheKernel) {
    const Kernels& kernels = select_kernels();
    struct Shape {
        uint32_t rows, cols, tokens;
    };
    // A router (one panel, many tokens), one row, a large one in many tasks, no tokens at all.
    const std::vector<Shape> shapes = {
        {8, 256, 200}, {1, 32, 1}, {1200, 512, 50}, {40, 64, 0}, {2000, 2048, 1}};
    std::vector<Matrix> matrices;
    std::vector<Activations> inputs(shapes.size());
    std::vector<std::vector<float>> expected;
    for (size_t i = 0; i < shapes.size(); ++i) {
        const auto [rows, cols, tokens] = shapes[i];
        matrices.push_back(q8_matrix(rows, cols, static_cast<uint32_t>(i)));
        const auto x = random_floats(size_t{tokens} * cols, static_cast<uint32_t>(i + 50));
        inputs[i].assign(kernels, DType::q8_0, x.data(), cols, tokens, cols);
        expected.push_back(expected_product(kernels, matrices[i], inputs[i]));
    }
    for (unsigned threads : {1U, 2U, 3U}) {
        Pool pool(threads);
        std::vector<std::vector<float>> y;
        std::vector<MatmulJob> jobs;
        for (size_t i = 0; i < shapes.size(); ++i) {
            y.emplace_back(expected[i].size(), -1.0F);
            jobs.push_back({&matrices[i], &inputs[i], y[i].data(), shapes[i].rows});
        }
        matmul(kernels, pool, jobs);
        for (size_t i = 0; i < shapes.size(); ++i) {
            EXPECT_EQ(y[i], expected[i]) << "job " << i << ", " << threads << " threads";
        }
    }
}

TEST(Matmul, AgreesWithOpenBlas) {
    if (!openblas_available()) GTEST_SKIP() << "built without OpenBLAS";
    constexpr uint32_t kRows = 150;
    constexpr uint32_t kCols = 333;
    constexpr uint32_t kTokens = 37;
    const auto weights = random_floats(size_t{kRows} * kCols, 1);
    const auto x = random_floats(size_t{kTokens} * kCols, 2);
    const Kernels& kernels = select_kernels();
    const Kernels blas = with_openblas(kernels);
    const Matrix packed = f32_matrix(kRows, kCols, weights);
    Activations input;
    input.assign(kernels, DType::f32, x.data(), kCols, kTokens, kCols);
    Pool pool(2);
    std::vector<float> ours(size_t{kTokens} * kRows);
    std::vector<float> panels(ours.size());
    std::vector<float> dense(ours.size());
    const MatmulJob job{&packed, &input, ours.data(), kRows};
    matmul(kernels, pool, {&job, 1});
    const MatmulJob blas_job{&packed, &input, panels.data(), kRows};
    matmul(blas, pool, {&blas_job, 1});
    dense_product({weights.data(), x.data(), dense.data(), kRows, kCols, kTokens});
    for (size_t i = 0; i < ours.size(); ++i) {
        // Sums of 333 terms below 1 in magnitude, in different orders.
        EXPECT_NEAR(ours[i], dense[i], 333 * 333 * 0x1p-24 / 8) << i;
        EXPECT_NEAR(panels[i], dense[i], 333 * 333 * 0x1p-24 / 8) << i;
    }
}

TEST(Matmul, ACancelledRegionRunsNoMoreTasks) {
    const Kernels& kernels = select_kernels();
    const Matrix w = q8_matrix(64, 64, 3);
    const auto x = random_floats(64, 4);
    Activations input;
    input.assign(kernels, DType::q8_0, x.data(), 64, 1, 64);
    Pool pool(2);
    std::vector<float> y(64, -1.0F);
    const CancelFlag cancel{true};
    const MatmulJob job{&w, &input, y.data(), 64};
    matmul(kernels, pool, {&job, 1}, &cancel);
    EXPECT_EQ(y, std::vector<float>(64, -1.0F));
}

TEST(Activations, GatherRowsInTheOrderAsked) {
    const Kernels& kernels = select_kernels();
    const auto x = random_floats(5 * 70, 9);  // rows of 64, 70 apart
    const std::vector<uint32_t> rows = {4, 0, 4};
    for (DType type : {DType::f32, DType::q8_0}) {
        Activations gathered;
        gathered.assign(kernels, type, x.data(), 70, 3, 64, rows);
        for (uint32_t t = 0; t < 3; ++t) {
            Activations single;
            single.assign(kernels, type, x.data() + 70 * rows[t], 70, 1, 64);
            const ActivationView a = gathered.view();
            const ActivationView b = single.view();
            if (type == DType::f32) {
                EXPECT_EQ(std::memcmp(a.floats + t * 64, b.floats, 64 * sizeof(float)), 0);
                continue;
            }
            EXPECT_EQ(std::memcmp(a.values + t * 64, b.values, 64), 0);
            EXPECT_EQ(std::memcmp(a.scales + t * 2, b.scales, 2 * sizeof(float)), 0);
            EXPECT_EQ(std::memcmp(a.sums + t * 2, b.sums, 2 * sizeof(int32_t)), 0);
        }
    }
}

TEST(Activations, ShrinkAndGrowWithoutMixingRows) {
    const Kernels& kernels = select_kernels();
    const auto x = random_floats(40 * 96, 10);
    Activations reused;
    for (uint32_t tokens : {3U, 40U, 1U, 7U}) {
        reused.assign(kernels, DType::q4_0, x.data(), 96, tokens, 96);
        Activations fresh;
        fresh.assign(kernels, DType::q4_0, x.data(), 96, tokens, 96);
        EXPECT_EQ(std::memcmp(reused.view().values, fresh.view().values, size_t{tokens} * 96), 0);
        EXPECT_EQ(std::memcmp(reused.view().sums, fresh.view().sums, size_t{tokens} * 12), 0);
    }
}

}  // namespace
}  // namespace core
