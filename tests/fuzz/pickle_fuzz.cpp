#include "core/formats/pickle.h"
#include "tests/fuzz/targets.h"

namespace fuzz {
namespace {

bool lies_within(const core::PickledArray& array, size_t size) {
    return array.length <= size && array.offset <= size - array.length;
}

}  // namespace

void pickle(Bytes bytes) {
    expect(core::ErrorKind::model_unusable, [&] {
        const core::PickledTensor tensor = core::read_pickle(bytes, "fuzz");
        if (!lies_within(tensor.values, bytes.size())) __builtin_trap();
        if (tensor.scales && !lies_within(*tensor.scales, bytes.size())) __builtin_trap();
    });
}

}  // namespace fuzz
