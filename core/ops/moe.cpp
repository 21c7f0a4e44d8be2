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

using Plan = BranchBuffers::Plan;

// Lays the branches' rows out one after the other; returns the number of rows of all of them.
uint32_t plan(std::span<const GatedBranch> branches, uint32_t x_rows, BranchBuffers& buffers) {
    uint32_t rows = 0;
    size_t floats = 0;
    buffers.plans.clear();
    for (const GatedBranch& branch : branches) {
        const auto own = static_cast<uint32_t>(branch.rows.size());
        // As many rows as x has, ascending, are all of them: a decode step gathers nothing.
        const bool all = own == 0 || own == x_rows;
        const uint32_t tokens = all ? x_rows : own;
        buffers.plans.push_back({tokens, rows, floats, all});
        rows += tokens;
        floats += size_t{tokens} * branch.gate->rows();
    }
    const size_t count = branches.size();
    buffers.gathered.resize(std::max(buffers.gathered.size(), count));
    buffers.gated.resize(std::max(buffers.gated.size(), count));
    buffers.gate.resize(std::max(buffers.gate.size(), floats));
    buffers.up.resize(std::max(buffers.up.size(), floats));
    return rows;
}

// The branch that row `row` of all branches' rows belongs to.
size_t branch_of(const std::vector<Plan>& plans, uint32_t row) {
    const auto next = std::upper_bound(plans.begin(), plans.end(), row,
                                       [](uint32_t r, const Plan& p) { return r < p.first_row; });
    return static_cast<size_t>(next - plans.begin()) - 1;
}

// Every gate and up product.
void expand(const Kernels& kernels, Pool& pool, std::span<const GatedBranch> branches,
            const BranchInput& shared, BranchBuffers& buffers, const CancelFlag* cancel) {
    const std::span<const float> x = shared.x;
    const uint32_t dim = shared.dim;
    const auto x_rows = static_cast<uint32_t>(x.size() / dim);
    const uint32_t rows = plan(branches, x_rows, buffers);
    buffers.all.begin(x_rows, dim);
    buffers.jobs.clear();
    bool any_takes_all = false;
    for (size_t i = 0; i < branches.size(); ++i) {
        const GatedBranch& branch = branches[i];
        const Plan& p = buffers.plans[i];
        MatmulInput& input = p.all ? buffers.all : buffers.gathered[i];
        any_takes_all |= p.all;
        if (!p.all) input.begin(p.tokens, dim);
        const size_t width = branch.gate->rows();
        buffers.jobs.push_back(
            {branch.gate, input.want(branch.gate->type()), buffers.gate.data() + p.offset, width});
        buffers.jobs.push_back(
            {branch.up, input.want(branch.up->type()), buffers.up.data() + p.offset, width});
    }
    if (any_takes_all)
        for_rows(pool, x_rows, dim, [&](uint32_t row) {
            buffers.all.fill_row(kernels, row, x.data() + size_t{row} * dim);
        });
    for_rows(pool, rows, dim, [&](uint32_t row) {
        const size_t i = branch_of(buffers.plans, row);
        const Plan& p = buffers.plans[i];
        if (p.all) return;
        const uint32_t token = row - p.first_row;
        buffers.gathered[i].fill_row(kernels, token,
                                     x.data() + size_t{branches[i].rows[token]} * dim);
    });
    matmul(kernels, pool, buffers.jobs, cancel);
}

}  // namespace

void router_probabilities(const VectorKernels& kernels, const Router& router, const float* x,
                          uint32_t dim, float* probabilities) {
    for (uint32_t e = 0; e < router.experts; ++e)
        probabilities[e] = kernels.dot(router.weights + size_t{e} * dim, x, dim);
    if (router.softcap != 0.0F) kernels.softcap(probabilities, router.softcap, router.experts);
    kernels.softmax(probabilities, router.experts);
}

float sigmoid_gate(const VectorKernels& kernels, const float* w, const float* x, uint32_t dim) {
    float scores[2] = {kernels.dot(w, x, dim), 0.0F};
    kernels.softmax(scores, 2);
    return scores[0];
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
                    const BranchInput& input, BranchBuffers& buffers, const CancelFlag* cancel) {
    expand(kernels, pool, branches, input, buffers, cancel);

    const auto apply = input.function == GateFunction::silu ? kernels.vector->silu_gate
                                                            : kernels.vector->gelu_gate;
    buffers.jobs.clear();
    uint32_t rows = 0;
    size_t floats = 0;
    for (size_t i = 0; i < branches.size(); ++i) {
        const GatedBranch& branch = branches[i];
        const Plan& p = buffers.plans[i];
        buffers.gated[i].begin(p.tokens, branch.down->cols());
        buffers.jobs.push_back(
            {branch.down, buffers.gated[i].want(branch.down->type()), branch.out, input.dim});
        rows += p.tokens;
        floats += size_t{p.tokens} * branch.down->cols();
    }
    // An activation costs about as much as four plain elements.
    for_rows(pool, rows, 4 * floats / std::max(rows, 1U), [&](uint32_t row) {
        const size_t i = branch_of(buffers.plans, row);
        const Plan& p = buffers.plans[i];
        const uint32_t width = branches[i].down->cols();
        const uint32_t token = row - p.first_row;
        float* gate = buffers.gate.data() + p.offset + size_t{token} * width;
        apply(gate, buffers.up.data() + p.offset + size_t{token} * width, width, gate);
        buffers.gated[i].fill_row(kernels, token, gate);
    });
    matmul(kernels, pool, buffers.jobs, cancel);
}

}  // namespace core
