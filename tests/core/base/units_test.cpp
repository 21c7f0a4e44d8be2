#include "core/base/units.h"

#include <gtest/gtest.h>

namespace core {
namespace {

TEST(Units, BytesHaveAtMostThreeDigits) {
    EXPECT_EQ(human_bytes(0), "0 B");
    EXPECT_EQ(human_bytes(999), "999 B");
    EXPECT_EQ(human_bytes(1000), "1.0 kB");
    EXPECT_EQ(human_bytes(310'400'000), "310 MB");
    EXPECT_EQ(human_bytes(999'499), "999 kB");
    EXPECT_EQ(human_bytes(999'500), "1.0 MB");
    EXPECT_EQ(human_bytes(1'234'000'000), "1.2 GB");
    EXPECT_EQ(human_bytes(~uint64_t{0}), "18447 PB");
}

TEST(Units, SecondsAreAsExactAsAPersonWantsThem) {
    EXPECT_EQ(human_seconds(0), "0 ms");
    EXPECT_EQ(human_seconds(0.0804), "80 ms");
    EXPECT_EQ(human_seconds(0.2), "0.2 s");
    EXPECT_EQ(human_seconds(9.96), "10 s");
    EXPECT_EQ(human_seconds(41.2), "41 s");
    EXPECT_EQ(human_seconds(180), "3 min");
}

TEST(Units, ThousandsAreSeparated) {
    EXPECT_EQ(with_commas(0), "0");
    EXPECT_EQ(with_commas(999), "999");
    EXPECT_EQ(with_commas(3120), "3,120");
    EXPECT_EQ(with_commas(1'234'567), "1,234,567");
    EXPECT_EQ(with_commas(100'000), "100,000");
}

TEST(Units, OneIsNotMany) {
    EXPECT_EQ(counted(0, "page"), "0 pages");
    EXPECT_EQ(counted(1, "page"), "1 page");
    EXPECT_EQ(counted(1200, "page"), "1,200 pages");
}

}  // namespace
}  // namespace core
