#include "app/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace app {
namespace {

// Levenshtein's distance, one row at a time.
size_t edits(std::string_view a, std::string_view b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.size(); ++j) {
            const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, replaced});
        }
    }
    return row.back();
}

}  // namespace

std::string_view nearest(std::string_view wanted, std::span<const std::string_view> names) {
    return *std::min_element(names.begin(), names.end(), [wanted](auto a, auto b) {
        return edits(wanted, a) < edits(wanted, b);
    });
}

}  // namespace app
