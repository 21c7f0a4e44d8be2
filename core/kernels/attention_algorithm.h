// Paged attention over `Lanes`, and the table of all vector kernels of a tier; the rules of
// vector_algorithms.h hold here too.
//
// For each page in order: scores of 64 keys (a lane is a key, one fma per dimension), scale, cap,
// temperature, mask; then the running maximum and sum are merged and the page's V rows are added (a
// lane is a dimension, one fma per key). This is the online softmax (Milakov and Gimelshein 2018)
// with the page as its step, so a query's result depends on its position alone, never on how the
// prompt was cut or what else is in the batch.

#include "core/kernels/vector_algorithms.h"

inline Lanes load_values(const float* p) {
    return Lanes::load(p);
}
inline Lanes load_values(const uint16_t* p) {
    return Lanes::load_half(p);
}

// C[r][n] += sum over k of A[r][k] B[k][n], k ascending, one fma each: R rows by N vectors kept in
// registers. Strides in elements.
template <class Value>
struct Product {
    const float* a;  // [rows][depth]
    size_t a_stride;
    const Value* b;  // [depth][vectors * 16], floats or halves
    size_t b_stride;
    float* c;  // [rows][vectors * 16]
    size_t c_stride;
    uint32_t depth;
};

// The pragmas: without full unrolling GCC keeps `total` in memory.
template <uint32_t R, uint32_t N, class Value>
inline void accumulate_tile(const Product<Value>& p, uint32_t row, uint32_t vector) {
    const size_t a_stride = p.a_stride;
    const size_t b_stride = p.b_stride;
    const size_t c_stride = p.c_stride;
    const float* a = p.a + row * a_stride;
    const Value* b = p.b + vector * kLanes;
    float* c = p.c + row * c_stride + vector * kLanes;
    Lanes total[R][N];
#pragma GCC unroll 4
    for (uint32_t r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (uint32_t n = 0; n < N; ++n)
            total[r][n] = Lanes::load(c + r * c_stride + n * kLanes);
    for (uint32_t k = 0; k < p.depth; ++k) {
        Lanes values[N];
#pragma GCC unroll 4
        for (uint32_t n = 0; n < N; ++n)
            values[n] = load_values(b + k * b_stride + n * kLanes);
#pragma GCC unroll 4
        for (uint32_t r = 0; r < R; ++r) {
            const Lanes factor = Lanes::broadcast(a[r * a_stride + k]);
#pragma GCC unroll 4
            for (uint32_t n = 0; n < N; ++n)
                total[r][n] = fma(factor, values[n], total[r][n]);
        }
    }
#pragma GCC unroll 4
    for (uint32_t r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (uint32_t n = 0; n < N; ++n)
            total[r][n].store(c + r * c_stride + n * kLanes);
}

template <uint32_t R, class Value>
inline void accumulate_rows(const Product<Value>& p, uint32_t row, uint32_t vectors) {
    uint32_t vector = 0;
    for (; vector + Lanes::kTileVectors <= vectors; vector += Lanes::kTileVectors)
        accumulate_tile<R, Lanes::kTileVectors>(p, row, vector);
    for (; vector < vectors; ++vector)
        accumulate_tile<R, 1>(p, row, vector);
}

template <class Value>
inline void accumulate(const Product<Value>& p, uint32_t rows, uint32_t vectors) {
    uint32_t row = 0;
    for (; row + Lanes::kTileRows <= rows; row += Lanes::kTileRows)
        accumulate_rows<Lanes::kTileRows>(p, row, vectors);
    for (; row < rows; ++row)
        accumulate_rows<1>(p, row, vectors);
}

// K of a page as floats [head_dim][kPagePositions]: in place for f32, else unpacked. Positions that
// hold no key yet give garbage, which the mask replaces.
inline const float* unpack_k(const AttentionTask& task, const std::byte* k, uint32_t vectors,
                             float* target) {
    if (task.type == KvType::f32) return reinterpret_cast<const float*>(k);
    const auto* halves = reinterpret_cast<const uint16_t*>(k);
    const auto* bytes = reinterpret_cast<const int8_t*>(k);
    const auto* scales = reinterpret_cast<const float*>(k + size_t{task.head_dim} * kPagePositions);
    for (uint32_t d = 0; d < task.head_dim; ++d) {
        const float* scale_row = scales + size_t{d / kKvBlock} * kPagePositions;
        for (uint32_t i = 0; i < vectors * kLanes; i += kLanes) {
            const size_t at = size_t{d} * kPagePositions + i;
            const Lanes values = task.type == KvType::f16
                                     ? Lanes::load_half(halves + at)
                                     : Lanes::load_bytes(bytes + at) * Lanes::load(scale_row + i);
            values.store(target + at);
        }
    }
    return target;
}

// V rows [begin, end) of a page as floats [kPagePositions][padded_dim].
inline const float* unpack_v(const AttentionTask& task, const std::byte* v, uint32_t begin,
                             uint32_t end, float* target) {
    if (task.type == KvType::f32) return reinterpret_cast<const float*>(v);
    const uint32_t padded = padded_dim(task.head_dim);
    const uint32_t blocks = kv_blocks(task.head_dim);
    const auto* halves = reinterpret_cast<const uint16_t*>(v);
    const auto* bytes = reinterpret_cast<const int8_t*>(v);
    const auto* scales = reinterpret_cast<const float*>(v + size_t{padded} * kPagePositions);
    for (uint32_t row = begin; row < end; ++row)
        for (uint32_t d = 0; d < padded; d += kLanes) {
            const size_t at = size_t{row} * padded + d;
            const Lanes values =
                task.type == KvType::f16
                    ? Lanes::load_half(halves + at)
                    : Lanes::load_bytes(bytes + at) *
                          Lanes::broadcast(scales[size_t{row} * blocks + d / kKvBlock]);
            values.store(target + at);
        }
    return target;
}

// One row is one query head of one query. Rows are ordered by query.
struct AttentionState {
    float* values;       // [kPagePositions][padded]: the page's K, later its V, as floats
    float* q;            // [rows][padded], head_dim used
    float* scores;       // [rows][kPagePositions]: q.k, later the unnormalized probabilities
    float* total;        // [rows][padded]: sum of probability * V
    float* highest;      // [rows]: running maximum of the scores
    float* weight;       // [rows]: running sum of exp(score - highest)
    float* temperature;  // [rows]
    uint32_t padded;
    uint32_t rows;
};

// Keys [begin, end) of a page that a row sees.
struct KeyRange {
    uint32_t begin;
    uint32_t end;
};

inline uint32_t query_position(const AttentionTask& task, uint32_t row) {
    return task.position + row / task.heads;
}

inline uint32_t first_key(const AttentionTask& task, uint32_t position) {
    return task.window != 0 && position >= task.window ? position - task.window + 1 : 0;
}

inline KeyRange keys_in_page(const AttentionTask& task, uint32_t row, uint32_t page_begin) {
    const uint32_t position = query_position(task, row);
    const uint32_t first = first_key(task, position);
    if (position < page_begin || first >= page_begin + kPagePositions) return {0, 0};
    return {first > page_begin ? first - page_begin : 0,
            at_most(position - page_begin + 1, kPagePositions)};
}

inline AttentionState begin_attention(const AttentionTask& task) {
    AttentionState s = {};
    s.padded = padded_dim(task.head_dim);
    s.rows = task.heads * task.queries;
    const size_t row_floats = (s.rows + kLanes - 1) / kLanes * kLanes;
    s.values = task.scratch;
    s.q = s.values + size_t{s.padded} * kPagePositions;
    s.total = s.q + size_t{s.rows} * s.padded;
    s.scores = s.total + size_t{s.rows} * s.padded;
    s.highest = s.scores + size_t{s.rows} * kPagePositions;
    s.weight = s.highest + row_floats;
    s.temperature = s.weight + row_floats;
    for (uint32_t row = 0; row < s.rows; ++row) {
        const float* q =
            task.q + (row / task.heads) * task.q_stride + size_t{row % task.heads} * task.head_dim;
        for (uint32_t d = 0; d < task.head_dim; ++d)
            s.q[size_t{row} * s.padded + d] = q[d];
        for (uint32_t d = 0; d < s.padded; ++d)
            s.total[size_t{row} * s.padded + d] = 0.0F;
        s.highest[row] = -__builtin_inff();
        s.weight[row] = 0.0F;
        const uint32_t position = query_position(task, row);
        s.temperature[row] =
            task.temperature_length != 0 && position > task.temperature_length
                ? static_cast<float>(__builtin_log2(static_cast<double>(position)) /
                                     __builtin_log2(static_cast<double>(task.temperature_length)))
                : 1.0F;
    }
    return s;
}

// Turns the q.k of one row into exp(score - running maximum), merging maximum and sum; what was
// accumulated before is rescaled to the new maximum.
inline void merge_page(const AttentionTask& task, const AttentionState& s, uint32_t row,
                       KeyRange keys, uint32_t vectors) {
    float* scores = s.scores + size_t{row} * kPagePositions;
    const Lanes factor = Lanes::broadcast(task.scale);
    const Lanes cap = Lanes::broadcast(task.softcap);
    const Lanes inverse_cap = Lanes::broadcast(task.softcap != 0.0F ? 1.0F / task.softcap : 0.0F);
    const Lanes temperature = Lanes::broadcast(s.temperature[row]);
    const Lanes lowest = Lanes::broadcast(-__builtin_inff());
    const Lanes zero = Lanes::broadcast(0.0F);
    Lanes page_highest = lowest;
    for (uint32_t v = 0; v < vectors; ++v) {
        Lanes score = Lanes::load(scores + v * kLanes) * factor;
        if (task.softcap != 0.0F) score = cap * tanh(score * inverse_cap);
        score = keep(score * temperature, keys.begin, keys.end, lowest, v * kLanes);
        score.store(scores + v * kLanes);
        page_highest = max(score, page_highest);
    }
    const Lanes before = Lanes::broadcast(s.highest[row]);
    const Lanes highest = max(Lanes::broadcast(maximum(page_highest)), before);
    Lanes page_weight = zero;
    for (uint32_t v = 0; v < vectors; ++v) {
        const Lanes p = keep(exp(Lanes::load(scores + v * kLanes) - highest), keys.begin, keys.end,
                             zero, v * kLanes);
        p.store(scores + v * kLanes);
        page_weight = page_weight + p;
    }
    const Lanes rescale = exp(before - highest);
    s.highest[row] = highest.first();
    s.weight[row] =
        fma(Lanes::broadcast(s.weight[row]), rescale, Lanes::broadcast(sum(page_weight))).first();
    if (rescale.first() != 1.0F) {
        float* total = s.total + size_t{row} * s.padded;
        for (uint32_t d = 0; d < s.padded; d += kLanes)
            (Lanes::load(total + d) * rescale).store(total + d);
    }
}

// total[row] += p[key] * V[key] over the row's own keys, ascending. Rows of the same query see the
// same keys and share the loads of V; a V row that a query does not see is never multiplied.
template <class Value>
inline void add_values(const AttentionTask& task, const AttentionState& s, const Value* v,
                       uint32_t page_begin, KeyRange rows) {
    for (uint32_t row = rows.begin; row < rows.end;) {
        const KeyRange keys = keys_in_page(task, row, page_begin);
        uint32_t end = row + 1;
        while (end < rows.end) {
            const KeyRange next = keys_in_page(task, end, page_begin);
            if (next.begin != keys.begin || next.end != keys.end) break;
            ++end;
        }
        accumulate<Value>({.a = s.scores + size_t{row} * kPagePositions + keys.begin,
                           .a_stride = kPagePositions,
                           .b = v + size_t{keys.begin} * s.padded,
                           .b_stride = s.padded,
                           .c = s.total + size_t{row} * s.padded,
                           .c_stride = s.padded,
                           .depth = keys.end - keys.begin},
                          end - row, s.padded / kLanes);
        row = end;
    }
}

// Scores of rows [rows.begin, rows.end) against the page's keys.
template <class Value>
inline void score_page(const AttentionTask& task, const AttentionState& s, const Value* k,
                       KeyRange rows, uint32_t vectors) {
    float* scores = s.scores + size_t{rows.begin} * kPagePositions;
    for (uint32_t row = 0; row < rows.end - rows.begin; ++row)
        for (uint32_t i = 0; i < vectors * kLanes; i += kLanes)
            Lanes::broadcast(0.0F).store(scores + size_t{row} * kPagePositions + i);
    accumulate<Value>({.a = s.q + size_t{rows.begin} * s.padded,
                       .a_stride = s.padded,
                       .b = k,
                       .b_stride = kPagePositions,
                       .c = scores,
                       .c_stride = kPagePositions,
                       .depth = task.head_dim},
                      rows.end - rows.begin, vectors);
}

// The rows that see a key of a page: consecutive, since rows are ordered by position.
inline KeyRange rows_in_page(const AttentionTask& task, const AttentionState& s,
                             uint32_t page_begin) {
    KeyRange rows = {0, s.rows};
    while (rows.begin < rows.end && keys_in_page(task, rows.begin, page_begin).end == 0)
        ++rows.begin;
    while (rows.end > rows.begin && keys_in_page(task, rows.end - 1, page_begin).end == 0)
        --rows.end;
    return rows;
}

inline void attend_page(const AttentionTask& task, const AttentionState& s, uint32_t page) {
    const uint32_t page_begin = page * kPagePositions;
    const KeyRange rows = rows_in_page(task, s, page_begin);
    if (rows.begin == rows.end) return;
    const uint32_t first = keys_in_page(task, rows.begin, page_begin).begin;
    const uint32_t last = keys_in_page(task, rows.end - 1, page_begin).end;
    const uint32_t vectors = (last + kLanes - 1) / kLanes;
    const std::byte* k = task.pages[page] + task.k_offset;
    const std::byte* v = task.pages[page] + task.v_offset;
    // With few rows halves are converted where they are used, which is exact and so makes no
    // difference to the bits; many rows share one unpacked copy.
    const bool direct = task.type == KvType::f16 && rows.end - rows.begin <= Lanes::kTileRows;

    if (direct) {
        score_page(task, s, reinterpret_cast<const uint16_t*>(k), rows, vectors);
    } else {
        score_page(task, s, unpack_k(task, k, vectors, s.values), rows, vectors);
    }
    for (uint32_t row = rows.begin; row < rows.end; ++row)
        merge_page(task, s, row, keys_in_page(task, row, page_begin), vectors);
    if (direct) {
        add_values(task, s, reinterpret_cast<const uint16_t*>(v), page_begin, rows);
    } else {
        add_values(task, s, unpack_v(task, v, first, last, s.values), page_begin, rows);
    }
}

inline void attention(const AttentionTask& task) {
    const AttentionState s = begin_attention(task);
    const uint32_t last = query_position(task, s.rows - 1);
    const uint32_t first = first_key(task, task.position);
    for (uint32_t page = first / kPagePositions; page <= last / kPagePositions; ++page)
        attend_page(task, s, page);
    for (uint32_t row = 0; row < s.rows; ++row) {
        float* out = task.out + (row / task.heads) * task.out_stride +
                     size_t{row % task.heads} * task.head_dim;
        const Lanes weight = Lanes::broadcast(s.weight[row]);
        for (uint32_t d = 0; d < task.head_dim; d += kLanes)
            (Lanes::load(s.total + size_t{row} * s.padded + d) / weight)
                .store_first(out + d, task.head_dim - d);
    }
}

inline constexpr VectorKernels kVectorKernels = {
    .rms_norm = rms_norm,
    .add = add,
    .scale = scale,
    .add_scaled = add_scaled,
    .softcap = softcap,
    .gelu_gate = gelu_gate,
    .silu_gate = silu_gate,
    .softmax = softmax,
    .dot = dot,
    .rotate_half = rotate_half,
    .rotate_adjacent = rotate_adjacent,
    .store_kv = store_kv,
    .attention = attention,
};
