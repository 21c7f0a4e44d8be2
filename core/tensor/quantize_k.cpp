#include "core/tensor/quantize_k.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/clones.h"
#include "core/base/half.h"

namespace core {
namespace {

using Values = std::span<const float>;

constexpr int kSixBits = 63;    // largest factor or minimum of a sub-block of Q4_K and Q5_K
constexpr uint32_t kFine = 16;  // values of a sub-block of Q6_K

// Steps are tried a few tenths of a level wider and narrower than the range asks for: all at once,
// a lane each. A lane adds up in the order of the values, so that vectors of any width give equal
// bits.
constexpr int kTrials = 9;
constexpr float kTrialStep = 0.1F;
constexpr size_t kSteps = 2 * kTrials + 1;
constexpr size_t kWide = 8;           // lanes whose sums stay in registers
constexpr size_t kLanes = 3 * kWide;  // the last ones are never looked at
static_assert(kLanes >= kSteps);

template <class T>
using Lanes = std::array<T, kLanes>;

float inverse(float value) {
    return value != 0.0F ? 1.0F / value : 0.0F;
}

// To the nearest level, ties to even; NaN and what is out of range go to an end. Without branches
// and calls: this is the innermost loop of converting a model.
float nearest_float(float value, float low, float high) {
    // Between 2^23 and 2^24 floats are the integers.
    constexpr float kIntegers = 12582912.0F;
    // std::max gives its first argument where the second is NaN.
    const float within = std::min(std::max(low, value), high);
    return (within + kIntegers) - kIntegers;
}

int nearest(float value, int low, int high) {
    return static_cast<int>(
        nearest_float(value, static_cast<float>(low), static_cast<float>(high)));
}

// value = step * q - minimum, q in [0, most], minimum >= 0
struct Affine {
    float step = 0.0F;
    float minimum = 0.0F;
};

// The values of a sub-block with what does not depend on the step that is tried. Larger values
// weigh more: they move a product more.
struct Weighted {
    std::array<float, kBlock> above{};  // x - low
    std::array<double, kBlock> x{}, w{};
    double w1 = 0, wx = 0, wxx = 0;

    Weighted(Values values, float low) {
        double mean_square = 0;
        for (const float value : values)
            mean_square += double{value} * value;
        const double floor = std::sqrt(mean_square / static_cast<double>(values.size()));
        double sum_w = 0, sum_wx = 0, sum_wxx = 0;
        for (size_t i = 0; i < kBlock; ++i) {
            const double value = values[i];
            const double weight = floor + std::fabs(value);
            above[i] = values[i] - low;
            x[i] = value;
            w[i] = weight;
            sum_w += weight;
            sum_wx += weight * value;
            sum_wxx += weight * value * value;
        }
        w1 = sum_w;
        wx = sum_wx;
        wxx = sum_wxx;
    }
};

// Over the values of a sub-block, q being their levels for the factor (1 / step) of a lane.
struct Sums {
    Lanes<double> wq, wqq, wqx;
};

MOXIE_CLONES void add_affine(const Weighted& of, const Lanes<float>& factors, float most,
                             Sums& sums) {
    for (size_t first = 0; first < kLanes; first += kWide) {
        std::array<double, kWide> wq{}, wqq{}, wqx{};
        for (size_t i = 0; i < kBlock; ++i) {
            for (size_t lane = 0; lane < kWide; ++lane) {
                const double q = nearest_float(of.above[i] * factors[first + lane], 0.0F, most);
                const double weighted = of.w[i] * q;
                wq[lane] += weighted;
                wqq[lane] += weighted * q;
                wqx[lane] += weighted * of.x[i];
            }
        }
        std::ranges::copy(wq, sums.wq.begin() + first);
        std::ranges::copy(wqq, sums.wqq.begin() + first);
        std::ranges::copy(wqx, sums.wqx.begin() + first);
    }
}

MOXIE_CLONES void add_symmetric(const float* x, const Lanes<float>& factors, float half,
                                Sums& sums) {
    for (size_t first = 0; first < kLanes; first += kWide) {
        std::array<double, kWide> wqq{}, wqx{};
        for (size_t i = 0; i < kFine; ++i) {
            const double exact = x[i];
            for (size_t lane = 0; lane < kWide; ++lane) {
                const double q = nearest_float(x[i] * factors[first + lane], -half, half - 1);
                const double weighted = exact * exact * q;
                wqq[lane] += weighted * q;
                wqx[lane] += weighted * exact;
            }
        }
        std::ranges::copy(wqq, sums.wqq.begin() + first);
        std::ranges::copy(wqx, sums.wqx.begin() + first);
    }
}

// The best step and minimum of each lane by least squares, and what they leave:
// the sum of w (step q - minimum - x)^2.
struct Fits {
    Lanes<double> determinant;  // not positive: all values fall on one level
    Lanes<double> step, minimum, error;
};

MOXIE_CLONES void solve(const Weighted& of, const Sums& sums, Fits& __restrict fits) {
    const double w1 = of.w1;
    const double wx = of.wx;
    const double wxx = of.wxx;
    for (size_t lane = 0; lane < kLanes; ++lane) {
        const double wq = sums.wq[lane];
        const double wqq = sums.wqq[lane];
        const double wqx = sums.wqx[lane];
        const double determinant = w1 * wqq - wq * wq;
        const double free_minimum = -(wqq * wx - wq * wqx) / determinant;
        const double free_step = (w1 * wqx - wq * wx) / determinant;
        const double step_from_zero = wqx / wqq;
        const double minimum = free_minimum < 0 ? 0 : free_minimum;
        const double step = free_minimum < 0 ? step_from_zero : free_step;
        fits.determinant[lane] = determinant;
        fits.minimum[lane] = minimum;
        fits.step[lane] = step;
        fits.error[lane] = step * step * wqq + minimum * minimum * w1 + wxx -
                           2 * step * minimum * wq - 2 * step * wqx + 2 * minimum * wx;
    }
}

// 1 / step of each trial where `most` levels take `range`.
Lanes<float> factors_around(int most, float range) {
    Lanes<float> factors{};
    for (int trial = 0; trial < static_cast<int>(kSteps); ++trial) {
        const auto more = static_cast<float>(trial - kTrials);
        factors[static_cast<size_t>(trial)] =
            (static_cast<float>(most) + kTrialStep * more) / range;
    }
    return factors;
}

Affine fit_affine(Values x, int most) {
    float low = 0.0F;
    float largest = x.front();
    for (const float value : x) {  // without branches, unlike std::ranges::minmax
        low = std::min(low, value);
        largest = std::max(largest, value);
    }
    Affine best = {(largest - low) / static_cast<float>(most), -low};
    if (!(largest > low)) return {0.0F, -low};
    const Weighted weighted(x, low);
    Sums sums{};
    Fits fits{};
    add_affine(weighted, factors_around(most, largest - low), static_cast<float>(most), sums);
    solve(weighted, sums, fits);
    double best_error = HUGE_VAL;
    for (size_t trial = 0; trial < kSteps; ++trial) {
        const double step = fits.step[trial];
        if (!(fits.determinant[trial] > 0) || !(step > 0) || fits.error[trial] >= best_error)
            continue;
        best = {static_cast<float>(step), static_cast<float>(fits.minimum[trial])};
        best_error = fits.error[trial];
    }
    return best;
}

// Q4_K and Q5_K: codes of [0, most].
void encode_affine(Values values, int most, BlockParts& parts) {
    constexpr size_t kSubs = kSuperBlock / kBlock;
    std::array<Affine, kSubs> fits;
    float largest_step = 0.0F;
    float largest_minimum = 0.0F;
    for (size_t s = 0; s < kSubs; ++s) {
        fits[s] = fit_affine(values.subspan(s * kBlock, kBlock), most);
        largest_step = std::max(largest_step, fits[s].step);
        largest_minimum = std::max(largest_minimum, fits[s].minimum);
    }
    parts.scale = f32_to_f16(largest_step / kSixBits);
    parts.minimum = f32_to_f16(largest_minimum / kSixBits);
    // Codes are chosen for what is stored, not for what was wanted.
    const float scale = f16_to_f32(parts.scale);
    const float minimum = f16_to_f32(parts.minimum);
    for (size_t s = 0; s < kSubs; ++s) {
        parts.factors[s] = static_cast<int8_t>(nearest(fits[s].step * inverse(scale), 0, kSixBits));
        parts.minimums[s] =
            static_cast<uint8_t>(nearest(fits[s].minimum * inverse(minimum), 0, kSixBits));
        const float factor = inverse(scale * static_cast<float>(parts.factors[s]));
        const float less = minimum * static_cast<float>(parts.minimums[s]);
        for (size_t i = s * kBlock; i < (s + 1) * kBlock; ++i)
            parts.codes[i] = static_cast<uint8_t>(nearest((values[i] + less) * factor, 0, most));
    }
}

// The step of value = step * q, q in [-half, half - 1], that leaves the least weighted error.
float fit_symmetric(Values x, int half) {
    float extreme = 0.0F;
    for (const float value : x)
        if (std::fabs(value) > std::fabs(extreme)) extreme = value;
    if (extreme == 0.0F) return 0.0F;
    Sums sums{};
    add_symmetric(x.data(), factors_around(half, -extreme), static_cast<float>(half), sums);
    double best = -1;
    float step = 0.0F;
    for (size_t trial = 0; trial < kSteps; ++trial) {
        const double wqx = sums.wqx[trial];
        const double wqq = sums.wqq[trial];
        if (!(wqq > 0) || wqx * wqx / wqq <= best) continue;
        best = wqx * wqx / wqq;
        step = static_cast<float>(wqx / wqq);
    }
    return step;
}

}  // namespace

void encode_q4_k(Values values, BlockParts& parts) {
    encode_affine(values, 15, parts);
}

void encode_q5_k(Values values, BlockParts& parts) {
    encode_affine(values, 31, parts);
}

void encode_q6_k(Values values, BlockParts& parts) {
    constexpr int kHalf = 32;
    constexpr int kLeast = -128;  // of a factor
    constexpr size_t kSubs = kSuperBlock / kFine;
    std::array<float, kSubs> steps{};
    float extreme = 0.0F;
    for (size_t s = 0; s < kSubs; ++s) {
        steps[s] = fit_symmetric(values.subspan(s * kFine, kFine), kHalf);
        if (std::fabs(steps[s]) > std::fabs(extreme)) extreme = steps[s];
    }
    parts.scale = f32_to_f16(extreme / kLeast);
    const float scale = f16_to_f32(parts.scale);
    for (size_t s = 0; s < kSubs; ++s) {
        parts.factors[s] =
            static_cast<int8_t>(nearest(steps[s] * inverse(scale), kLeast, -kLeast - 1));
        const float factor = inverse(scale * static_cast<float>(parts.factors[s]));
        for (size_t i = s * kFine; i < (s + 1) * kFine; ++i)
            parts.codes[i] =
                static_cast<uint8_t>(nearest(values[i] * factor, -kHalf, kHalf - 1) + kHalf);
    }
}

}  // namespace core
