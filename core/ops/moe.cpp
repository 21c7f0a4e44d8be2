#include "core/ops/moe.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/ops/elementwise.h"

namespace core {
namespace {

// The `active` most probable experts, ids ascending. A comparison with NaN is false, so a row of
// NaN still gets distinct experts.
void choose(std::span<const float> probabilities, std::span<uint32_t> chosen) {
    for (size_t k = 0; k < chosen.size(); ++k) {
        const auto taken = chosen.first(k);
        bool found = false;
        for (uint32_t e = 0; e < probabilities.size(); ++e) {
            if (std::find(taken.begin(), taken.end(), e) != taken.end()) continue;
            if (!found || probabilities[e] > probabilities[chosen[k]]) chosen[k] = e;
            found = true;
        }
    }
    std::sort(chosen.begin(), chosen.end());
}

// Where a branch's rows lie in the gate and up buffers.
struct BranchPlan {
    uint32_t tokens = 0;
    size_t offset = 0;  // floats
};

}  // namespace

void router_probabilities(const VectorKernels& kernels, const Router& router, const float* x,
                          uint32_t dim, float* probabilities) {
    for (uint32_t e = 0; e < router.experts; ++e)
        probabilities[e] = kernels.dot(router.weights + size_t{e} * dim, x, dim);
    if (router.softcap != 0.0F) kernels.softcap(probabilities, router.softcap, router.experts);
    kernels.softmax(probabilities, router.experts);
}

void Routing::assign(const Router& router, std::span<const float> probabilities) {
    const size_t count = probabilities.size() / router.experts;
    active = router.active;
    experts.resize(count * active);
    weights.resize(count * active);
    places.resize(count * active);
    rows.resize(count * active);
    begin.assign(router.experts + 1, 0);
    for (size_t row = 0; row < count; ++row) {
        const auto all = probabilities.subspan(row * router.experts, router.experts);
        const auto chosen = std::span(experts).subspan(row * active, active);
        choose(all, chosen);
        float total = 0.0F;
        for (const uint32_t e : chosen)
            total += all[e];
        for (size_t k = 0; k < active; ++k) {
            const float p = all[chosen[k]];
            weights[row * active + k] = router.renormalize ? p / total : p;
            ++begin[chosen[k] + 1];
        }
    }
    for (uint32_t e = 0; e < router.experts; ++e)
        begin[e + 1] += begin[e];
    std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
    for (size_t i = 0; i < experts.size(); ++i) {
        places[i] = next[experts[i]]++;
        rows[places[i]] = static_cast<uint32_t>(i / active);
    }
}

void gated_branches(const Kernels& kernels, Pool& pool, std::span<const GatedBranch> branches,
                    GateFunction function, std::span<const float> x, uint32_t dim,
                    BranchBuffers& buffers, const CancelFlag* cancel) {
    const auto total_rows = static_cast<uint32_t>(x.size() / dim);
    buffers.gathered.resize(std::max(buffers.gathered.size(), branches.size()));
    buffers.gated.resize(std::max(buffers.gated.size(), branches.size()));
    std::vector<BranchPlan> plans;
    size_t floats = 0;
    for (const GatedBranch& branch : branches) {
        const auto rows = static_cast<uint32_t>(branch.rows.size());
        plans.push_back({branch.rows.empty() ? total_rows : rows, floats});
        floats += size_t{plans.back().tokens} * branch.gate->rows();
    }
    buffers.gate.resize(std::max(buffers.gate.size(), floats));
    buffers.up.resize(std::max(buffers.up.size(), floats));

    buffers.all.assign(x.data(), dim, total_rows, dim);
    buffers.jobs.clear();
    for (size_t i = 0; i < branches.size(); ++i) {
        const GatedBranch& branch = branches[i];
        MatmulInput* input = &buffers.all;
        // As many rows as x has, ascending, are all of them: a decode step gathers nothing.
        if (plans[i].tokens != total_rows) {
            input = &buffers.gathered[i];
            input->assign(x.data(), dim, plans[i].tokens, dim, branch.rows);
        }
        float* gate = buffers.gate.data() + plans[i].offset;
        float* up = buffers.up.data() + plans[i].offset;
        const size_t width = branch.gate->rows();
        buffers.jobs.push_back({branch.gate, input->as(kernels, branch.gate->type()), gate, width});
        buffers.jobs.push_back({branch.up, input->as(kernels, branch.up->type()), up, width});
    }
    matmul(kernels, pool, buffers.jobs, cancel);

    const auto gate_kernel =
        function == GateFunction::silu ? kernels.vector->silu_gate : kernels.vector->gelu_gate;
    buffers.jobs.clear();
    for (size_t i = 0; i < branches.size(); ++i) {
        const GatedBranch& branch = branches[i];
        const uint32_t width = branch.gate->rows();
        float* gate = buffers.gate.data() + plans[i].offset;
        const float* up = buffers.up.data() + plans[i].offset;
        for_rows(pool, plans[i].tokens, size_t{4} * width, [&](uint32_t row) {
            const size_t at = size_t{row} * width;
            gate_kernel(gate + at, up + at, width, gate + at);
        });
        MatmulInput& gated = buffers.gated[i];
        gated.assign(gate, width, plans[i].tokens, width);
        buffers.jobs.push_back(
            {branch.down, gated.as(kernels, branch.down->type()), branch.out, dim});
    }
    matmul(kernels, pool, buffers.jobs, cancel);
}

}  // namespace core
