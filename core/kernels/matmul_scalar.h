// What the sources of the scalar tier share: 16 rows of a panel as arrays.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/half.h"
#include "core/kernels/tiers.h"

namespace core::scalar {

using Lanes = std::array<float, kPanelRows>;
using IntLanes = std::array<int32_t, kPanelRows>;

template <float (*Convert)(uint16_t)>
Lanes load_half(const std::byte* from) {
    Lanes lanes;
    for (size_t r = 0; r < kPanelRows; ++r) {
        uint16_t bits = 0;
        std::memcpy(&bits, from + 2 * r, sizeof(bits));
        lanes[r] = Convert(bits);
    }
    return lanes;
}

inline Lanes load_float(const std::byte* from) {
    Lanes lanes;
    std::memcpy(lanes.data(), from, sizeof(lanes));
    return lanes;
}

// Calls product(panel, token, sums) for every panel and token, `sums` being where they stand.
template <class Product>
void for_each_output(const PanelProduct& job, Product product) {
    for (uint32_t row = 0; row < job.rows; row += kPanelRows) {
        const std::byte* panel = job.panels + job.panel_bytes * (row / kPanelRows);
        const uint32_t stored = std::min(kPanelRows, job.rows - row);
        for (uint32_t token = job.token_begin; token < job.token_end; ++token) {
            float* y = job.y + token * job.y_stride + row;
            Lanes sums{};
            if (job.col_begin != 0) std::copy_n(y, stored, sums.begin());
            product(panel, token, sums);
            std::copy_n(sums.begin(), stored, y);
        }
    }
}

}  // namespace core::scalar
