// What the CPU can do and how much of it this process may use.
#pragma once

#include <cstdint>

namespace core {

struct CpuFeatures {
    bool avx2 = false;        // AVX2, FMA and F16C together
    bool avx512vnni = false;  // AVX-512 F, BW, DQ, VL and VNNI together, enabled by the OS
};

// Read once from CPUID and XGETBV.
const CpuFeatures& cpu_features();

// Physical cores allowed by the affinity mask and the cgroup's CPU quota (v1 and v2). At least 1.
unsigned physical_cores();

// Bytes that can be allocated without swapping: MemAvailable, limited by the cgroup.
uint64_t available_memory();

// Bytes of memory that this process has now; 0 = the system does not tell.
uint64_t resident_memory();

}  // namespace core
