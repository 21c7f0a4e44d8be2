// How products are cut into tasks, and how a task walks its panels, tokens and columns.
//
// A task is a range of panels and all tokens of its job, or a part of the tokens when there are too
// few panels to go round. With many tokens it goes through the columns in slices, so that a slice
// of the activations stays in the L2 cache while the panels of the task pass by; sums wait in y
// meanwhile, which changes no bit. With few tokens memory is the limit, and a panel is read once
// from end to end.

#include "core/ops/matmul.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace core {
namespace {

constexpr size_t kCacheLine = 64;

// Weights per task: less than 64 KB loses bandwidth when two threads interleave their pieces
// (docs/performance.md), more than 256 KB cannot be balanced.
constexpr size_t kLeastTaskBytes = size_t{64} << 10;
constexpr size_t kMostTaskBytes = size_t{256} << 10;

// Tasks that a worker should find in a region, so that the last ones even out.
constexpr size_t kTasksPerWorker = 8;

// From this many tokens on a product is limited by arithmetic, and slices pay.
constexpr uint32_t kManyTokens = 12;

// 132 tokens of a slice are 270 KB of int8 and two Q8_0 panels of it 70 KB: half of a 1 MB L2.
// Slices of 512 columns, whose panels would stay in the L1, lost 8 % to more passes over the sums.
constexpr uint32_t kSliceCols = 2048;
constexpr uint32_t kBlockTokens = 132;
constexpr uint32_t kTileTokens = 6;  // of the kernels that matter most

size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

size_t divide_up(size_t value, size_t by) {
    return (value + by - 1) / by;
}

// One job's grid of tasks.
struct Grid {
    const MatmulJob* job;
    size_t first_task;
    size_t panels_per_task;
    size_t panel_parts;
    uint32_t tokens_per_task;
};

// Columns of a slice: groups of I8C cannot be cut.
uint32_t slice_cols(const Matrix& weights, uint32_t tokens) {
    if (tokens < kManyTokens) return weights.cols();
    const uint32_t unit = weights.scale_groups() > 0 ? weights.cols() / weights.scale_groups() : 1;
    return static_cast<uint32_t>(round_up(kSliceCols, unit));
}

// Tokens of a block: equal ones, because a small rest would cost a whole pass over the weights.
uint32_t even_block(uint32_t tokens) {
    const size_t blocks = divide_up(tokens, kBlockTokens);
    return static_cast<uint32_t>(round_up(divide_up(tokens, blocks), kTileTokens));
}

// Cuts a job, given how many bytes of weights a task should have.
Grid cut(const MatmulJob& job, size_t task_bytes, size_t workers) {
    const Matrix& weights = *job.weights;
    const uint32_t tokens = job.x->tokens();
    // Kernels take two panels at a time when there are many tokens.
    const size_t unit = tokens < kManyTokens ? 1 : 2;
    const size_t panels = std::max(task_bytes / weights.panel_bytes() / unit, size_t{1}) * unit;
    Grid grid{.job = &job,
              .first_task = 0,
              .panels_per_task = panels,
              .panel_parts = 0,
              .tokens_per_task = std::max(tokens, 1U)};
    grid.panel_parts = divide_up(weights.panels(), grid.panels_per_task);
    // Many tokens against few panels, as a router has: cut the tokens too.
    if (grid.panel_parts < kTasksPerWorker * workers && tokens > kTileTokens * 4) {
        const size_t parts = divide_up(kTasksPerWorker * workers, grid.panel_parts);
        grid.tokens_per_task =
            static_cast<uint32_t>(round_up(divide_up(tokens, parts), kTileTokens * 4));
    }
    return grid;
}

size_t tasks_of(const Grid& grid) {
    if (grid.job->weights->empty()) return 0;
    return grid.panel_parts * divide_up(grid.job->x->tokens(), grid.tokens_per_task);
}

// Runs one task of a grid: a range of panels times a range of tokens.
void run_task(const Kernels& kernels, const Grid& grid, size_t task) {
    const Matrix& weights = *grid.job->weights;
    const Activations& x = *grid.job->x;
    const auto kernel = matmul_kernel(kernels, weights.type());
    const auto first_panel = static_cast<uint32_t>(task % grid.panel_parts * grid.panels_per_task);
    const uint32_t first_row = first_panel * kPanelRows;
    const auto most_rows = static_cast<uint32_t>(grid.panels_per_task * kPanelRows);
    const auto first_token = static_cast<uint32_t>(task / grid.panel_parts * grid.tokens_per_task);
    const uint32_t end_token = std::min(x.tokens(), first_token + grid.tokens_per_task);
    PanelProduct product{.panels = weights.panel(first_panel),
                         .panel_bytes = weights.panel_bytes(),
                         .rows = std::min(most_rows, weights.rows() - first_row),
                         .scale_groups = weights.scale_groups(),
                         .x = x.view(),
                         .y = grid.job->y + first_row,
                         .y_stride = grid.job->y_stride};
    const uint32_t slice = slice_cols(weights, end_token - first_token);
    const uint32_t block = even_block(end_token - first_token);
    for (uint32_t token = first_token; token < end_token; token = product.token_end) {
        product.token_begin = token;
        product.token_end = std::min(end_token, token + block);
        for (uint32_t col = 0; col < weights.cols(); col = product.col_end) {
            product.col_begin = col;
            product.col_end = std::min(weights.cols(), col + slice);
            kernel(product);
        }
    }
}

int32_t sum_of_half(const int8_t* values) {
    int32_t sum = 0;
    for (size_t i = 0; i < 16; ++i)
        sum += values[i];
    return sum;
}

}  // namespace

void Activations::resize(DType weight_type, uint32_t tokens, uint32_t cols) {
    tokens_ = tokens;
    cols_ = cols;
    quantized_ =
        weight_type != DType::f32 && weight_type != DType::f16 && weight_type != DType::bf16;
    MOXIE_CHECK(!quantized_ || cols % kBlock == 0);
    const size_t elements = size_t{tokens} * cols;
    const size_t blocks = elements / kBlock;
    scales_at_ = quantized_ ? round_up(elements, kCacheLine) : 0;
    sums_at_ = scales_at_ + round_up(blocks * sizeof(float), kCacheLine);
    half_sums_at_ = sums_at_ + round_up(blocks * sizeof(int32_t), kCacheLine);
    const size_t bytes =
        quantized_ ? half_sums_at_ + blocks * sizeof(int32_t) : elements * sizeof(float);
    if (bytes <= capacity_) return;
    storage_ = allocate_weights(bytes);  // huge pages serve activations as well
    capacity_ = bytes;
}

void Activations::assign_row(const Kernels& kernels, uint32_t token, const float* x) {
    std::byte* const base = storage_.get();
    const size_t first = size_t{token} * cols_;
    if (!quantized_) {
        std::memcpy(base + first * sizeof(float), x, cols_ * sizeof(float));
        return;
    }
    auto* const values = reinterpret_cast<int8_t*>(base) + first;
    kernels.quantize(x, cols_, values, reinterpret_cast<float*>(base + scales_at_) + first / kBlock,
                     reinterpret_cast<int32_t*>(base + sums_at_) + first / kBlock);
    auto* const half_sums = reinterpret_cast<int32_t*>(base + half_sums_at_) + first / kBlock;
    for (uint32_t block = 0; block < cols_ / kBlock; ++block)
        half_sums[block] = sum_of_half(values + size_t{block} * kBlock);
}

void Activations::assign(const Kernels& kernels, DType weight_type, const float* x, size_t stride,
                         uint32_t tokens, uint32_t cols, std::span<const uint32_t> rows) {
    resize(weight_type, tokens, cols);
    for (uint32_t t = 0; t < tokens; ++t) {
        assign_row(kernels, t, x + (rows.empty() ? t : rows[t]) * stride);
    }
}

ActivationView Activations::view() const {
    const std::byte* const base = storage_.get();
    if (!quantized_) {
        return {.floats = reinterpret_cast<const float*>(base), .tokens = tokens_, .cols = cols_};
    }
    return {.values = reinterpret_cast<const int8_t*>(base),
            .scales = reinterpret_cast<const float*>(base + scales_at_),
            .sums = reinterpret_cast<const int32_t*>(base + sums_at_),
            .tokens = tokens_,
            .cols = cols_,
            .half_sums = reinterpret_cast<const int32_t*>(base + half_sums_at_)};
}

void matmul(const Kernels& kernels, Pool& pool, std::span<const MatmulJob> jobs,
            const CancelFlag* cancel) {
    size_t bytes = 0;
    for (const MatmulJob& job : jobs) {
        MOXIE_CHECK(job.x->cols() == job.weights->cols());
        bytes += job.weights->bytes();
    }
    const size_t task_bytes =
        std::clamp(bytes / (kTasksPerWorker * pool.size()), kLeastTaskBytes, kMostTaskBytes);
    std::vector<Grid> grids;
    grids.reserve(jobs.size());
    size_t tasks = 0;
    for (const MatmulJob& job : jobs) {
        grids.push_back(cut(job, task_bytes, pool.size()));
        grids.back().first_task = tasks;
        tasks += tasks_of(grids.back());
    }
    pool.run(tasks, [&](size_t task, unsigned) {
        // Relaxed: the flag guards no data, and seeing it one task later is soon enough.
        if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return;
        const auto after =
            std::upper_bound(grids.begin(), grids.end(), task,
                             [](size_t wanted, const Grid& g) { return wanted < g.first_task; });
        const Grid& grid = *std::prev(after);
        run_task(kernels, grid, task - grid.first_task);
    });
}

}  // namespace core
