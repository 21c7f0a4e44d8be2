// What the process may use of the machine.

#include "core/base/cpu.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

#include <gtest/gtest.h>

namespace core {
namespace {

TEST(Cpu, AvxFeaturesAgreeWithTheKernelsList) {
    std::ifstream file("/proc/cpuinfo");
    std::string line;
    while (std::getline(file, line) && line.rfind("flags", 0) != 0) {
    }
    if (line.empty()) GTEST_SKIP() << "/proc/cpuinfo lists no flags";
    const auto has = [&](const std::string& flag) {
        return (line + " ").find(" " + flag + " ") != std::string::npos;
    };
    EXPECT_EQ(cpu_features().avx2, has("avx2") && has("fma") && has("f16c"));
    EXPECT_EQ(cpu_features().avx512vnni, has("avx2") && has("fma") && has("f16c") &&
                                             has("avx512f") && has("avx512bw") && has("avx512dq") &&
                                             has("avx512vl") && has("avx512_vnni"));
}

TEST(Cpu, CoresFollowTheAffinityMask) {
    const unsigned all = physical_cores();
    EXPECT_GE(all, 1U);
    EXPECT_LE(all, std::max(1U, std::thread::hardware_concurrency()));
    unsigned one = 0;
    std::thread([&] {
        cpu_set_t mask;
        CPU_ZERO(&mask);
        CPU_SET(static_cast<size_t>(sched_getcpu()), &mask);
        ASSERT_EQ(sched_setaffinity(0, sizeof(mask), &mask), 0);
        one = physical_cores();
    }).join();
    EXPECT_EQ(one, 1U);
}

TEST(Cpu, AvailableMemoryIsAPartOfTheMachine) {
    std::ifstream file("/proc/meminfo");
    std::string key;
    uint64_t kibibytes = 0;
    ASSERT_TRUE(file >> key >> kibibytes);
    ASSERT_EQ(key, "MemTotal:");
    EXPECT_GT(available_memory(), uint64_t{16} << 20);
    EXPECT_LT(available_memory(), kibibytes * 1024);
}

}  // namespace
}  // namespace core
