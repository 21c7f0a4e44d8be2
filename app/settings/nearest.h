// "Did you mean ...?": which of some names a mistyped one was meant to be.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace app {

// The name that takes the fewest edits; two letters that changed places are one.
// REQUIRES: names is not empty.
std::string_view nearest(std::string_view wanted, std::span<const std::string_view> names);

// A name that begins with what was typed (two letters at least), or with which that begins (three),
// or else the nearest one if no more than half of it has to be edited. Nothing when no name is like
// it.
std::optional<std::string_view> similar(std::string_view wanted,
                                        std::span<const std::string_view> names);

}  // namespace app
