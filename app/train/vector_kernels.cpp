#include "app/train/vector_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/base/clones.h"

namespace train::kernels {
namespace {

#define MOXIE_INLINE __attribute__((always_inline)) inline

// Range reduction by log 2 and a polynomial of degree 6 (Cephes expf). Branch-free, so that loops
// vectorise.
MOXIE_INLINE float fast_exp(float x) {
    x = x < -87.0F ? -87.0F : x;
    x = x > 88.0F ? 88.0F : x;
    constexpr float kRound = 12582912.0F;  // adding it rounds to an integer
    const float n = (x * 1.44269504F + kRound) - kRound;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// The rational approximation of Eigen (generic_fast_tanh_float).
MOXIE_INLINE float fast_tanh(float x) {
    x = x < -7.90531110763549805F ? -7.90531110763549805F : x;
    x = x > 7.90531110763549805F ? 7.90531110763549805F : x;
    const float s = x * x;
    float p = -2.76076847742355e-16F;
    p = p * s + 2.00018790482477e-13F;
    p = p * s - 8.60467152213735e-11F;
    p = p * s + 5.12229709037114e-08F;
    p = p * s + 1.48572235717979e-05F;
    p = p * s + 6.37261928875436e-04F;
    p = p * s + 4.89352455891786e-03F;
    float q = 1.19825839466702e-06F;
    q = q * s + 1.18534705686654e-04F;
    q = q * s + 2.26843463243900e-03F;
    q = q * s + 4.89352518554385e-03F;
    return x * p / q;
}

constexpr float kGeluSlope = 0.7978845608F;  // sqrt(2 / pi)
constexpr float kGeluCubic = 0.044715F;

}  // namespace

MOXIE_CLONES
void rms_norm(const float* x, const float* gain, int64_t rows, int64_t dim, float epsilon,
              float* out, float* inverse) {
    for (int64_t row = 0; row < rows; ++row) {
        const float* a = x + row * dim;
        float* o = out + row * dim;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < dim; ++i)
            sum += a[i] * a[i];
        const float factor = 1.0F / std::sqrt(sum / static_cast<float>(dim) + epsilon);
        inverse[row] = factor;
#pragma omp simd
        for (int64_t i = 0; i < dim; ++i)
            o[i] = a[i] * factor * gain[i];
    }
}

// With y = x r g: dx = r (g dy - x r^2 mean(g dy x)), dg = sum over the rows of dy x r.
MOXIE_CLONES
void rms_norm_gradient(const float* x, const float* gain, const float* inverse, const float* dy,
                       int64_t rows, int64_t dim, float* dx, float* dgain) {
    for (int64_t row = 0; row < rows; ++row) {
        const float *a = x + row * dim, *d = dy + row * dim;
        float* o = dx + row * dim;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < dim; ++i)
            sum += gain[i] * d[i] * a[i];
        const float r = inverse[row];
        const float shrink = r * r * sum / static_cast<float>(dim);
#pragma omp simd
        for (int64_t i = 0; i < dim; ++i) {
            o[i] = r * (gain[i] * d[i] - a[i] * shrink);
            dgain[i] += d[i] * a[i] * r;
        }
    }
}

MOXIE_CLONES
void rotate(const float* x, const float* cosines, const float* sines, int64_t tokens, int64_t time,
            int64_t heads, int64_t half, float* out) {
    for (int64_t token = 0; token < tokens; ++token) {
        const float *c = cosines + token % time * half, *s = sines + token % time * half;
        for (int64_t head = 0; head < heads; ++head) {
            const float* a = x + (token * heads + head) * 2 * half;
            float* o = out + (token * heads + head) * 2 * half;
#pragma omp simd
            for (int64_t i = 0; i < half; ++i) {
                o[i] = a[i] * c[i] - a[i + half] * s[i];
                o[i + half] = a[i + half] * c[i] + a[i] * s[i];
            }
        }
    }
}

// The cap bounds the exponent, so no maximum has to be subtracted.
MOXIE_CLONES
void capped_softmax(const ScoreBlock& block, float scale, float cap, float* scores,
                    float* weights) {
    const float slope = scale / cap;
    for (int64_t row = 0; row < block.rows; ++row) {
        const int64_t visible =
            std::min(block.columns, block.first_position + row / block.group + 1);
        float *a = scores + row * block.columns, *w = weights + row * block.columns;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < visible; ++i) {
            a[i] = fast_tanh(slope * a[i]);
            w[i] = fast_exp(cap * a[i]);
            sum += w[i];
        }
        const float share = 1.0F / sum;
#pragma omp simd
        for (int64_t i = 0; i < visible; ++i)
            w[i] *= share;
        std::fill(w + visible, w + block.columns, 0.0F);
    }
}

MOXIE_CLONES
void capped_softmax_gradient(const ScoreBlock& block, float scale, const float* tanhs,
                             const float* weights, const float* inner, float* dweights) {
    for (int64_t row = 0; row < block.rows; ++row) {
        const int64_t visible =
            std::min(block.columns, block.first_position + row / block.group + 1);
        const float *t = tanhs + row * block.columns, *w = weights + row * block.columns;
        float* d = dweights + row * block.columns;
        const float mean = inner[row];
#pragma omp simd
        for (int64_t i = 0; i < visible; ++i)
            d[i] = w[i] * (d[i] - mean) * (1.0F - t[i] * t[i]) * scale;
        std::fill(d + visible, d + block.columns, 0.0F);
    }
}

MOXIE_CLONES
void gated_gelu(const float* gate_up, int64_t rows, int64_t width, float* out) {
    for (int64_t row = 0; row < rows; ++row) {
        const float *g = gate_up + row * 2 * width, *u = g + width;
        float* o = out + row * width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
            const float t = fast_tanh(kGeluSlope * (g[i] + kGeluCubic * g[i] * g[i] * g[i]));
            o[i] = 0.5F * g[i] * (1.0F + t) * u[i];
        }
    }
}

MOXIE_CLONES
void gated_gelu_gradient(const float* gate_up, const float* dout, int64_t rows, int64_t width,
                         float* dgate_up) {
    for (int64_t row = 0; row < rows; ++row) {
        const float *g = gate_up + row * 2 * width, *u = g + width, *d = dout + row * width;
        float *dg = dgate_up + row * 2 * width, *du = dg + width;
#pragma omp simd
        for (int64_t i = 0; i < width; ++i) {
            const float square = g[i] * g[i];
            const float t = fast_tanh(kGeluSlope * (g[i] + kGeluCubic * g[i] * square));
            const float slope = kGeluSlope * (1.0F + 3.0F * kGeluCubic * square);
            du[i] = d[i] * 0.5F * g[i] * (1.0F + t);
            dg[i] = d[i] * u[i] * 0.5F * (1.0F + t + g[i] * (1.0F - t * t) * slope);
        }
    }
}

MOXIE_CLONES
double cross_entropy(float* logits, const int64_t* targets, const float* shares, int64_t rows,
                     int64_t vocab, float scale) {
    double loss = 0;
    for (int64_t row = 0; row < rows; ++row) {
        float* a = logits + row * vocab;
        float largest = a[0];
#pragma omp simd reduction(max : largest)
        for (int64_t i = 0; i < vocab; ++i)
            largest = a[i] > largest ? a[i] : largest;
        const float target = scale * (a[targets[row]] - largest);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < vocab; ++i) {
            a[i] = fast_exp(scale * (a[i] - largest));
            sum += a[i];
        }
        loss += static_cast<double>(shares[row]) * (std::log(sum) - target);
        const float factor = shares[row] * scale / sum;
#pragma omp simd
        for (int64_t i = 0; i < vocab; ++i)
            a[i] *= factor;
        a[targets[row]] -= shares[row] * scale;
    }
    return loss;
}

}  // namespace train::kernels
