// Packing: every value is found again where matrix.h says it lies.

#include "core/tensor/matrix.h"

#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/tensor/block_parts.h"
#include "core/tensor/panel_layout.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

std::vector<std::byte> random_bytes(size_t count, uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> bytes(count);
    for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>(random());
    }
    return bytes;
}

// Rebuilds the storage blocks of a row-major tensor from the panels, by the words of matrix.h.
class Unpacker {
  public:
    explicit Unpacker(const Matrix& matrix) : m_(matrix) {}

    std::vector<std::byte> elements(size_t size) const {
        std::vector<std::byte> out(size * m_.rows() * m_.cols());
        for (size_t row = 0; row < m_.rows(); ++row) {
            for (size_t col = 0; col < m_.cols(); ++col) {
                std::memcpy(&out[(row * m_.cols() + col) * size],
                            at(row, (col * 16 + row % 16) * size), size);
            }
        }
        return out;
    }

    std::vector<std::byte> q8_0() const {
        std::vector<std::byte> out;
        for (size_t row = 0; row < m_.rows(); ++row) {
            for (size_t block = 0; block < m_.cols() / 32; ++block) {
                append_scale(out, row, block / 2 * 1088 + block % 2 * 32);
                for (size_t col = 0; col < 32; ++col) {
                    const std::byte* w =
                        at(row, block / 2 * 1088 + 64 + block % 2 * 512 + byte_of(row, col));
                    out.push_back(*w ^ std::byte{128});
                }
            }
        }
        return out;
    }

    std::vector<std::byte> q4_0() const {
        std::vector<std::byte> out;
        for (size_t row = 0; row < m_.rows(); ++row) {
            for (size_t block = 0; block < m_.cols() / 32; ++block) {
                append_scale(out, row, block / 2 * 576 + block % 2 * 32);
                for (size_t col = 0; col < 16; ++col) {  // columns col and col + 16 share a byte
                    out.push_back(
                        *at(row, block / 2 * 576 + 64 + block % 2 * 256 + byte_of(row, col)));
                }
            }
        }
        return out;
    }

    std::vector<std::byte> i8c_values() const {
        std::vector<std::byte> out;
        for (size_t row = 0; row < m_.rows(); ++row) {
            for (size_t col = 0; col < m_.cols(); ++col) {
                const size_t scales_before = col / group_cols() * 64;
                const std::byte* w =
                    at(row, col / 32 * 512 + scales_before + byte_of(row, col % 32));
                out.push_back(*w ^ std::byte{128});
            }
        }
        return out;
    }

    std::vector<std::byte> i8c_scales() const {
        std::vector<std::byte> out;
        for (size_t row = 0; row < m_.rows(); ++row) {
            for (size_t group = 0; group < m_.scale_groups(); ++group) {
                append_scale(out, row, (group + 1) * group_cols() * 16 + group * 64);
            }
        }
        return out;
    }

  private:
    size_t group_cols() const { return m_.cols() / m_.scale_groups(); }
    const std::byte* at(size_t row, size_t offset) const {
        return m_.panel(static_cast<uint32_t>(row / 16)) + offset;
    }
    static size_t byte_of(size_t row, size_t col) { return col / 4 * 64 + row % 16 * 4 + col % 4; }
    void append_scale(std::vector<std::byte>& out, size_t row, size_t scales) const {
        const std::byte* scale = at(row, scales + row % 16 * 2);
        out.insert(out.end(), scale, scale + 2);
    }

    const Matrix& m_;
};

TEST(Matrix, UnpacksToWhatWasPacked) {
    for (uint32_t rows : {1U, 15U, 16U, 17U, 40U}) {
        for (uint32_t cols : {32U, 96U, 160U}) {
            const auto f32 = random_bytes(size_t{4} * rows * cols, rows);
            EXPECT_EQ(Unpacker(pack({.type = DType::f32, .rows = rows, .cols = cols, .data = f32}))
                          .elements(4),
                      f32);
            for (DType type : {DType::f16, DType::bf16}) {
                const auto half = random_bytes(size_t{2} * rows * cols, rows);
                EXPECT_EQ(Unpacker(pack({.type = type, .rows = rows, .cols = cols, .data = half}))
                              .elements(2),
                          half);
            }
            const auto q8 = random_bytes(size_t{34} * rows * cols / 32, rows);
            EXPECT_EQ(Unpacker(pack({.type = DType::q8_0, .rows = rows, .cols = cols, .data = q8}))
                          .q8_0(),
                      q8);
            const auto q4 = random_bytes(size_t{18} * rows * cols / 32, rows);
            EXPECT_EQ(Unpacker(pack({.type = DType::q4_0, .rows = rows, .cols = cols, .data = q4}))
                          .q4_0(),
                      q4);
        }
    }
}

TEST(Matrix, UnpacksI8CWithItsScales) {
    for (uint32_t groups : {1U, 2U, 4U}) {
        const uint32_t rows = 19;
        const uint32_t cols = 256;
        const auto values = random_bytes(size_t{rows} * cols, groups);
        const auto scales = random_bytes(size_t{2} * rows * groups, groups + 10);
        const Matrix packed = pack({.type = DType::i8c,
                                    .rows = rows,
                                    .cols = cols,
                                    .data = values,
                                    .scales = scales,
                                    .scale_groups = groups});
        EXPECT_EQ(packed.scale_groups(), groups);
        EXPECT_EQ(Unpacker(packed).i8c_values(), values);
        EXPECT_EQ(Unpacker(packed).i8c_scales(), scales);
    }
}

// panel_layout.h, by way of what the rows mean: every bit of a block counts.
TEST(Matrix, EveryQuantizedTypeUnpacksToWhatItsBlocksMean) {
    for (const DType type : kQuantTypes) {
        const QuantLayout& quant = *quant_layout(type);
        const PanelLayout layout = panel_layout(type);
        EXPECT_EQ(layout.block, quant.block) << traits(type).name;
        EXPECT_EQ(layout.sub, quant.sub) << traits(type).name;
        EXPECT_EQ(layout.has_minimum, quant.has_minimum) << traits(type).name;
        for (const uint32_t blocks : {1U, 3U}) {
            const uint32_t cols = blocks * quant.block;
            constexpr uint32_t kRows = 19;
            auto bytes = random_bytes(kRows * row_bytes(type, cols), 17);
            // No infinities, whose payload of bits is nobody's business.
            for (std::byte& byte : bytes)
                byte &= std::byte{0x7b};
            const Matrix matrix = pack({.type = type, .rows = kRows, .cols = cols, .data = bytes});
            std::vector<float> expected(cols);
            std::vector<float> row(cols);
            for (uint32_t r = 0; r < kRows; ++r) {
                dequantize_row(type,
                               std::span(bytes)
                                   .subspan(r * row_bytes(type, cols))
                                   .first(row_bytes(type, cols)),
                               expected);
                unpack_row(matrix, r, row.data());
                EXPECT_EQ(row, expected) << traits(type).name << " row " << r;
            }
        }
    }
}

// What a packed weight costs, in bits: docs/decisions/012 says these.
TEST(Matrix, PackedTypesCostLittleMoreThanInTheFile) {
    for (const DType type : kQuantTypes) {
        const double packed = static_cast<double>(packed_panel_bytes(type, 4096, 0)) / 16;
        const double stored = static_cast<double>(row_bytes(type, 4096));
        EXPECT_LE(packed, stored * 1.2) << traits(type).name;
    }
    EXPECT_EQ(packed_panel_bytes(DType::q4_k, 256, 0) * 8, 16 * 256 * 4.625);
    EXPECT_EQ(packed_panel_bytes(DType::q6_k, 256, 0) * 8, 16 * 256 * 6.625);
}

TEST(Matrix, PanelsAreAlignedAndMissingRowsAreZero) {
    struct Case {
        DType type;
        uint32_t cols;  // half a cache line over, so that panels need padding
        size_t row_bytes;
    };
    for (const auto& [type, cols, row_bytes] :
         {Case{DType::f32, 7, 28}, Case{DType::f16, 33, 66}, Case{DType::q8_0, 96, 102},
          Case{DType::q4_0, 96, 54}}) {
        const std::vector<std::byte> data(row_bytes * 3, std::byte{0xff});
        const Matrix packed = pack({.type = type, .rows = 3, .cols = cols, .data = data});
        EXPECT_EQ(packed.panel_bytes() % 64, 0U);
        EXPECT_GE(packed.panel_bytes(), row_bytes * 16);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(packed.panel(0)) % 64, 0U);
        size_t written = 0;
        for (size_t i = 0; i < packed.panel_bytes(); ++i) {
            written += packed.panel(0)[i] != std::byte{0} ? 1U : 0U;
        }
        EXPECT_EQ(written, row_bytes * 3);  // Q8_0 values 0xff become 0x7f: still not zero
    }
}

TEST(Matrix, PanelsPackedFromSeveralThreadsAreTheSame) {
    const uint32_t rows = 1000;
    const auto data = random_bytes(size_t{34} * rows * 64 / 32, 77);
    const MatrixSource source{.type = DType::q8_0, .rows = rows, .cols = 64, .data = data};
    const Matrix whole = pack(source);
    MatrixBuilder builder(source);
    std::thread other([&] { builder.pack(0, 20); });
    builder.pack(20, builder.panels());
    other.join();
    const Matrix parts = builder.finish();
    ASSERT_EQ(parts.bytes(), whole.bytes());
    EXPECT_EQ(std::memcmp(parts.panel(0), whole.panel(0), whole.bytes()), 0);
}

TEST(Matrix, CopiesShareTheMemory) {
    const auto data = random_bytes(size_t{4} * 16 * 8, 5);
    Matrix copy;
    {
        const Matrix packed = pack({.type = DType::f32, .rows = 16, .cols = 8, .data = data});
        copy = packed;
        EXPECT_EQ(copy.panel(0), packed.panel(0));
    }
    EXPECT_EQ(Unpacker(copy).elements(4), data);  // under AddressSanitizer: still alive
}

TEST(AllocateWeights, LargeMemoryStartsOnAHugePageAndIsZero) {
    const auto memory = allocate_weights(size_t{5} << 20);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.get()) % (size_t{2} << 20), 0U);
    for (size_t i = 0; i < (size_t{5} << 20); i += 4096) {
        ASSERT_EQ(memory.get()[i], std::byte{0});
    }
}

TEST(WeightArena, SmallMatricesShareAPieceThatOutlivesTheArena) {
    const auto first = random_bytes(size_t{4} * 16 * 8, 6);
    const auto second = random_bytes(size_t{4} * 20 * 8, 7);
    std::vector<Matrix> matrices;
    {
        WeightArena arena;
        for (const auto* data : {&first, &second}) {
            MatrixBuilder builder({.type = DType::f32,
                                   .rows = static_cast<uint32_t>(data->size() / 32),
                                   .cols = 8,
                                   .data = *data},
                                  arena);
            builder.pack(0, builder.panels());
            matrices.push_back(builder.finish());
        }
    }
    EXPECT_EQ(matrices[1].panel(0), matrices[0].panel(0) + matrices[0].bytes());
    EXPECT_EQ(Unpacker(matrices[0]).elements(4), first);
    EXPECT_EQ(Unpacker(matrices[1]).elements(4), second);
}

TEST(WeightArena, FillsPieceAfterPieceAndLeavesLargeOnesAlone) {
    WeightArena arena;
    std::vector<std::shared_ptr<std::byte>> parts;
    for (int i = 0; i < 20; ++i) {
        parts.push_back(arena.allocate(size_t{7} << 20));
        EXPECT_EQ(reinterpret_cast<uintptr_t>(parts.back().get()) % 64, 0U);
        parts.back().get()[0] = std::byte{1};
        parts.back().get()[(size_t{7} << 20) - 1] = std::byte{1};  // in bounds of its piece
    }
    const auto large = arena.allocate(size_t{9} << 20);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(large.get()) % (size_t{2} << 20), 0U);
    const auto next = arena.allocate(64);  // the open piece goes on
    EXPECT_EQ(next.get(), parts.back().get() + (size_t{7} << 20));
}

}  // namespace
}  // namespace core
