// The id of a token in a model's vocabulary. Negative: none.
#pragma once

#include <cstdint>

namespace core {

using TokenId = int32_t;

}  // namespace core
