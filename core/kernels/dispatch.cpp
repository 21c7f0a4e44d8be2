// Builds the table of each tier once and chooses among those that the CPU can run.

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/base/cpu.h"
#include "core/base/error.h"
#include "core/kernels/kernels.h"
#include "core/kernels/tiers.h"
#include "core/kernels/vector.h"

namespace core {
namespace {

struct Tier {
    std::string_view name;
    bool runnable;
    void (*apply)(Kernels&);
    const VectorKernels& (*vector)();
};

// From the plainest to the best; each tier starts from the table of the one before.
std::vector<Tier> tiers() {
    std::vector<Tier> list = {{"scalar", true, apply_scalar, vector_kernels_scalar}};
#if MOXIE_X86_TIERS
    list.push_back({"avx2", cpu_features().avx2, apply_avx2, vector_kernels_avx2});
    list.push_back(
        {"avx512vnni", cpu_features().avx512vnni, apply_avx512vnni, vector_kernels_avx512});
#endif
    return list;
}

// Tables of the runnable tiers. The pointers stay valid: the vector is complete when they are made.
struct Tables {
    std::vector<Kernels> tables;
    std::vector<const Kernels*> pointers;

    Tables() {
        Kernels kernels;
        for (const Tier& tier : tiers()) {
            if (!tier.runnable) break;
            tier.apply(kernels);
            kernels.vector = &tier.vector();
            tables.push_back(kernels);
        }
        for (const Kernels& table : tables) {
            pointers.push_back(&table);
        }
    }
};

const Tables& all_tables() {
    static const Tables tables;
    return tables;
}

std::string known_names() {
    std::string names;
    for (const Tier& tier : tiers()) {
        names += (names.empty() ? "" : ", ") + std::string(tier.name);
    }
    return names;
}

}  // namespace

void (*matmul_kernel(const Kernels& kernels, DType type))(const PanelProduct&) {
    switch (type) {
        case DType::f32: return kernels.matmul_f32;
        case DType::f16: return kernels.matmul_f16;
        case DType::bf16: return kernels.matmul_bf16;
        case DType::q8_0: return kernels.matmul_q8_0;
        case DType::q4_0: return kernels.matmul_q4_0;
        case DType::i8c: return kernels.matmul_i8c;
        default: break;
    }
    const size_t index = quant_index(type);
    MOXIE_CHECK(index < kQuantTypeCount);
    return kernels.matmul_quants[index];
}

const Kernels& select_kernels(std::string_view isa) {
    std::string_view origin = "--isa";
    if (isa.empty()) {
        // Read before other threads start, and nothing of ours writes the environment.
        const char* variable = std::getenv("MOXIE_ISA");  // NOLINT(concurrency-mt-unsafe)
        if (variable != nullptr) isa = variable;
        origin = "MOXIE_ISA";
    }
    if (isa.empty()) return *all_kernels().back();
    for (const Kernels* kernels : all_kernels()) {
        if (kernels->name == isa) return *kernels;
    }
    for (const Tier& tier : tiers()) {
        if (tier.name == isa) {
            throw Error(ErrorKind::usage, std::string(origin),
                        "this CPU cannot run \"" + std::string(isa) + "\"",
                        "the best it runs is " + std::string(all_kernels().back()->name));
        }
    }
    throw Error(ErrorKind::usage, std::string(origin), "\"" + std::string(isa) + "\" is not known",
                "use one of " + known_names());
}

std::span<const Kernels* const> all_kernels() {
    return all_tables().pointers;
}

}  // namespace core
