// The forward pass in plain double loops, one token at a time: the judge of the engine.
//
// Written from the specifications of the model families and sharing no code with core/, so that an
// agreement of the two means something. It can emulate the two places where the engine rounds on
// purpose: int8 activations in front of quantized weights, and the KV cache.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace support {

struct NaiveMatrix {
    uint32_t rows = 0;           // outputs; 0 = the matrix is absent
    uint32_t cols = 0;           // inputs
    std::vector<float> values;   // [rows, cols]
    bool rounds_inputs = false;  // the weights are of a quantized type
};

// down( activation(gate x) * (up x) )
struct NaiveMlp {
    NaiveMatrix gate, up, down;
};

// Vectors that are empty and matrices without rows are steps that the family does not have.
struct NaiveLayer {
    std::vector<float> attention_norm, attention_post_norm, ffn_norm, ffn_post_norm;  // [dim]
    NaiveMatrix q, k, v, o;
    std::vector<float> q_bias, k_bias, v_bias;
    std::vector<float> q_norm, k_norm;  // [head_dim], of each head before the rotation
    NaiveMlp dense;
    NaiveMatrix router;  // [experts, dim]
    std::vector<NaiveMlp> experts;
    NaiveMlp shared;          // an expert that every token uses,
    NaiveMatrix shared_gate;  // [1, dim]: times the sigmoid of this
};

struct NaiveModel {
    uint32_t dim = 0, vocab = 0;
    uint32_t heads = 0, kv_heads = 0, head_dim = 0;
    uint32_t active_experts = 0;
    bool gelu = false;           // tanh form of GELU, otherwise SiLU
    bool adjacent_rope = false;  // rotates (2i, 2i + 1), otherwise (i, i + head_dim / 2)
    bool renormalizes = false;   // divides the chosen experts' probabilities by their sum
    double norm_epsilon = 1e-5;
    double rope_theta = 10000.0;
    double embedding_scale = 1.0;
    double attention_scale = 1.0;  // multiplies q.k
    double attention_cap = 0.0;    // cap * tanh(s / cap); 0 = none, for all three caps
    double router_cap = 0.0;
    uint32_t temperature_length = 0;  // 0 = none
    double ffn_mix = 1.0;             // multiplies dense + experts
    double logit_scale = 1.0;
    double logit_cap = 0.0;
    NaiveMatrix embedding;  // [vocab, dim]
    NaiveMatrix output;     // absent: the embedding
    std::vector<float> final_norm;
    std::vector<NaiveLayer> layers;
};

enum class KvRounding : uint8_t { none, f32, f16, q8 };

struct Rounding {
    bool activations = false;  // int8 inputs of matrices with `rounds_inputs`
    KvRounding kv = KvRounding::none;
};

// How far a step was from the decisions that a rounding error of the engine could turn over.
struct Margins {
    // Smallest distance of the last chosen expert's probability from the first rejected one's.
    double router = std::numeric_limits<double>::infinity();
    // Smallest distance of a value from a rounding tie, in steps of what it is rounded to: int8,
    // and the halves of a cache.
    double rounding = std::numeric_limits<double>::infinity();
    double half = std::numeric_limits<double>::infinity();
};

class NaiveForward {
  public:
    // The model must outlive this.
    NaiveForward(const NaiveModel& model, Rounding rounding);

    // Appends a token and returns its logits [vocab].
    std::vector<double> step(int32_t token);

    uint32_t length() const { return length_; }
    // Forgets the tokens from `length` on.
    void truncate(uint32_t length);
    // Of the last step.
    const Margins& margins() const { return margins_; }

  private:
    using Vector = std::vector<double>;
    // Keys (rotated) and values of one layer, [length][kv_heads * head_dim].
    struct Cache {
        std::vector<Vector> keys, values;
    };

    Vector product(const NaiveMatrix& matrix, const Vector& x);
    Vector normalized(const Vector& x, const std::vector<float>& weight) const;
    Vector projected(const NaiveMatrix& matrix, const std::vector<float>& bias, const Vector& x);
    void normalize_heads(Vector& x, const std::vector<float>& weight) const;
    void rotate(Vector& x) const;
    void round_cached(Vector& x);
    Vector attention(const NaiveLayer& layer, Cache& cache, const Vector& x);
    Vector attend(const Cache& cache, const double* query, uint32_t kv_head) const;
    Vector mlp(const NaiveMlp& weights, const Vector& x);
    Vector experts(const NaiveLayer& layer, const Vector& x);
    Vector ffn(const NaiveLayer& layer, const Vector& x);
    void round_int8(double* x, uint32_t count);
    double rounded_to_half(double value);

    const NaiveModel& model_;
    Rounding rounding_;
    uint32_t length_ = 0;
    std::vector<Cache> caches_;
    Margins margins_;
};

}  // namespace support
