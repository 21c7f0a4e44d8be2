// The vector kernels as algorithms over `Lanes`, 16 floats of a tier (vector_scalar.cpp says what
// Lanes must offer). Included once by each vector_<tier>.cpp, inside its namespace and its
// `#pragma GCC target` region, after all other includes: so it includes nothing itself and uses no
// function of the standard library.
//
// Every step is one IEEE operation with a fixed order, and min, max and select treat NaN as
// (a < b ? a : b) does; that is what makes the tiers equal bit by bit.

inline constexpr uint32_t kLanes = 16;

inline uint32_t at_most(uint32_t value, uint32_t limit) {
    return value < limit ? value : limit;
}

// e^x. Cody-Waite reduction by ln 2 in two parts, polynomial of degree 6 on [-ln2/2, ln2/2] with
// the coefficients of Cephes expf (S. Moshier). Below the smallest normal float: 0; saturates at
// e^88.37.
inline Lanes exp(Lanes x) {
    const Lanes low = Lanes::broadcast(-87.33654F);
    const Lanes high = Lanes::broadcast(88.37F);
    const Lanes magic = Lanes::broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to integer
    const Lanes clamped = min(high, max(low, x));
    const Lanes shifted = fma(clamped, Lanes::broadcast(1.44269504088896341F), magic);
    const Lanes n = shifted - magic;
    Lanes r = fma(n, Lanes::broadcast(-0.693359375F), clamped);
    r = fma(n, Lanes::broadcast(2.12194440e-4F), r);
    Lanes p = Lanes::broadcast(1.9875691500e-4F);
    p = fma(p, r, Lanes::broadcast(1.3981999507e-3F));
    p = fma(p, r, Lanes::broadcast(8.3334519073e-3F));
    p = fma(p, r, Lanes::broadcast(4.1665795894e-2F));
    p = fma(p, r, Lanes::broadcast(1.6666665459e-1F));
    p = fma(p, r, Lanes::broadcast(5.0000001201e-1F));
    const Lanes y = fma(p, r * r, r) + Lanes::broadcast(1.0F);
    return select_less(x, low, Lanes::broadcast(0.0F), y * power_of_two(shifted));
}

// Cephes tanhf: an odd polynomial below 0.625, else 1 - 2 / (e^2|x| + 1).
inline Lanes tanh(Lanes x) {
    const Lanes magnitude = abs(x);
    const Lanes square = x * x;
    Lanes p = Lanes::broadcast(-5.70498872745e-3F);
    p = fma(p, square, Lanes::broadcast(2.06390887954e-2F));
    p = fma(p, square, Lanes::broadcast(-5.37397155531e-2F));
    p = fma(p, square, Lanes::broadcast(1.33314422036e-1F));
    p = fma(p, square, Lanes::broadcast(-3.33332819422e-1F));
    const Lanes small = fma(p * square, x, x);
    const Lanes one = Lanes::broadcast(1.0F);
    const Lanes two = Lanes::broadcast(2.0F);
    const Lanes large = copy_sign(one - two / (exp(magnitude + magnitude) + one), x);
    return select_less(magnitude, Lanes::broadcast(0.625F), small, large);
}

inline Lanes silu(Lanes x) {
    const Lanes one = Lanes::broadcast(1.0F);
    return x / (one + exp(Lanes::broadcast(0.0F) - x));
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3): the second form keeps
// its relative accuracy in the negative tail.
inline Lanes gelu_tanh(Lanes x) {
    const Lanes one = Lanes::broadcast(1.0F);
    const Lanes inner = fma(x * x, Lanes::broadcast(0.044715F), one);
    return x / (one + exp(x * inner * Lanes::broadcast(-1.5957691216057308F)));
}

inline void rms_norm(const float* x, const float* weight, float epsilon, uint32_t n, float* y) {
    Lanes squares = Lanes::broadcast(0.0F);
    for (uint32_t i = 0; i < n; i += kLanes) {
        const Lanes v = Lanes::load_first(x + i, n - i);
        squares = fma(v, v, squares);
    }
    const float mean = sum(squares) / static_cast<float>(n);
    const Lanes factor = Lanes::broadcast(1.0F / __builtin_sqrtf(mean + epsilon));
    for (uint32_t i = 0; i < n; i += kLanes) {
        const Lanes scaled = Lanes::load_first(x + i, n - i) * factor;
        (scaled * Lanes::load_first(weight + i, n - i)).store_first(y + i, n - i);
    }
}

inline void add(float* x, const float* y, uint32_t n) {
    for (uint32_t i = 0; i < n; i += kLanes)
        (Lanes::load_first(x + i, n - i) + Lanes::load_first(y + i, n - i))
            .store_first(x + i, n - i);
}

inline void scale(float* x, float factor, uint32_t n) {
    const Lanes f = Lanes::broadcast(factor);
    for (uint32_t i = 0; i < n; i += kLanes)
        (Lanes::load_first(x + i, n - i) * f).store_first(x + i, n - i);
}

inline void add_scaled(float* x, float w, const float* y, uint32_t n) {
    const Lanes factor = Lanes::broadcast(w);
    for (uint32_t i = 0; i < n; i += kLanes)
        fma(factor, Lanes::load_first(y + i, n - i), Lanes::load_first(x + i, n - i))
            .store_first(x + i, n - i);
}

inline void softcap(float* x, float cap, uint32_t n) {
    const Lanes limit = Lanes::broadcast(cap);
    const Lanes inverse = Lanes::broadcast(1.0F / cap);
    for (uint32_t i = 0; i < n; i += kLanes)
        (limit * tanh(Lanes::load_first(x + i, n - i) * inverse)).store_first(x + i, n - i);
}

inline void gelu_gate(const float* gate, const float* up, uint32_t n, float* y) {
    for (uint32_t i = 0; i < n; i += kLanes)
        (gelu_tanh(Lanes::load_first(gate + i, n - i)) * Lanes::load_first(up + i, n - i))
            .store_first(y + i, n - i);
}

inline void silu_gate(const float* gate, const float* up, uint32_t n, float* y) {
    for (uint32_t i = 0; i < n; i += kLanes)
        (silu(Lanes::load_first(gate + i, n - i)) * Lanes::load_first(up + i, n - i))
            .store_first(y + i, n - i);
}

inline void softmax(float* x, uint32_t n) {
    const Lanes lowest = Lanes::broadcast(-__builtin_inff());
    Lanes highest = lowest;
    for (uint32_t i = 0; i < n; i += kLanes)
        highest = max(keep(Lanes::load_first(x + i, n - i), 0, n - i, lowest), highest);
    const Lanes shift = Lanes::broadcast(maximum(highest));
    Lanes total = Lanes::broadcast(0.0F);
    for (uint32_t i = 0; i < n; i += kLanes) {
        const Lanes e = exp(Lanes::load_first(x + i, n - i) - shift);
        total = total + keep(e, 0, n - i, Lanes::broadcast(0.0F));
        e.store_first(x + i, n - i);
    }
    const Lanes divisor = Lanes::broadcast(sum(total));
    for (uint32_t i = 0; i < n; i += kLanes)
        (Lanes::load_first(x + i, n - i) / divisor).store_first(x + i, n - i);
}

inline float dot(const float* a, const float* b, uint32_t n) {
    Lanes total = Lanes::broadcast(0.0F);
    for (uint32_t i = 0; i < n; i += kLanes)
        total = fma(Lanes::load_first(a + i, n - i), Lanes::load_first(b + i, n - i), total);
    return sum(total);
}

inline void rotate_half(float* x, const float* cos, const float* sin, uint32_t half) {
    for (uint32_t i = 0; i < half; i += kLanes) {
        const uint32_t left = half - i;
        const Lanes c = Lanes::load_first(cos + i, left);
        const Lanes s = Lanes::load_first(sin + i, left);
        const Lanes a = Lanes::load_first(x + i, left);
        const Lanes b = Lanes::load_first(x + half + i, left);
        (a * c - b * s).store_first(x + i, left);
        fma(b, c, a * s).store_first(x + half + i, left);
    }
}

// Plain floats in every tier: only Llama files pair neighbours, and the shuffles would not show
// beside the products.
inline void rotate_adjacent(float* x, const float* cos, const float* sin, uint32_t half) {
    for (uint32_t i = 0; i < half; ++i) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = b * cos[i] + a * sin[i];
    }
}

// Rounds `n` <= kKvBlock values to int8 with one scale: d = max|x| / 127, nearest even of
// x * (1 / d). Returns d. Writes whole vectors: zeros behind the values.
inline float quantize_block(const float* x, uint32_t n, int8_t* values) {
    Lanes highest = Lanes::broadcast(0.0F);
    for (uint32_t i = 0; i < n; i += kLanes)
        highest = max(abs(Lanes::load_first(x + i, n - i)), highest);
    const float d = maximum(highest) / 127.0F;
    const Lanes inverse = Lanes::broadcast(d > 0.0F ? 1.0F / d : 0.0F);
    for (uint32_t i = 0; i < n; i += kLanes)
        (Lanes::load_first(x + i, n - i) * inverse).store_rounded(values + i);
    return d;
}

template <class Value>
inline void scatter_k(const Value* values, uint32_t head_dim, uint32_t row, Value* k) {
    for (uint32_t d = 0; d < head_dim; ++d)
        k[size_t{d} * kPagePositions + row] = values[d];
}

inline void store_kv_f32(const KvRow& kv) {
    scatter_k(kv.k, kv.head_dim, kv.row, reinterpret_cast<float*>(kv.k_page));
    float* v = reinterpret_cast<float*>(kv.v_page) + size_t{kv.row} * padded_dim(kv.head_dim);
    for (uint32_t d = 0; d < kv.head_dim; ++d)
        v[d] = kv.v[d];
}

inline void store_kv_f16(const KvRow& kv) {
    uint16_t block[kKvBlock];
    auto* k = reinterpret_cast<uint16_t*>(kv.k_page);
    auto* v = reinterpret_cast<uint16_t*>(kv.v_page) + size_t{kv.row} * padded_dim(kv.head_dim);
    for (uint32_t d = 0; d < kv.head_dim; d += kLanes) {
        const uint32_t left = kv.head_dim - d;
        Lanes::load_first(kv.k + d, left).store_half(block);
        scatter_k(block, at_most(left, kLanes), kv.row, k + size_t{d} * kPagePositions);
        Lanes::load_first(kv.v + d, left).store_half(v + d);  // the row is padded to whole vectors
    }
}

inline void store_kv_q8(const KvRow& kv) {
    int8_t block[kKvBlock];
    const uint32_t padded = padded_dim(kv.head_dim);
    const uint32_t blocks = kv_blocks(kv.head_dim);
    auto* k = reinterpret_cast<int8_t*>(kv.k_page);
    auto* v = reinterpret_cast<int8_t*>(kv.v_page);
    auto* k_scales = reinterpret_cast<float*>(kv.k_page + size_t{kv.head_dim} * kPagePositions);
    auto* v_scales = reinterpret_cast<float*>(kv.v_page + size_t{padded} * kPagePositions);
    for (uint32_t b = 0; b < blocks; ++b) {
        const uint32_t d = b * kKvBlock;
        const uint32_t n = at_most(kv.head_dim - d, kKvBlock);
        k_scales[size_t{b} * kPagePositions + kv.row] = quantize_block(kv.k + d, n, block);
        scatter_k(block, n, kv.row, k + size_t{d} * kPagePositions);
        v_scales[size_t{kv.row} * blocks + b] =
            quantize_block(kv.v + d, n, v + size_t{kv.row} * padded + d);
    }
}

inline void store_kv(const KvRow& kv) {
    switch (kv.type) {
        case KvType::f32: store_kv_f32(kv); break;
        case KvType::f16: store_kv_f16(kv); break;
        case KvType::q8: store_kv_q8(kv); break;
    }
}
