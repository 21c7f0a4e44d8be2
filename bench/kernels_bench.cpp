// Matrix products by type, tier and number of tokens, on all cores.
//
// `decode`: one token against 256 MB of weights, in GB/s of weights; compare with `read`.
// `prefill`: 512 tokens (128 per expert in mixtures) against one matrix, in operations per second
// (a multiply and an add are two); compare with `int8_peak`. Every product is checked against the
// scalar tier before it is timed.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/kernels/kernels.h"
#include "core/ops/matmul.h"
#include "core/ops/probe.h"
#include "core/tensor/quantize.h"

namespace {

using core::DType;

constexpr DType kTypes[] = {DType::q8_0,   DType::q4_0,   DType::q4_1,  DType::q5_0, DType::q5_1,
                            DType::q2_k,   DType::q3_k,   DType::q4_k,  DType::q5_k, DType::q6_k,
                            DType::iq4_nl, DType::iq4_xs, DType::mxfp4, DType::i8c,  DType::bf16,
                            DType::f16,    DType::f32};

core::Pool& pool() {
    static core::Pool shared;
    return shared;
}

// Random weights whose values are all normal and moderate, scales too: products with subnormal
// numbers are a hundred times slower, and no model has them.
core::Matrix random_matrix(DType type, uint32_t rows, uint32_t cols) {
    std::mt19937 random(1);
    const DType storage = type == DType::i8c ? DType::i8 : type;
    const size_t row = core::traits(storage).bytes * (cols / core::traits(storage).block);
    std::vector<std::byte> data(row * rows);
    for (size_t i = 0; i + 4 <= data.size(); i += 4) {
        const auto bits = static_cast<uint32_t>(random());
        const bool wide_exponent = type == DType::f32 || type == DType::bf16;
        const uint32_t word =
            wide_exponent ? (bits & 0x80ff80ffU) | 0x3f003f00U : (bits & 0x37ff37ffU) | 0x20002000U;
        std::memcpy(&data[i], &word, sizeof(word));
    }
    constexpr uint32_t kGroups = 8;
    const std::vector<std::byte> scales(size_t{2} * kGroups * rows, std::byte{0x3c});
    core::MatrixBuilder builder({.type = type,
                                 .rows = rows,
                                 .cols = cols,
                                 .data = data,
                                 .scales = type == DType::i8c ? scales : std::vector<std::byte>{},
                                 .scale_groups = type == DType::i8c ? kGroups : 0});
    pool().run(builder.panels(), [&](size_t panel, unsigned) {
        builder.pack(static_cast<uint32_t>(panel), static_cast<uint32_t>(panel) + 1);
    });
    return builder.finish();
}

struct Product {
    core::Matrix weights;
    core::Activations x;
    std::vector<float> y;

    void run(const core::Kernels& kernels) {
        const core::MatmulJob job{&weights, &x, y.data(), weights.rows()};
        core::matmul(kernels, pool(), {&job, 1});
    }
};

Product make_product(DType type, uint32_t rows, uint32_t cols, uint32_t tokens) {
    Product product{.weights = random_matrix(type, rows, cols),
                    .x = {},
                    .y = std::vector<float>(size_t{rows} * tokens)};
    std::vector<float> x(size_t{tokens} * cols);
    std::mt19937 random(2);
    for (float& value : x) {
        value = static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F;
    }
    product.x.assign(core::select_kernels(), type, x.data(), cols, tokens, cols);
    return product;
}

// A small product of the tier equals the scalar tier's, or there is nothing to time.
void check(const core::Kernels& kernels, DType type) {
    Product small = make_product(type, 50, 256, 9);
    small.run(*core::all_kernels()[0]);
    const std::vector<float> expected = small.y;
    small.run(kernels);
    if (std::memcmp(expected.data(), small.y.data(), expected.size() * sizeof(float)) != 0) {
        std::fprintf(stderr, "%s differs from scalar\n", std::string(kernels.name).c_str());
        std::exit(1);  // NOLINT(concurrency-mt-unsafe): no other thread runs
    }
}

void time_product(benchmark::State& state, const core::Kernels& kernels, DType type, uint32_t rows,
                  uint32_t cols, uint32_t tokens) {
    check(kernels, type);
    Product product = make_product(type, rows, cols, tokens);
    const core::Pool::Awake awake(pool());
    for (auto _ : state) {
        product.run(kernels);
    }
    const auto passes = static_cast<double>(state.iterations());
    const auto bytes = static_cast<double>(product.weights.bytes());
    const double operations = 2.0 * rows * cols * tokens;
    state.counters["bytes/s"] = {passes * bytes, benchmark::Counter::kIsRate};
    state.counters["ops/s"] = {passes * operations, benchmark::Counter::kIsRate};
}

void register_products(const core::Kernels& kernels, DType type) {
    const std::string name =
        "/" + std::string(core::traits(type).name) + "/" + std::string(kernels.name);
    const auto add = [&](const std::string& title, uint32_t rows, uint32_t cols, uint32_t tokens) {
        benchmark::RegisterBenchmark((title + name).c_str(), time_product, kernels, type, rows,
                                     cols, tokens)
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
    };
    // Rows that make 256 MB of 2048 columns.
    const size_t panel = core::packed_panel_bytes(type, 2048, type == DType::i8c ? 8 : 0);
    const auto rows = static_cast<uint32_t>((size_t{256} << 20) / panel * core::kPanelRows);
    add("decode", rows, 2048, 1);
    add("draft4", rows, 2048, 4);
    add("prefill/wide", 11008, 2048, 512);
    add("prefill/deep", 2048, 11008, 512);
    add("prefill/few", 11008, 2048, 128);
}

void time_read(benchmark::State& state) {
    core::ReadProbe probe(core::select_kernels(), pool());
    double total = 0;
    for (auto _ : state) {
        total += probe.measure(0.3);
    }
    state.counters["bytes/s"] = total / static_cast<double>(state.iterations());
}

// The tier is an argument: an index into all_kernels().
void time_int8_peak(benchmark::State& state) {
    const auto tier = static_cast<size_t>(state.range(0));
    if (tier >= core::all_kernels().size()) return state.SkipWithError("not on this CPU");
    const core::Kernels& kernels = *core::all_kernels()[tier];
    double total = 0;
    for (auto _ : state) {
        total += core::measure_int8_peak(kernels, pool(), 0.2);
    }
    state.SetLabel(std::string(kernels.name));
    state.counters["ops/s"] = total / static_cast<double>(state.iterations());
}

BENCHMARK(time_read)->Name("read")->UseRealTime()->Iterations(3);
BENCHMARK(time_int8_peak)->Name("int8_peak")->DenseRange(0, 2)->UseRealTime()->Iterations(3);

}  // namespace

int main(int argc, char** argv) {
    for (const core::Kernels* kernels : core::all_kernels()) {
        for (DType type : kTypes) {
            register_products(*kernels, type);
        }
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    return 0;
}
