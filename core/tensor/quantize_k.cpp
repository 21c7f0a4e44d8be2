#include "core/tensor/quantize_k.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/half.h"

namespace core {
namespace {

using Values = std::span<const float>;

constexpr int kSixBits = 63;    // largest factor or minimum of a sub-block of Q4_K and Q5_K
constexpr uint32_t kFine = 16;  // values of a sub-block of Q6_K

// Steps are tried a few tenths of a level wider and narrower than the range asks for.
constexpr int kTrials = 9;
constexpr float kTrialStep = 0.1F;

float inverse(float value) {
    return value != 0.0F ? 1.0F / value : 0.0F;
}

// To the nearest level, ties to even; NaN and what is out of range go to an end. Without branches
// and calls: this is the innermost loop of converting a model.
float nearest_float(float value, int low, int high) {
    // Between 2^23 and 2^24 floats are the integers.
    constexpr float kIntegers = 12582912.0F;
    // std::max gives its first argument where the second is NaN.
    const float within =
        std::min(std::max(static_cast<float>(low), value), static_cast<float>(high));
    return (within + kIntegers) - kIntegers;
}

int nearest(float value, int low, int high) {
    return static_cast<int>(nearest_float(value, low, high));
}

// value = step * q - minimum, q in [0, most], minimum >= 0
struct Affine {
    float step = 0.0F;
    float minimum = 0.0F;
};

// The values of a sub-block with what does not depend on the step that is tried. Larger values
// weigh more: they move a product more.
struct Weighted {
    Values x;
    std::array<double, kBlock> w{};
    std::array<float, kBlock> levels{};  // of the trial
    double w1 = 0, wx = 0, wxx = 0;

    explicit Weighted(Values values) : x(values) {
        double mean_square = 0;
        for (const float value : x)
            mean_square += double{value} * value;
        const double floor = std::sqrt(mean_square / static_cast<double>(x.size()));
        for (size_t i = 0; i < kBlock; ++i) {
            w[i] = floor + std::fabs(x[i]);
            w1 += w[i];
            wx += w[i] * x[i];
            wxx += w[i] * x[i] * x[i];
        }
    }
};

// The best step and minimum, by least squares, for values rounded with 1 / step = `factor`; false
// when all fall on one level.
bool refine(Weighted& of, float low, float factor, int most, Affine& fit, double& error) {
    for (size_t i = 0; i < kBlock; ++i)
        of.levels[i] = nearest_float((of.x[i] - low) * factor, 0, most);
    double wq = 0, wqq = 0, wqx = 0;
    for (size_t i = 0; i < kBlock; ++i) {
        const double q = of.levels[i];
        const double weighted = of.w[i] * q;
        wq += weighted;
        wqq += weighted * q;
        wqx += weighted * of.x[i];
    }
    const double determinant = of.w1 * wqq - wq * wq;
    if (!(determinant > 0)) return false;
    double step = (of.w1 * wqx - wq * of.wx) / determinant;
    double minimum = -(wqq * of.wx - wq * wqx) / determinant;
    if (minimum < 0) {
        minimum = 0;
        step = wqx / wqq;
    }
    fit = {static_cast<float>(step), static_cast<float>(minimum)};
    // Sum of w (step q - minimum - x)^2.
    error = step * step * wqq + minimum * minimum * of.w1 + of.wxx - 2 * step * minimum * wq -
            2 * step * wqx + 2 * minimum * of.wx;
    return step > 0;
}

Affine fit_affine(Values x, int most) {
    const auto [least, largest] = std::ranges::minmax(x);
    const float low = std::min(least, 0.0F);
    Affine best = {(largest - low) / static_cast<float>(most), -low};
    if (!(largest > low)) return {0.0F, -low};
    Weighted weighted(x);
    double best_error = HUGE_VAL;
    for (int trial = -kTrials; trial <= kTrials; ++trial) {
        const float levels = static_cast<float>(most) + kTrialStep * static_cast<float>(trial);
        Affine fit;
        double error = 0;
        if (!refine(weighted, low, levels / (largest - low), most, fit, error) ||
            error >= best_error)
            continue;
        best = fit;
        best_error = error;
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
    double best = -1;
    float step = 0.0F;
    std::array<float, kFine> levels{};
    for (int trial = -kTrials; trial <= kTrials; ++trial) {
        const float factor =
            -(static_cast<float>(half) + kTrialStep * static_cast<float>(trial)) / extreme;
        for (size_t i = 0; i < kFine; ++i)
            levels[i] = nearest_float(x[i] * factor, -half, half - 1);
        double wqx = 0, wqq = 0;
        for (size_t i = 0; i < kFine; ++i) {
            const double weighted = double{x[i]} * x[i] * levels[i];
            wqx += weighted * x[i];
            wqq += weighted * levels[i];
        }
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
