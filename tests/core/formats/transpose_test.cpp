#include "core/formats/transpose.h"

#include <cstring>
#include <vector>

#include <gtest/gtest.h>

namespace core {
namespace {

TEST(Transpose, EveryElementOfEverySizeFindsItsPlace) {
    for (const size_t size : {1U, 2U, 4U}) {
        for (const uint64_t rows : {1U, 7U, 8U, 9U, 24U, 67U}) {
            for (const uint64_t depth : {1U, 8U, 15U, 40U}) {
                const uint64_t stride = rows + 5;
                std::vector<std::byte> in(stride * depth * size);
                for (size_t i = 0; i < in.size(); ++i)
                    in[i] = static_cast<std::byte>(i * 2654435761U >> 7);
                std::vector<std::byte> out(rows * depth * size);
                transpose(size, in.data(), stride, rows, depth, out.data());
                for (uint64_t row = 0; row < rows; ++row)
                    for (uint64_t k = 0; k < depth; ++k)
                        ASSERT_EQ(std::memcmp(&out[(row * depth + k) * size],
                                              &in[(k * stride + row) * size], size),
                                  0)
                            << size << " bytes, row " << row << " of " << rows << ", " << k
                            << " of " << depth;
            }
        }
    }
}

}  // namespace
}  // namespace core
