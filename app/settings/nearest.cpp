#include "app/settings/nearest.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

namespace app {
namespace {

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment), with
// three rows of the table.
size_t edits(std::string_view a, std::string_view b) {
    std::vector<size_t> before(b.size() + 1);
    std::vector<size_t> last(b.size() + 1);
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        std::swap(before, last);
        std::swap(last, row);
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const bool same = a[i - 1] == b[j - 1];
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
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

std::optional<std::string_view> similar(std::string_view wanted,
                                        std::span<const std::string_view> names) {
    const auto longer = std::ranges::find_if(
        names, [wanted](auto name) { return wanted.size() > 1 && name.starts_with(wanted); });
    if (longer != names.end()) return *longer;
    const auto shorter = std::ranges::find_if(
        names, [wanted](auto name) { return name.size() > 2 && wanted.starts_with(name); });
    if (shorter != names.end()) return *shorter;
    if (names.empty()) return std::nullopt;
    const std::string_view best = nearest(wanted, names);
    if (2 * edits(wanted, best) > std::max(wanted.size(), best.size())) return std::nullopt;
    return best;
}

}  // namespace app
