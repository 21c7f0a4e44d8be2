// Choosing a tier.

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/kernels/kernels.h"

namespace core {
namespace {

TEST(Dispatch, ScalarComesFirstAndTheBestLast) {
    ASSERT_FALSE(all_kernels().empty());
    EXPECT_EQ(all_kernels()[0]->name, "scalar");
    if (std::getenv("MOXIE_ISA") == nullptr) {
        EXPECT_EQ(&select_kernels(), all_kernels().back());
    }
}

TEST(Dispatch, EveryTierHasACompleteTable) {
    for (const Kernels* kernels : all_kernels()) {
        EXPECT_NE(kernels->quantize, nullptr) << kernels->name;
        EXPECT_NE(kernels->read_memory, nullptr) << kernels->name;
        EXPECT_NE(kernels->int8_work, nullptr) << kernels->name;
        EXPECT_NE(kernels->vector, nullptr) << kernels->name;
        for (DType type :
             {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0, DType::i8c}) {
            EXPECT_NE(matmul_kernel(*kernels, type), nullptr) << kernels->name;
        }
    }
}

TEST(Dispatch, ANameSelectsItsTier) {
    for (const Kernels* kernels : all_kernels()) {
        EXPECT_EQ(&select_kernels(kernels->name), kernels);
    }
}

TEST(Dispatch, TheEnvironmentLimitsTheTier) {
    ASSERT_EQ(setenv("MOXIE_ISA", "scalar", 1), 0);
    EXPECT_EQ(select_kernels().name, "scalar");
    EXPECT_EQ(&select_kernels(all_kernels().back()->name), all_kernels().back());
    ASSERT_EQ(unsetenv("MOXIE_ISA"), 0);
}

TEST(Dispatch, AnUnknownNameIsAUsageErrorThatListsTheTiers) {
    try {
        select_kernels("sse9");
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::usage);
        EXPECT_NE(std::string(error.what()).find("\"sse9\" is not known, use one of scalar"),
                  std::string::npos)
            << error.what();
    }
}

}  // namespace
}  // namespace core
