// The walk of the forward pass over the layers of a model, lent to what must be known of all of
// them beforehand (reading, binding, hashing, sizing): each of those says what it does with one
// layer. Besides ForwardPass::run the only loop over layers in core/model;
// tests/core/model/families_test sees to it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace core {

// Calls visit(layer) for each, from the first to the last.
template <class Visit>
void for_each_layer(size_t layers, Visit visit) {
    for (uint32_t layer = 0; layer < layers; ++layer)
        visit(layer);
}

}  // namespace core
