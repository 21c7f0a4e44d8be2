// Dense float products by OpenBLAS: the oracle of tests, and an optional prefill of float weights.
//
// Results depend on the number of tokens in a call (blocking and summation order are the
// library's), so they break the promise of equal bits: off unless the user asks for it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/kernels/kernels.h"

namespace core {

// y[t, r] = sum over k of w[r, k] x[t, k], everything row-major.
struct DenseProduct {
    const float* weights = nullptr;  // [rows, cols]
    const float* x = nullptr;        // [tokens, cols]
    float* y = nullptr;              // [tokens, rows]
    uint32_t rows = 0;
    uint32_t cols = 0;
    uint32_t tokens = 0;
};

// False when moxie was built without OpenBLAS; then neither function below may be called.
bool openblas_available();

void dense_product(const DenseProduct& product);

// The tier with products of F32 weights left to OpenBLAS.
Kernels with_openblas(const Kernels& kernels);

}  // namespace core
