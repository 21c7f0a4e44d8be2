// The 770 tensors of Grok-1's checkpoint by number and shape, and those of smaller models of the
// same form. Their data may be holes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/pickles.h"

namespace support {

struct Grok1Shape {
    uint64_t dim, vocab, query, kv, width, experts, layers;
};

inline constexpr Grok1Shape kGrok1Shape = {6144, 131072, 6144, 1024, 32768, 8, 64};

// Arrays of a slot, as the release has them: experts and attention outputs have scales for each of
// 8 slices of their rows, other matrices for each column.
struct Grok1Slot {
    ArrayToPickle weight;
    std::vector<ArrayToPickle> scales;  // one or none
};

inline Grok1Slot grok1_slot(const Grok1Shape& s, uint32_t index) {
    const auto quantized = [](std::vector<uint64_t> shape, uint64_t groups) {
        std::vector<uint64_t> scales = shape;
        scales[scales.size() - 2] = groups;
        return Grok1Slot{{ArrayToPickle::Type::i8, std::move(shape), {}},
                         {{ArrayToPickle::Type::bf16, std::move(scales), {}}}};
    };
    if (index == 0) return {{ArrayToPickle::Type::f32, {s.vocab, s.dim}, {}}, {}};
    if (index == 1) return {{ArrayToPickle::Type::f32, {s.dim}, {}}, {}};
    switch ((index - 2) % 12) {
        case 0:
        case 2: return quantized({s.experts, s.dim, s.width}, 1);
        case 1: return quantized({s.experts, s.width, s.dim}, 8);
        case 3:
        case 6: return quantized({s.dim, s.kv}, 1);
        case 4: return quantized({s.query, s.dim}, 8);
        case 5: return quantized({s.dim, s.query}, 1);
        case 11: return {{ArrayToPickle::Type::f32, {s.dim, s.experts}, {}}, {}};
        default: return {{ArrayToPickle::Type::f32, {s.dim}, {}}, {}};
    }
}

inline PickleFile grok1_file(const Grok1Slot& slot) {
    return slot.scales.empty() ? PickleFile(slot.weight)
                               : PickleFile(slot.weight, slot.scales.front());
}

inline uint32_t grok1_file_count(const Grok1Shape& shape) {
    return static_cast<uint32_t>(2 + 12 * shape.layers);
}

// "tensor00042_000"
inline std::string grok1_file_name(uint32_t index) {
    std::string number = std::to_string(index);
    number.insert(0, 5 - number.size(), '0');
    return "tensor" + number + "_000";
}

}  // namespace support
