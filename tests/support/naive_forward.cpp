#include "tests/support/naive_forward.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/support/storage.h"

namespace support {
namespace {

constexpr uint32_t kRoundingBlock = 32;

double capped(double x, double cap) {
    return cap == 0.0 ? x : cap * std::tanh(x / cap);
}

double gelu_tanh(double x) {
    const double inner = std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + std::tanh(inner));
}

double silu(double x) {
    return x / (1.0 + std::exp(-x));
}

void softmax(std::vector<double>& x) {
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0.0;
    for (double& value : x)
        sum += value = std::exp(value - largest);
    for (double& value : x)
        value /= sum;
}

double distance_from_tie(double steps) {
    return std::fabs(std::fabs(steps - std::trunc(steps)) - 0.5);
}

void add(std::vector<double>& x, const std::vector<double>& y, double factor = 1.0) {
    for (size_t i = 0; i < x.size(); ++i)
        x[i] += factor * y[i];
}

}  // namespace

NaiveForward::NaiveForward(const NaiveModel& model, Rounding rounding)
    : model_(model), rounding_(rounding), caches_(model.layers.size()) {}

void NaiveForward::truncate(uint32_t length) {
    for (Cache& cache : caches_) {
        cache.keys.resize(length);
        cache.values.resize(length);
    }
    length_ = length;
}

std::vector<double> NaiveForward::step(int32_t token) {
    margins_ = {};
    const float* row = &model_.embedding.values[static_cast<size_t>(token) * model_.dim];
    Vector h(row, row + model_.dim);
    for (double& value : h)
        value *= model_.embedding_scale;
    for (size_t l = 0; l < model_.layers.size(); ++l) {
        const NaiveLayer& layer = model_.layers[l];
        Vector a = attention(layer, caches_[l], normalized(h, layer.attention_norm));
        if (!layer.attention_post_norm.empty()) a = normalized(a, layer.attention_post_norm);
        add(h, a);
        Vector f = ffn(layer, normalized(h, layer.ffn_norm));
        if (!layer.ffn_post_norm.empty()) f = normalized(f, layer.ffn_post_norm);
        add(h, f);
    }
    const NaiveMatrix& output = model_.output.rows != 0 ? model_.output : model_.embedding;
    Vector logits = product(output, normalized(h, model_.final_norm));
    for (double& logit : logits)
        logit = capped(logit * model_.logit_scale, model_.logit_cap);
    ++length_;
    return logits;
}

double NaiveForward::rounded_to_half(double value) {
    constexpr int kFractionBits = 10;
    constexpr int kSmallestExponent = -14;
    const int exponent = value == 0.0 ? kSmallestExponent : std::ilogb(value);
    const double steps = std::ldexp(value, kFractionBits - std::max(exponent, kSmallestExponent));
    margins_.half = std::min(margins_.half, distance_from_tie(steps));
    return float_from_half(half_from_float(static_cast<float>(value)));
}

// Values become the floats that the engine has before they become integers: d = max / 127 and
// x * (1 / d) are float arithmetic, rounded to nearest even.
void NaiveForward::round_int8(double* x, uint32_t count) {
    float largest = 0.0F;
    for (uint32_t i = 0; i < count; ++i)
        largest = std::max(largest, std::fabs(static_cast<float>(x[i])));
    const float d = largest / 127.0F;
    if (d == 0.0F) return std::fill(x, x + count, 0.0);
    const float inverse = 1.0F / d;
    for (uint32_t i = 0; i < count; ++i) {
        const float scaled = static_cast<float>(x[i]) * inverse;
        margins_.rounding = std::min(margins_.rounding, distance_from_tie(scaled));
        x[i] = static_cast<double>(d) * std::nearbyint(scaled);
    }
}

NaiveForward::Vector NaiveForward::product(const NaiveMatrix& matrix, const Vector& x) {
    Vector input = x;
    if (matrix.rounds_inputs && rounding_.activations)
        for (uint32_t i = 0; i < matrix.cols; i += kRoundingBlock)
            round_int8(&input[i], kRoundingBlock);
    Vector y(matrix.rows, 0.0);
    for (uint32_t r = 0; r < matrix.rows; ++r) {
        const float* weights = &matrix.values[size_t{r} * matrix.cols];
        for (uint32_t c = 0; c < matrix.cols; ++c)
            y[r] += weights[c] * input[c];
    }
    return y;
}

NaiveForward::Vector NaiveForward::normalized(const Vector& x,
                                              const std::vector<float>& weight) const {
    double squares = 0.0;
    for (const double value : x)
        squares += value * value;
    const double scale =
        1.0 / std::sqrt(squares / static_cast<double>(x.size()) + model_.norm_epsilon);
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i)
        y[i] = x[i] * scale * weight[i];
    return y;
}

NaiveForward::Vector NaiveForward::projected(const NaiveMatrix& matrix,
                                             const std::vector<float>& bias, const Vector& x) {
    Vector y = product(matrix, x);
    for (size_t i = 0; i < bias.size(); ++i)
        y[i] += bias[i];
    return y;
}

void NaiveForward::normalize_heads(Vector& x, const std::vector<float>& weight) const {
    if (weight.empty()) return;
    for (size_t head = 0; head < x.size(); head += model_.head_dim) {
        const auto begin = x.begin() + static_cast<ptrdiff_t>(head);
        const Vector normed = normalized(Vector(begin, begin + model_.head_dim), weight);
        std::copy(normed.begin(), normed.end(), begin);
    }
}

// Rotates every head of x [heads * head_dim] by the angles of the current position.
void NaiveForward::rotate(Vector& x) const {
    const uint32_t half = model_.head_dim / 2;
    for (size_t head = 0; head < x.size(); head += model_.head_dim) {
        for (uint32_t i = 0; i < half; ++i) {
            const double frequency = std::pow(model_.rope_theta, -2.0 * i / model_.head_dim);
            const double angle = length_ * frequency;
            double& a = x[head + (model_.adjacent_rope ? 2 * i : i)];
            double& b = x[head + (model_.adjacent_rope ? 2 * i + 1 : i + half)];
            const double rotated = a * std::cos(angle) - b * std::sin(angle);
            b = b * std::cos(angle) + a * std::sin(angle);
            a = rotated;
        }
    }
}

void NaiveForward::round_cached(Vector& x) {
    switch (rounding_.kv) {
        case KvRounding::none: return;
        case KvRounding::f32:
            for (double& value : x)
                value = static_cast<float>(value);
            return;
        case KvRounding::f16:
            for (double& value : x)
                value = rounded_to_half(value);
            return;
        case KvRounding::q8:
            for (size_t head = 0; head < x.size(); head += model_.head_dim)
                for (uint32_t i = 0; i < model_.head_dim; i += kRoundingBlock)
                    round_int8(&x[head + i], std::min(kRoundingBlock, model_.head_dim - i));
            return;
    }
}

NaiveForward::Vector NaiveForward::attention(const NaiveLayer& layer, Cache& cache,
                                             const Vector& x) {
    Vector q = projected(layer.q, layer.q_bias, x);
    Vector k = projected(layer.k, layer.k_bias, x);
    Vector v = projected(layer.v, layer.v_bias, x);
    normalize_heads(q, layer.q_norm);
    normalize_heads(k, layer.k_norm);
    rotate(q);
    rotate(k);
    round_cached(k);
    round_cached(v);
    cache.keys.push_back(std::move(k));
    cache.values.push_back(std::move(v));
    Vector heads;
    for (uint32_t head = 0; head < model_.heads; ++head) {
        const uint32_t kv_head = head / (model_.heads / model_.kv_heads);
        const Vector out = attend(cache, &q[size_t{head} * model_.head_dim], kv_head);
        heads.insert(heads.end(), out.begin(), out.end());
    }
    return product(layer.o, heads);
}

// scale, cap, temperature, softmax: in this order. Every cached position is visible.
NaiveForward::Vector NaiveForward::attend(const Cache& cache, const double* query,
                                          uint32_t kv_head) const {
    const size_t offset = size_t{kv_head} * model_.head_dim;
    double temperature = 1.0;
    if (model_.temperature_length != 0 && length_ > model_.temperature_length)
        temperature = std::log2(length_) / std::log2(model_.temperature_length);
    Vector weights;
    for (const Vector& key : cache.keys) {
        double dot = 0.0;
        for (uint32_t i = 0; i < model_.head_dim; ++i)
            dot += query[i] * key[offset + i];
        weights.push_back(capped(dot * model_.attention_scale, model_.attention_cap) * temperature);
    }
    softmax(weights);
    Vector out(model_.head_dim, 0.0);
    for (size_t position = 0; position < weights.size(); ++position)
        for (uint32_t i = 0; i < model_.head_dim; ++i)
            out[i] += weights[position] * cache.values[position][offset + i];
    return out;
}

NaiveForward::Vector NaiveForward::mlp(const NaiveMlp& weights, const Vector& x) {
    Vector hidden = product(weights.gate, x);
    const Vector up = product(weights.up, x);
    for (size_t i = 0; i < hidden.size(); ++i)
        hidden[i] = (model_.gelu ? gelu_tanh(hidden[i]) : silu(hidden[i])) * up[i];
    return product(weights.down, hidden);
}

// The probabilities are a softmax over all experts; ties go to the lower index.
NaiveForward::Vector NaiveForward::experts(const NaiveLayer& layer, const Vector& x) {
    Vector p = product(layer.router, x);
    for (double& logit : p)
        logit = capped(logit, model_.router_cap);
    softmax(p);
    std::vector<uint32_t> order(p.size());
    std::iota(order.begin(), order.end(), 0U);
    std::stable_sort(order.begin(), order.end(),
                     [&p](uint32_t a, uint32_t b) { return p[a] > p[b]; });
    const uint32_t active = model_.active_experts;
    if (active < order.size())
        margins_.router = std::min(margins_.router, p[order[active - 1]] - p[order[active]]);
    double sum = 0.0;
    for (uint32_t i = 0; i < active; ++i)
        sum += p[order[i]];
    Vector out(model_.dim, 0.0);
    for (uint32_t i = 0; i < active; ++i) {
        const double weight = model_.renormalizes ? p[order[i]] / sum : p[order[i]];
        add(out, mlp(layer.experts[order[i]], x), weight);
    }
    return out;
}

NaiveForward::Vector NaiveForward::ffn(const NaiveLayer& layer, const Vector& x) {
    Vector out(model_.dim, 0.0);
    if (layer.dense.gate.rows != 0) add(out, mlp(layer.dense, x));
    if (!layer.experts.empty()) add(out, experts(layer, x));
    if (layer.shared.gate.rows != 0) {
        const double gate = product(layer.shared_gate, x)[0];
        add(out, mlp(layer.shared, x), 1.0 / (1.0 + std::exp(-gate)));
    }
    for (double& value : out)
        value *= model_.ffn_mix;
    return out;
}

}  // namespace support
