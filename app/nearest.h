// "Did you mean ...?": the name that takes the fewest edits.
#pragma once

#include <span>
#include <string_view>

namespace app {

// REQUIRES: names is not empty.
std::string_view nearest(std::string_view wanted, std::span<const std::string_view> names);

}  // namespace app
