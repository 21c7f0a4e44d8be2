// What can go wrong with what is kept on disk, as far as somebody acts on it.
#pragma once

#include <cstdint>

namespace core {

enum class StoreTrouble : uint8_t {
    other,
    disk_full,
    read_only,
    damaged,
    not_found,
    ambiguous,
};

}  // namespace core
