// A packed F32 panel is a matrix [cols, 16] as it lies, so that OpenBLAS multiplies it in place:
// Y [tokens, 16] = X [tokens, cols] P [cols, 16].

#include "core/ops/gemm_f32.h"

#include "core/base/error.h"

#if defined(MOXIE_OPENBLAS)

#include <cblas.h>

#include <algorithm>

namespace core {
namespace {

// The serial flavour has no threads of its own; this is for builds that link another flavour.
void use_one_thread() {
    static const bool once = [] {
        openblas_set_num_threads(1);
        return true;
    }();
    (void)once;
}

void matmul_panels(const PanelProduct& job) {
    use_one_thread();
    const auto tokens = static_cast<blasint>(job.token_end - job.token_begin);
    const auto cols = static_cast<blasint>(job.col_end - job.col_begin);
    if (tokens == 0) return;
    for (uint32_t row = 0; row < job.rows; row += kPanelRows) {
        const std::byte* panel = job.panels + job.panel_bytes * (row / kPanelRows) +
                                 job.col_begin * kPanelRows * sizeof(float);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, tokens,
                    static_cast<blasint>(std::min(kPanelRows, job.rows - row)), cols, 1.0F,
                    job.x.floats + size_t{job.token_begin} * job.x.cols + job.col_begin,
                    static_cast<blasint>(job.x.cols), reinterpret_cast<const float*>(panel),
                    static_cast<blasint>(kPanelRows), job.col_begin == 0 ? 0.0F : 1.0F,
                    job.y + job.token_begin * job.y_stride + row,
                    static_cast<blasint>(job.y_stride));
    }
}

}  // namespace

bool openblas_available() {
    return true;
}

void dense_product(const DenseProduct& product) {
    use_one_thread();
    const auto rows = static_cast<blasint>(product.rows);
    const auto cols = static_cast<blasint>(product.cols);
    const auto tokens = static_cast<blasint>(product.tokens);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, rows, cols, 1.0F, product.x, cols,
                product.weights, cols, 0.0F, product.y, rows);
}

Kernels with_openblas(const Kernels& kernels) {
    Kernels changed = kernels;
    changed.matmul_f32 = matmul_panels;
    return changed;
}

}  // namespace core

#else

namespace core {

bool openblas_available() {
    return false;
}

void dense_product(const DenseProduct&) {
    MOXIE_CHECK(openblas_available());
}

Kernels with_openblas(const Kernels& kernels) {
    MOXIE_CHECK(openblas_available());
    return kernels;
}

}  // namespace core

#endif
