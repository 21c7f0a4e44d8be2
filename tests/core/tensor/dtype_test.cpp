#include "core/tensor/dtype.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

namespace core {
namespace {

// Numbers, elements and bytes per block as in ggml.h and ggml-common.h.
struct Known {
    uint32_t number;
    const char* name;
    uint32_t block, bytes;
};
constexpr Known kKnown[] = {
    {0, "f32", 1, 4},         {1, "f16", 1, 2},         {2, "q4_0", 32, 18},
    {3, "q4_1", 32, 20},      {6, "q5_0", 32, 22},      {7, "q5_1", 32, 24},
    {8, "q8_0", 32, 34},      {9, "q8_1", 32, 36},      {10, "q2_k", 256, 84},
    {11, "q3_k", 256, 110},   {12, "q4_k", 256, 144},   {13, "q5_k", 256, 176},
    {14, "q6_k", 256, 210},   {15, "q8_k", 256, 292},   {16, "iq2_xxs", 256, 66},
    {17, "iq2_xs", 256, 74},  {18, "iq3_xxs", 256, 98}, {19, "iq1_s", 256, 50},
    {20, "iq4_nl", 32, 18},   {21, "iq3_s", 256, 110},  {22, "iq2_s", 256, 82},
    {23, "iq4_xs", 256, 136}, {24, "i8", 1, 1},         {25, "i16", 1, 2},
    {26, "i32", 1, 4},        {27, "i64", 1, 8},        {28, "f64", 1, 8},
    {29, "iq1_m", 256, 56},   {30, "bf16", 1, 2},       {34, "tq1_0", 256, 54},
    {35, "tq2_0", 256, 66},   {39, "mxfp4", 32, 17},
};

TEST(DType, KnownNumbersHaveTheirNamesAndSizes) {
    for (const Known& known : kKnown) {
        const auto type = dtype_from_gguf(known.number);
        ASSERT_TRUE(type.has_value()) << known.number;
        EXPECT_EQ(traits(*type).type, *type);
        EXPECT_EQ(traits(*type).name, known.name);
        EXPECT_EQ(traits(*type).block, known.block) << known.name;
        EXPECT_EQ(traits(*type).bytes, known.bytes) << known.name;
        EXPECT_EQ(dtype_from_name(known.name), type);
    }
}

TEST(DType, EveryOtherNumberIsUnknown) {
    std::set<uint32_t> known;
    for (const Known& entry : kKnown)
        known.insert(entry.number);
    for (uint32_t number = 0; number < 1000; ++number)
        EXPECT_EQ(dtype_from_gguf(number).has_value(), known.contains(number)) << number;
    EXPECT_FALSE(dtype_from_gguf(0x10000)) << "I8C has no number in a file";
    EXPECT_FALSE(dtype_from_gguf(0xffffffff));
}

TEST(DType, I8cHasANameAndNoNumber) {
    EXPECT_EQ(dtype_from_name("i8c"), DType::i8c);
    EXPECT_EQ(traits(DType::i8c).bytes, 1u);
}

TEST(DType, NamesAreLowerCaseAndExact) {
    EXPECT_FALSE(dtype_from_name("Q8_0"));
    EXPECT_FALSE(dtype_from_name("q8"));
    EXPECT_FALSE(dtype_from_name(""));
}

TEST(DType, WhatKernelsComputeWith) {
    std::set<std::string> computable;
    for (const Known& known : kKnown)
        if (traits(*dtype_from_gguf(known.number)).computable) computable.insert(known.name);
    if (traits(DType::i8c).computable) computable.insert("i8c");
    EXPECT_EQ(computable, (std::set<std::string>{"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1",
                                                 "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k",
                                                 "q6_k", "iq4_nl", "iq4_xs", "mxfp4", "i8c"}));
}

}  // namespace
}  // namespace core
