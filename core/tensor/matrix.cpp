// Packing of storage blocks into panels of 16 interleaved rows, and the memory that holds them.

#include "core/tensor/matrix.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/tensor/block_parts.h"
#include "core/tensor/blocks.h"
#include "core/tensor/panel_layout.h"

namespace core {
namespace {

constexpr size_t kCacheLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kHalf = 2;  // bytes of an f16 or bf16 value

size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

// The source rows of one panel; rows beyond the matrix are null.
using PanelSource = std::array<const std::byte*, kPanelRows>;

template <size_t Size>
void pack_elements(const PanelSource& rows, uint32_t cols, std::byte* out) {
    for (uint32_t col = 0; col < cols; ++col, out += Size * kPanelRows) {
        for (uint32_t r = 0; r < kPanelRows; ++r) {
            if (rows[r] != nullptr) std::memcpy(out + r * Size, rows[r] + col * Size, Size);
        }
    }
}

// 4 int8 values as the unsigned bytes w + 128: flipping the sign bit adds 128 modulo 256.
void store_offset_128(std::byte* out, const std::byte* values) {
    uint32_t four = 0;
    std::memcpy(&four, values, sizeof(four));
    four ^= 0x80808080U;
    std::memcpy(out, &four, sizeof(four));
}

// Q8_0 and Q4_0: `copy(out, quants)` lays the values of a block and row out; `Block` is the source.
template <class Block, class Copy>
void pack_blocks(const PanelSource& rows, uint32_t cols, std::byte* out, Copy copy) {
    constexpr size_t kQuants = sizeof(Block) - kHalf;
    for (uint32_t block = 0; block < cols / kBlock; ++block) {
        std::byte* const scales = out + block % 2 * (kHalf * kPanelRows);
        std::byte* const values = out + kCacheLine + block % 2 * (kQuants * kPanelRows);
        for (uint32_t r = 0; r < kPanelRows; ++r) {
            if (rows[r] == nullptr) continue;
            const std::byte* source = rows[r] + block * sizeof(Block);
            std::memcpy(scales + r * kHalf, source, kHalf);
            for (uint32_t g = 0; g < kQuants / 4; ++g) {
                copy(values + g * kCacheLine + r * 4, source + kHalf + g * 4);
            }
        }
        if (block % 2 == 1) out += kCacheLine + 2 * kQuants * kPanelRows;
    }
}

void pack_q8_0(const PanelSource& rows, uint32_t cols, std::byte* out) {
    pack_blocks<BlockQ8>(rows, cols, out, store_offset_128);
}

// GGUF has the same halves of a block in the two nibbles, so bytes move unchanged.
void pack_q4_0(const PanelSource& rows, uint32_t cols, std::byte* out) {
    pack_blocks<BlockQ4>(rows, cols, out,
                         [](std::byte* to, const std::byte* from) { std::memcpy(to, from, 4); });
}

// `scales`: bf16 [rows of the panel, groups], null rows as in `rows`.
void pack_i8c(const PanelSource& rows, const PanelSource& scales, uint32_t cols, uint32_t groups,
              std::byte* out) {
    const uint32_t group_cols = cols / groups;
    for (uint32_t group = 0; group < groups; ++group) {
        for (uint32_t col = group * group_cols; col < (group + 1) * group_cols; col += 4) {
            for (uint32_t r = 0; r < kPanelRows; ++r) {
                if (rows[r] != nullptr) store_offset_128(out + r * 4, rows[r] + col);
            }
            out += kCacheLine;
        }
        for (uint32_t r = 0; r < kPanelRows; ++r) {
            if (rows[r] != nullptr) {
                std::memcpy(out + r * kHalf, scales[r] + group * kHalf, kHalf);
            }
        }
        out += kCacheLine;
    }
}

// Codes of one row in 32 columns, to the planes of a block. REQUIRES: zeroed memory.
void pack_codes(const PanelLayout& layout, const uint8_t* codes, uint32_t row, std::byte* out) {
    const auto put = [&](size_t at, uint32_t byte) {
        out[at] = static_cast<std::byte>(static_cast<uint8_t>(byte));
    };
    const uint32_t low_bits = layout.nibbles ? 4 : 0;
    if (layout.nibbles) {
        for (uint32_t i = 0; i < kBlock / 2; ++i)
            put(i / 4 * kCacheLine + row * 4 + i % 4,
                (codes[i] & 15U) | (codes[i + kBlock / 2] & 15U) << 4);
    }
    for (uint32_t at = 0; layout.pairs && at < 8; ++at) {
        uint32_t byte = 0;
        for (uint32_t i = 0; i < 4; ++i)
            byte |= ((codes[at / 4 * 16 + 4 * i + at % 4] >> low_bits) & 3U) << (2 * i);
        put(layout.pairs_at() + at / 4 * kCacheLine + row * 4 + at % 4, byte);
    }
    const uint32_t bit = low_bits + (layout.pairs ? 2 : 0);
    for (uint32_t j = 0; layout.bits && j < 4; ++j) {
        uint32_t byte = 0;
        for (uint32_t g = 0; g < 8; ++g)
            byte |= ((codes[4 * g + j] >> bit) & 1U) << g;
        put(layout.bits_at() + row * 4 + j, byte);
    }
}

// Every type of panel_layout.h.
void pack_quantized(DType type, const PanelSource& rows, uint32_t cols, std::byte* out) {
    const QuantLayout& quant = *quant_layout(type);
    const PanelLayout layout = panel_layout(type);
    const size_t block_bytes = traits(type).bytes;
    BlockParts parts;
    for (uint32_t unit = 0; unit < cols / layout.block; ++unit) {
        const size_t first = size_t{unit} * layout.block / kBlock;
        for (uint32_t r = 0; r < kPanelRows; ++r) {
            if (rows[r] == nullptr) continue;
            quant.take_apart(rows[r] + unit * block_bytes, parts);
            std::memcpy(out + layout.scales(first) + r * kHalf, &parts.scale, kHalf);
            if (layout.has_minimum)
                std::memcpy(out + layout.minimums(first) + r * kHalf, &parts.minimum, kHalf);
            for (size_t s = 0; layout.block != kBlock && s < layout.subs(); ++s) {
                out[layout.factors(first, s) + r] = static_cast<std::byte>(parts.factors[s]);
                if (layout.has_minimum)
                    out[layout.sub_minimums(first, s) + r] =
                        static_cast<std::byte>(parts.minimums[s]);
            }
            for (uint32_t b = 0; b < layout.block / kBlock; ++b)
                pack_codes(layout, parts.codes.data() + size_t{b} * kBlock, r,
                           out + layout.codes(first + b));
        }
    }
}

bool is_panel_quantized(DType type) {
    return quant_index(type) < kQuantTypeCount;
}

// Bytes of one row in storage blocks.
size_t source_row_bytes(DType type, uint32_t cols) {
    const DTypeTraits& of = traits(type);
    MOXIE_CHECK(of.computable);
    return size_t{cols} / of.block * of.bytes;
}

PanelSource rows_of_panel(std::span<const std::byte> data, size_t row_bytes, uint32_t first,
                          uint32_t rows) {
    PanelSource source{};
    for (uint32_t r = 0; r < kPanelRows && first + r < rows; ++r) {
        source[r] = data.data() + size_t{first + r} * row_bytes;
    }
    return source;
}

}  // namespace

std::shared_ptr<std::byte> allocate_weights(size_t bytes) {
    bytes = std::max<size_t>(bytes, 1);
    if (bytes < kHugePage / 2) {
        constexpr std::align_val_t kAlignment{kCacheLine};
        auto* memory =
            static_cast<std::byte*>(::operator new(round_up(bytes, kCacheLine), kAlignment));
        std::memset(memory, 0, bytes);
        return {memory, [](std::byte* p) { ::operator delete(p, kAlignment); }};
    }
    // Starting on a huge page: a decode step walks all weights, and 4 KB pages would cost a TLB
    // miss every 64 cache lines.
    const size_t reserved = round_up(bytes, kHugePage) + kHugePage;
    void* base = mmap(nullptr, reserved, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        throw Error(ErrorKind::memory, "weights",
                    "cannot allocate " + std::to_string(bytes >> 20) + " MiB",
                    "close other programs or use a smaller model");
    }
    auto* const first = static_cast<std::byte*>(base);
    std::byte* const aligned =
        first + (kHugePage - reinterpret_cast<uintptr_t>(base) % kHugePage) % kHugePage;
    (void)madvise(aligned, round_up(bytes, kHugePage), MADV_HUGEPAGE);  // a wish, not a need
    return {aligned, [base, reserved](std::byte*) { munmap(base, reserved); }};
}

size_t packed_panel_bytes(DType type, uint32_t cols, uint32_t scale_groups) {
    if (is_panel_quantized(type)) return panel_layout(type).panel_bytes(cols);
    const size_t values = source_row_bytes(type, cols) * kPanelRows;
    if (type == DType::i8c) return values + kCacheLine * scale_groups;
    if ((type == DType::q8_0 || type == DType::q4_0) && cols / kBlock % 2 == 1) {
        return values + kHalf * kPanelRows;  // the missing half of the last line of scales
    }
    return round_up(values, kCacheLine);
}

namespace {

// The shape of what a source packs to; REQUIRES as MatrixBuilder.
size_t checked_bytes(const MatrixSource& source) {
    MOXIE_CHECK(source.data.size() == source_row_bytes(source.type, source.cols) * source.rows);
    MOXIE_CHECK(source.cols % traits(source.type).block == 0);
    if (source.type == DType::i8c) {
        MOXIE_CHECK(source.scale_groups > 0 &&
                    source.cols % (size_t{source.scale_groups} * kBlock) == 0);
        MOXIE_CHECK(source.scales.size() == kHalf * source.scale_groups * source.rows);
    }
    const size_t panels = (size_t{source.rows} + kPanelRows - 1) / kPanelRows;
    return panels * packed_panel_bytes(source.type, source.cols, source.scale_groups);
}

}  // namespace

std::shared_ptr<std::byte> WeightArena::allocate(size_t bytes) {
    constexpr size_t kPiece = size_t{64} << 20;
    const size_t rounded = round_up(bytes, kCacheLine);
    if (rounded > kPiece / 8) return allocate_weights(bytes);
    if (piece_ == nullptr || used_ + rounded > kPiece) {
        piece_ = allocate_weights(kPiece);
        used_ = 0;
    }
    std::byte* const start = piece_.get() + used_;
    used_ += rounded;
    return {piece_, start};
}

MatrixBuilder::MatrixBuilder(const MatrixSource& source) : source_(source) {
    place(allocate_weights(checked_bytes(source)));
}

MatrixBuilder::MatrixBuilder(const MatrixSource& source, WeightArena& arena) : source_(source) {
    place(arena.allocate(checked_bytes(source)));
}

void MatrixBuilder::place(std::shared_ptr<std::byte> memory) {
    matrix_.type_ = source_.type;
    matrix_.rows_ = source_.rows;
    matrix_.cols_ = source_.cols;
    matrix_.scale_groups_ = source_.scale_groups;
    matrix_.panel_bytes_ = packed_panel_bytes(source_.type, source_.cols, source_.scale_groups);
    target_ = memory.get();
    matrix_.data_ = target_;
    matrix_.storage_ = std::move(memory);
}

void MatrixBuilder::pack(uint32_t begin, uint32_t end) {
    const size_t row_bytes = source_row_bytes(source_.type, source_.cols);
    const uint32_t cols = source_.cols;
    for (uint32_t p = begin; p < end; ++p) {
        const PanelSource rows =
            rows_of_panel(source_.data, row_bytes, p * kPanelRows, source_.rows);
        std::byte* const out = target_ + matrix_.panel_bytes_ * p;
        switch (source_.type) {
            case DType::f32: pack_elements<sizeof(float)>(rows, cols, out); break;
            case DType::f16:
            case DType::bf16: pack_elements<kHalf>(rows, cols, out); break;
            case DType::q8_0: pack_q8_0(rows, cols, out); break;
            case DType::q4_0: pack_q4_0(rows, cols, out); break;
            case DType::i8c:
                pack_i8c(rows,
                         rows_of_panel(source_.scales, kHalf * source_.scale_groups, p * kPanelRows,
                                       source_.rows),
                         cols, source_.scale_groups, out);
                break;
            default: pack_quantized(source_.type, rows, cols, out);
        }
    }
}

Matrix MatrixBuilder::finish() {
    target_ = nullptr;
    return std::exchange(matrix_, Matrix{});
}

Matrix pack(const MatrixSource& source) {
    MatrixBuilder builder(source);
    builder.pack(0, builder.panels());
    return builder.finish();
}

// Value `index` of type T in a panel's bytes.
template <class T>
static T element(const std::byte* bytes, size_t index) {
    T value;
    std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
    return value;
}

// The 32 columns of one row in a block of Q8_0 or I8C values: 4 columns of all rows at a time.
static void unpack_bytes(const std::byte* block, uint32_t row, float scale, float* out) {
    for (uint32_t col = 0; col < kBlock; ++col) {
        const auto stored = element<uint8_t>(block, (col / 4 * kPanelRows + row) * 4 + col % 4);
        out[col] = static_cast<float>(static_cast<int>(stored) - 128) * scale;
    }
}

static void unpack_nibbles(const std::byte* block, uint32_t row, float scale, float* out) {
    for (uint32_t col = 0; col < kBlock / 2; ++col) {
        const auto stored = element<uint8_t>(block, (col / 4 * kPanelRows + row) * 4 + col % 4);
        out[col] = static_cast<float>((stored & 15) - 8) * scale;
        out[col + kBlock / 2] = static_cast<float>((stored >> 4) - 8) * scale;
    }
}

static uint8_t unpack_code(const PanelLayout& layout, const std::byte* codes, uint32_t row,
                           uint32_t col) {
    const uint32_t lane = row * 4 + col % 4;
    const auto byte = [&](size_t at) { return std::to_integer<uint32_t>(codes[at + lane]); };
    uint32_t code = 0;
    uint32_t width = 0;
    if (layout.nibbles) {
        code = byte(col % 16 / 4 * kCacheLine) >> (col < kBlock / 2 ? 0 : 4) & 15U;
        width = 4;
    }
    if (layout.pairs) {
        const uint32_t pair =
            byte(layout.pairs_at() + col / 16 * kCacheLine) >> (2 * (col % 16 / 4)) & 3U;
        code |= pair << width;
        width += 2;
    }
    if (layout.bits) code |= (byte(layout.bits_at()) >> (col / 4) & 1U) << width;
    return static_cast<uint8_t>(code);
}

static void unpack_quantized(const Matrix& matrix, const std::byte* panel, uint32_t r, float* out) {
    const QuantLayout& quant = *quant_layout(matrix.type());
    const PanelLayout layout = panel_layout(matrix.type());
    BlockParts parts;
    for (uint32_t unit = 0; unit < matrix.cols() / layout.block; ++unit) {
        const size_t first = size_t{unit} * layout.block / kBlock;
        parts.scale = element<uint16_t>(panel + layout.scales(first), r);
        if (layout.has_minimum)
            parts.minimum = element<uint16_t>(panel + layout.minimums(first), r);
        parts.factors[0] = 1;
        parts.minimums[0] = 1;
        for (size_t s = 0; layout.block != kBlock && s < layout.subs(); ++s) {
            parts.factors[s] = element<int8_t>(panel + layout.factors(first, s), r);
            if (layout.has_minimum)
                parts.minimums[s] = element<uint8_t>(panel + layout.sub_minimums(first, s), r);
        }
        for (uint32_t c = 0; c < layout.block; ++c)
            parts.codes[c] =
                unpack_code(layout, panel + layout.codes(first + c / kBlock), r, c % kBlock);
        values_of_parts(quant, parts, {out + size_t{unit} * layout.block, layout.block});
    }
}

void unpack_row(const Matrix& matrix, uint32_t row, float* out) {
    const std::byte* panel = matrix.panel(row / kPanelRows);
    const uint32_t r = row % kPanelRows;
    const uint32_t cols = matrix.cols();
    switch (matrix.type()) {
        case DType::f32:
            for (uint32_t c = 0; c < cols; ++c)
                out[c] = element<float>(panel, c * kPanelRows + r);
            return;
        case DType::f16:
            for (uint32_t c = 0; c < cols; ++c)
                out[c] = f16_to_f32(element<uint16_t>(panel, c * kPanelRows + r));
            return;
        case DType::bf16:
            for (uint32_t c = 0; c < cols; ++c)
                out[c] = bf16_to_f32(element<uint16_t>(panel, c * kPanelRows + r));
            return;
        case DType::q8_0:
        case DType::q4_0: {
            const bool bytes = matrix.type() == DType::q8_0;
            const size_t block_bytes = kPanelRows * (bytes ? kBlock : kBlock / 2);
            for (uint32_t block = 0; block < cols / kBlock; ++block) {
                const std::byte* pair = panel + block / 2 * (kCacheLine + 2 * block_bytes);
                const uint32_t half = block % 2;
                const float scale = f16_to_f32(element<uint16_t>(pair, half * kPanelRows + r));
                const std::byte* values = pair + kCacheLine + half * block_bytes;
                (bytes ? unpack_bytes : unpack_nibbles)(values, r, scale, out + block * kBlock);
            }
            return;
        }
        case DType::i8c: break;
        default: unpack_quantized(matrix, panel, r, out); return;
    }
    const uint32_t group_cols = cols / matrix.scale_groups();
    const size_t group_bytes = size_t{group_cols} * kPanelRows + kCacheLine;
    for (uint32_t c = 0; c < cols; c += kBlock) {
        const std::byte* group = panel + group_bytes * (c / group_cols);
        const float scale =
            bf16_to_f32(element<uint16_t>(group + size_t{group_cols} * kPanelRows, r));
        unpack_bytes(group + size_t{c % group_cols} * kPanelRows, r, scale, out + c);
    }
}

}  // namespace core
