// CPU features from CPUID, cores and memory from affinity, sysfs and cgroups.
//
// In a container the cgroup path of /proc/self/cgroup may not exist below the mount point; then
// only the mount point itself is read, which is the container's own limit.

#include "core/base/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace core {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

#if defined(__x86_64__)

// Which register files the operating system saves: bits of XCR0.
uint64_t enabled_state() {
    uint32_t low = 0;
    uint32_t high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t{high} << 32) | low;
}

CpuFeatures read_features() {
    constexpr uint64_t kYmmState = 0x06;  // SSE and AVX
    constexpr uint64_t kZmmState = 0xe6;  // and opmask, upper halves, upper registers
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
    uint32_t d = 0;
    CpuFeatures features;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return features;
    const bool os_saves = (c & bit_OSXSAVE) != 0;
    const bool fma_f16c = (c & bit_FMA) != 0 && (c & bit_F16C) != 0;
    if (!os_saves || !fma_f16c || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
    const uint64_t state = enabled_state();
    features.avx2 = (b & bit_AVX2) != 0 && (state & kYmmState) == kYmmState;
    constexpr uint32_t kAvx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    features.avx512vnni = features.avx2 && (b & kAvx512) == kAvx512 && (c & bit_AVX512VNNI) != 0 &&
                          (state & kZmmState) == kZmmState;
    return features;
}

#else

CpuFeatures read_features() {
    return {};
}

#endif

template <class Value>
std::optional<Value> read_number(const std::string& path) {
    std::ifstream file(path);
    Value value{};
    if (file >> value) return value;
    return std::nullopt;
}

// Folders that may hold this process's limits for a cgroup v1 controller ("" = v2), deepest first.
std::vector<std::string> cgroup_folders(const std::string& controller) {
    const std::string mount =
        controller.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller;
    std::vector<std::string> folders;
    std::ifstream file("/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const size_t first = line.find(':');
        const size_t second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        std::string names = ",";
        names.append(line, first + 1, second - first - 1).append(",");
        if (names.find("," + controller + ",") == std::string::npos) continue;
        std::string path = line.substr(second + 1);
        // A limit of any ancestor binds as well.
        while (path.size() > 1) {
            folders.push_back(mount + path);
            path.resize(path.rfind('/'));
        }
    }
    folders.push_back(mount);
    return folders;
}

// CPUs of the cgroup's quota: 1.5 means three halves of a core's time.
double quota_cpus() {
    double cpus = std::numeric_limits<double>::infinity();
    for (const std::string& folder : cgroup_folders("")) {
        std::ifstream file(folder + "/cpu.max");  // "max 100000" or "150000 100000"
        double quota = 0;
        double period = 0;
        if (file >> quota >> period && period > 0) cpus = std::min(cpus, quota / period);
    }
    for (const std::string& folder : cgroup_folders("cpu")) {
        const auto quota = read_number<double>(folder + "/cpu.cfs_quota_us");  // -1 = none
        const auto period = read_number<double>(folder + "/cpu.cfs_period_us");
        if (quota && period && *quota > 0 && *period > 0) {
            cpus = std::min(cpus, *quota / *period);
        }
    }
    return cpus;
}

// Distinct (package, core) pairs among the CPUs of the affinity mask.
unsigned cores_of_affinity() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
    }
    std::set<std::pair<int, int>> cores;
    unsigned without_topology = 0;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed)) continue;
        const std::string topology =
            "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
        const auto package = read_number<int>(topology + "physical_package_id");
        const auto core = read_number<int>(topology + "core_id");
        if (package && core) {
            cores.emplace(*package, *core);
        } else {
            ++without_topology;
        }
    }
    return static_cast<unsigned>(cores.size()) + without_topology;
}

// What a cgroup still grants: its limit less its use, not counting page cache it can drop.
uint64_t cgroup_memory(const std::string& limit_path, const std::string& use_path,
                       const std::string& stat_path, const std::string& cache_key) {
    const auto limit = read_number<uint64_t>(limit_path);  // "max" of v2 is no number
    const auto use = read_number<uint64_t>(use_path);
    if (!limit || !use) return kUnlimited;
    uint64_t cache = 0;
    std::ifstream stat(stat_path);
    std::string key;
    for (uint64_t value = 0; stat >> key >> value;) {
        if (key == cache_key) cache = value;
    }
    const uint64_t held = *use - std::min(*use, cache);
    return *limit - std::min(*limit, held);
}

}  // namespace

const CpuFeatures& cpu_features() {
    static const CpuFeatures features = read_features();
    return features;
}

unsigned physical_cores() {
    const unsigned cores = std::max(1U, cores_of_affinity());
    const double quota = quota_cpus();
    // Rounded down: a thread too many is stopped by the kernel in the middle of a region.
    if (quota < cores) return std::max(1U, static_cast<unsigned>(quota));
    return cores;
}

uint64_t available_memory() {
    uint64_t available = kUnlimited;
    std::ifstream meminfo("/proc/meminfo");
    for (std::string line; std::getline(meminfo, line);) {
        std::istringstream fields(line);
        std::string key;
        uint64_t kibibytes = 0;
        if (fields >> key >> kibibytes && key == "MemAvailable:") available = kibibytes * 1024;
    }
    for (const std::string& folder : cgroup_folders("")) {
        available =
            std::min(available, cgroup_memory(folder + "/memory.max", folder + "/memory.current",
                                              folder + "/memory.stat", "inactive_file"));
    }
    for (const std::string& folder : cgroup_folders("memory")) {
        available =
            std::min(available, cgroup_memory(folder + "/memory.limit_in_bytes",
                                              folder + "/memory.usage_in_bytes",
                                              folder + "/memory.stat", "total_inactive_file"));
    }
    return available;
}

uint64_t resident_memory() {
    uint64_t all_pages = 0;
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> all_pages >> pages;
    const long page_bytes = ::sysconf(_SC_PAGESIZE);
    return page_bytes > 0 ? pages * static_cast<uint64_t>(page_bytes) : 0;
}

}  // namespace core
