// The elementwise inner loops of the network on plain float arrays, compiled for several x86-64
// levels and chosen at load time. Each runs on the calling thread. exp and tanh here are accurate
// to 1e-6 relative, which is far below the noise of training; the tests compare them with the
// standard library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace train::kernels {

// out = x * inverse * gain with inverse[row] = rsqrt(mean(x^2) + epsilon); x and out [rows, dim].
void rms_norm(const float* x, const float* gain, int64_t rows, int64_t dim, float epsilon,
              float* out, float* inverse);

// dx [rows, dim] is written, dgain [dim] is added to.
void rms_norm_gradient(const float* x, const float* gain, const float* inverse, const float* dy,
                       int64_t rows, int64_t dim, float* dx, float* dgain);

// Rotates pairs (i, i + half) of x [tokens, heads, 2 * half]; cosines and sines [time, half], the
// position of a token is its index modulo `time`.
void rotate(const float* x, const float* cosines, const float* sines, int64_t tokens, int64_t time,
            int64_t heads, int64_t half, float* out);

// The rows of a block of scores: row r belongs to the query at position first_position + r / group
// and sees the columns up to that position.
struct ScoreBlock {
    int64_t rows = 0;
    int64_t columns = 0;
    int64_t first_position = 0;
    int64_t group = 1;
};

// scores [rows, columns] become tanh(scale * score / cap) in place; weights [rows, columns] become
// the softmax of cap times that over the visible columns and 0 elsewhere. REQUIRES: cap <= 80.
void capped_softmax(const ScoreBlock& block, float scale, float cap, float* scores, float* weights);

// dweights becomes the gradient of the raw scores; `inner` [rows] is the dot product of output and
// gradient.
void capped_softmax_gradient(const ScoreBlock& block, float scale, const float* tanhs,
                             const float* weights, const float* inner, float* dweights);

// out [rows, width] = gelu_tanh(gate) * up; gate_up [rows, 2 * width] holds gate, then up.
void gated_gelu(const float* gate_up, int64_t rows, int64_t width, float* out);
void gated_gelu_gradient(const float* gate_up, const float* dout, int64_t rows, int64_t width,
                         float* dgate_up);

// Sum over the rows of share * cross entropy under softmax(scale * logits); logits [rows, vocab]
// become the gradient of that sum.
double cross_entropy(float* logits, const int64_t* targets, const float* shares, int64_t rows,
                     int64_t vocab, float scale);

}  // namespace train::kernels
