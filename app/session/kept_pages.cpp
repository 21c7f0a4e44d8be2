#include "app/session/kept_pages.h"

#include <filesystem>
#include <span>

#include "core/base/paths.h"
#include "core/kv/disk_store.h"
#include "core/model/identity.h"

namespace app {
namespace {

// Nothing is written through such a store, so no budget is kept to.
constexpr uint64_t kNoBudget = 0;

constexpr uint32_t kCacheVersion = core::kPageFileVersion << 16U | core::kNumericsVersion;

double seconds(double amount, double rate) {
    return rate > 0 ? amount / rate : 0;
}

}  // namespace

core::CachedLine cached_line(const chat::Finished& finished) {
    return {.root = finished.cache_root, .version = kCacheVersion, .ids = finished.cached_line};
}

std::string default_kv_folder() {
    return core::cache_folder() + "/kv";
}

std::optional<chat::KvEntry> pages_of(const std::string& folder,
                                      const core::ConversationHead& head) {
    std::error_code ignored;
    if (!head.line || head.line->line.version != kCacheVersion ||
        !std::filesystem::exists(head.model.path, ignored))
        return std::nullopt;
    const core::CachedLine& line = head.line->line;
    core::DiskStore disk(folder, kNoBudget);
    chat::KvEntry entry{.tokens = static_cast<uint32_t>(line.ids.size())};
    for (const core::FoundPage& page : disk.find(line.root, line.root, line.ids, 0)) {
        entry.on_disk += page.rows;
        const auto bytes =
            std::filesystem::file_size(folder + "/" + core::page_path(page.address), ignored);
        if (!ignored) entry.disk_bytes += bytes;
    }
    entry.restore_seconds =
        seconds(static_cast<double>(entry.disk_bytes), head.line->bytes_per_second);
    entry.reread_seconds = seconds(entry.tokens - entry.on_disk, head.line->tokens_per_second);
    return entry;
}

void forget_pages(const std::string& folder, const std::vector<core::CachedLine>& lines) {
    core::DiskStore disk(folder, kNoBudget);
    for (const core::CachedLine& line : lines)
        disk.drop(line.root, std::span(&line.ids, 1));
}

}  // namespace app
