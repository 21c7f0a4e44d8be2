// What a weight file recommends for sampling from its model: the keys general.sampling.* of GGUF.
#pragma once

#include <map>
#include <string>

#include "core/formats/weight_file.h"

namespace core {

// Values by the names that /set has, as texts. Recommendations that this engine has no parameter
// for are left out.
std::map<std::string, std::string> sampling_hints(const WeightFile& file);

}  // namespace core
