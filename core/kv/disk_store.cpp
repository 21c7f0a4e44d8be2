#include "core/kv/disk_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/paths.h"

namespace core {
namespace {

namespace fs = std::filesystem;
using SystemTime = std::chrono::system_clock::time_point;

constexpr std::string_view kTemporarySuffix = ".part";
// A writer needs milliseconds; what is older than this was left by one that was killed.
constexpr auto kTemporaryLife = std::chrono::minutes(10);

// Other processes write too, so the total is measured again after this share of the budget has been
// written here; evicting the same share makes room for more than one page.
constexpr uint64_t kTidyShare = 16;

// 64 ids each. More children than that are looked at again when they are needed.
constexpr size_t kMostIds = size_t{1} << 16U;

constexpr auto kFailureInterval = std::chrono::minutes(1);

class File {
  public:
    File(const std::string& path, int flags, mode_t mode = 0)
        : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {}
    explicit File(int fd) : fd_(fd) {}
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    int fd() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }

  private:
    int fd_;
};

// Direct access moves whole blocks. Below a quarter of a megabyte the system's reading ahead gains
// more than its copy costs.
bool suits_direct_access(std::span<const std::byte> memory) {
    constexpr size_t kLeast = size_t{256} << 10U;
    const auto at = reinterpret_cast<uintptr_t>(memory.data());
    return memory.size() >= kLeast && memory.size() % kPageHeaderBytes == 0 &&
           at % kPageHeaderBytes == 0;
}

// Whether most of a file is in the system's memory, where a copy is faster than the disk. True also
// when the system does not tell.
bool is_cached(int file, size_t bytes) {
    constexpr size_t kSystemPage = 4096;
    void* const map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) return true;
    std::vector<unsigned char> pages(bytes / kSystemPage + 1);
    const bool told = ::mincore(map, bytes, pages.data()) == 0;
    ::munmap(map, bytes);
    const auto cached = std::ranges::count_if(pages, [](auto page) { return (page & 1U) != 0; });
    return !told || static_cast<size_t>(cached) > pages.size() / 2;
}

std::array<timespec, 2> times_of(SystemTime last_use) {
    using std::chrono::nanoseconds;
    const auto since = std::chrono::duration_cast<nanoseconds>(last_use.time_since_epoch()).count();
    constexpr int64_t kSecond = 1'000'000'000;
    return {timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
            timespec{.tv_sec = since / kSecond, .tv_nsec = since % kSecond}};
}

SystemTime last_use_of(const struct stat& status) {
    const auto since = std::chrono::seconds(status.st_mtim.tv_sec) +
                       std::chrono::nanoseconds(status.st_mtim.tv_nsec);
    return SystemTime(std::chrono::duration_cast<SystemTime::duration>(since));
}

// A folder that is not there or goes away is an empty one.
template <class Visit>
void for_each_entry(const fs::path& folder, Visit&& visit) {
    std::error_code error;
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error))
        visit(entry->path());
}

bool is_hex(const std::string& text, size_t digits) {
    return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Calls visit(folder, its name) for each folder that may hold pages of a root.
template <class Visit>
void for_each_root(const std::string& directory, Visit&& visit) {
    for_each_entry(directory, [&](const fs::path& folder) {
        if (const std::string name = folder.filename(); is_hex(name, 32)) visit(folder, name);
    });
}

void remove_empty_folders(const std::string& directory) {
    for_each_root(directory, [](const fs::path& root, const std::string& /*name*/) {
        for_each_entry(root, [](const fs::path& shard) { ::rmdir(shard.c_str()); });
        ::rmdir(root.c_str());
    });
}

void remove_abandoned_files(const std::string& directory) {
    const SystemTime now = std::chrono::system_clock::now();
    for_each_entry(directory, [&](const fs::path& path) {
        struct stat status = {};
        if (path.extension() == kTemporarySuffix && ::stat(path.c_str(), &status) == 0 &&
            now - last_use_of(status) > kTemporaryLife)
            ::unlink(path.c_str());
    });
}

}  // namespace

std::vector<StoredPage> list_pages(const std::string& directory) {
    std::vector<StoredPage> pages;
    for_each_root(directory, [&](const fs::path& root, const std::string& root_name) {
        for_each_entry(root, [&](const fs::path& shard) {
            for_each_entry(shard, [&](const fs::path& file) {
                const auto address = address_from_path(root_name, file.filename().string());
                struct stat status = {};
                if (!address || ::stat(file.c_str(), &status) != 0) return;
                pages.push_back({.address = *address,
                                 .bytes = static_cast<uint64_t>(status.st_size),
                                 .last_use = last_use_of(status)});
            });
        });
    });
    return pages;
}

DiskStore::DiskStore(std::string directory, uint64_t budget)
    : directory_(std::move(directory)),
      budget_(budget),
      temporary_prefix_(
          directory_ + "/" + std::to_string(::getpid()) + "-" +
          std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()) + "-"),
      failure_told_(std::chrono::steady_clock::now() - kFailureInterval) {}

std::string DiskStore::path_of(const PageAddress& address) const {
    return directory_ + "/" + page_path(address);
}

bool DiskStore::exists(const PageAddress& address) const {
    return ::access(path_of(address).c_str(), F_OK) == 0;
}

std::vector<FoundPage> DiskStore::find(const PageName& root, const PageName& parent,
                                       std::span<const TokenId> tokens, uint32_t known_rows) {
    std::vector<FoundPage> found;
    PageName last = parent;
    for (; tokens.size() >= kPagePositions; tokens = tokens.subspan(kPagePositions)) {
        const auto ids = tokens.first(kPagePositions);
        const PageAddress address{root, last, page_name(last, ids), kPagePositions};
        if (!exists(address)) break;
        found.push_back({address, {ids.begin(), ids.end()}, kPagePositions});
        last = address.name;
    }
    if (tokens.empty()) return found;

    FoundPage best;
    best.rows = found.empty() ? known_rows : 0;
    for (const PageAddress& child : children(root, last)) {
        const std::vector<TokenId>* ids = ids_of(child);
        if (ids == nullptr) continue;
        const auto rows = static_cast<uint32_t>(common_prefix(*ids, tokens));
        if (rows > best.rows) best = {child, *ids, rows};
    }
    if (!best.ids.empty()) found.push_back(std::move(best));
    return found;
}

// By the file's name alone: what is there can be of no use here.
bool DiskStore::is_under_another_root(const PageName& root, std::span<const TokenId> line,
                                      size_t known) const {
    const size_t page = known / kPagePositions;
    if (line.size() < (page + 1) * kPagePositions) return false;
    bool there = false;
    for_each_root(directory_, [&](const fs::path& /*folder*/, const std::string& name) {
        const auto other = page_name_from_hex(name);
        if (there || !other || *other == root) return;
        PageAddress address{.root = *other, .parent = {}, .name = *other, .tokens = kPagePositions};
        for (size_t i = 0; i <= page; ++i) {
            address.parent = address.name;
            address.name =
                page_name(address.parent, line.subspan(i * kPagePositions, kPagePositions));
        }
        there = exists(address);
    });
    return there;
}

std::vector<PageAddress> DiskStore::children(const PageName& root, const PageName& parent) const {
    std::vector<PageAddress> found;
    const std::string root_folder = root.hex();
    const std::string prefix = parent.hex();
    for_each_entry(directory_ + "/" + root_folder + "/" + prefix.substr(0, 2),
                   [&](const fs::path& path) {
                       const std::string file = path.filename();
                       if (!file.starts_with(prefix)) return;
                       if (const auto address = address_from_path(root_folder, file))
                           found.push_back(*address);
                   });
    return found;
}

// Null when the page is not sound.
const std::vector<TokenId>* DiskStore::ids_of(const PageAddress& address) {
    if (const auto known = ids_.find(address.name); known != ids_.end()) return &known->second;
    PageHeader header;
    const File file(path_of(address), O_RDONLY);
    const PageFault fault =
        file.is_open() ? read_header(file.fd(), address, header) : PageFault::missing;
    if (fault != PageFault::none) {
        reject(address, fault);
        return nullptr;
    }
    if (ids_.size() >= kMostIds) ids_.clear();
    return &ids_.emplace(address.name, std::move(header.ids)).first->second;
}

// From the disk straight into the memory of the page, where that works. Whatever is wrong with that
// way, the ordinary one finds out what is wrong with the file.
PageFault DiskStore::read(const FoundPage& page, const PageLayout& layout,
                          std::span<std::byte> memory) const {
    const std::string path = path_of(page.address);
    if (suits_direct_access(memory)) {
        const File direct(path, O_RDONLY | O_DIRECT);
        if (direct.is_open() && !is_cached(direct.fd(), kPageHeaderBytes + memory.size()) &&
            read_page(direct.fd(), page.address, page.ids, layout, memory) == PageFault::none)
            return PageFault::none;
    }
    const File file(path, O_RDONLY);
    return file.is_open() ? read_page(file.fd(), page.address, page.ids, layout, memory)
                          : PageFault::missing;
}

void DiskStore::reject(const PageAddress& address, PageFault fault) {
    if (fault == PageFault::missing) return;
    log_warning(path_of(address) + ": " + describe(fault) +
                ", its tokens will be read again and the file is removed");
    remove(address);
}

void DiskStore::remove(const PageAddress& address) {
    const std::string path = path_of(address);
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0 || ::unlink(path.c_str()) != 0) return;
    ids_.erase(address.name);
    usage_.bytes -= std::min(usage_.bytes, static_cast<uint64_t>(status.st_size));
    usage_.pages -= std::min<uint64_t>(usage_.pages, 1);
}

bool DiskStore::write(const PageToWrite& page, const PageLayout& layout) {
    if (touch(page)) return true;
    if (!write_new(page, layout)) return false;
    const uint64_t bytes = kPageHeaderBytes + page.page.size();
    usage_.bytes += bytes;
    usage_.pages += 1;
    written_since_tidy_ += bytes;
    if (measured_ && usage_.bytes <= budget_ && written_since_tidy_ <= budget_ / kTidyShare)
        return true;
    // Where the line alone is more than the budget, its end would be written for nobody.
    tidy();
    return exists(page.address);
}

bool DiskStore::touch(const PageToWrite& page) const {
    const auto times = times_of(page.last_use);
    return ::utimensat(AT_FDCWD, path_of(page.address).c_str(), times.data(), 0) == 0;
}

bool DiskStore::write_new(const PageToWrite& page, const PageLayout& layout) {
    // A copy, because what lies behind the last row is what the memory held before: other people's
    // conversations.
    page_copy_.resize(layout.page_bytes());
    layout.copy_rows(page.address.tokens, page.page, page_copy_);
    const auto header = encode_header(page.address, page.ids, layout, page_copy_);

    std::string temporary;
    const File file(open_temporary(temporary));
    if (!file.is_open()) {
        tell_failure(directory_, errno);
        return false;
    }
    const auto times = times_of(page.last_use);
    if (write_page(file.fd(), header, page_copy_) && ::futimens(file.fd(), times.data()) == 0 &&
        move_into_place(temporary, page.address))
        return true;
    tell_failure(temporary, errno);
    ::unlink(temporary.c_str());
    return false;
}

int DiskStore::open_temporary(std::string& path) {
    path = temporary_prefix_ + std::to_string(++temporaries_) + std::string(kTemporarySuffix);
    const auto open_new = [&] {
        return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    };
    const int file = open_new();
    if (file >= 0 || errno != ENOENT) return file;
    try {
        make_private_folder(directory_);
    } catch (const Error&) {
        errno = ENOENT;
        return -1;
    }
    return open_new();
}

bool DiskStore::move_into_place(const std::string& temporary, const PageAddress& address) const {
    const std::string path = path_of(address);
    if (::rename(temporary.c_str(), path.c_str()) == 0) return true;
    if (errno != ENOENT) return false;
    const std::string shard = path.substr(0, path.rfind('/'));
    ::mkdir(shard.substr(0, shard.rfind('/')).c_str(), 0700);
    ::mkdir(shard.c_str(), 0700);
    return ::rename(temporary.c_str(), path.c_str()) == 0;
}

void DiskStore::tell_failure(const std::string& path, int error) {
    const auto now = std::chrono::steady_clock::now();
    if (now - failure_told_ < kFailureInterval) return;
    failure_told_ = now;
    log_warning(path + ": cannot be written: " + std::generic_category().message(error) +
                ", conversations are kept in memory only");
}

void DiskStore::drop(const PageName& root, std::span<const std::vector<TokenId>> lines) {
    for (const std::vector<TokenId>& line : lines)
        drop_line(root, line);
}

// From the end of the line to its beginning. A page in the middle may be missing; what hangs below
// the gap goes all the same.
void DiskStore::drop_line(const PageName& root, std::span<const TokenId> line) {
    struct Step {
        PageAddress page;  // of the root: no tokens
        std::span<const TokenId> rest;
    };
    std::vector<Step> steps{{.page = {.root = root, .parent = {}, .name = root}, .rest = line}};
    while (steps.back().rest.size() >= kPagePositions) {
        const auto& [page, rest] = steps.back();
        const auto ids = rest.first(kPagePositions);
        const PageAddress next{root, page.name, page_name(page.name, ids), kPagePositions};
        steps.push_back({.page = next, .rest = rest.subspan(kPagePositions)});
    }
    for (; !steps.empty(); steps.pop_back()) {
        const auto& [page, rest] = steps.back();
        size_t staying = 0;
        for (const PageAddress& child : children(root, page.name)) {
            const std::vector<TokenId>* ids =
                child.tokens < kPagePositions ? ids_of(child) : nullptr;
            if (ids != nullptr && common_prefix(*ids, rest) == ids->size())
                remove(child);
            else
                staying += exists(child) ? 1 : 0;
        }
        if (staying == 0 && page.tokens != 0) remove(page);
    }
}

void DiskStore::drop_all(const PageName& root) {
    std::error_code ignored;
    fs::remove_all(directory_ + "/" + root.hex(), ignored);
    ids_.clear();
    measured_ = false;
}

void DiskStore::tidy() {
    remove_abandoned_files(directory_);
    std::vector<StoredPage> pages = list_pages(directory_);
    measured_ = true;
    written_since_tidy_ = 0;
    usage_ = {.bytes = 0, .pages = pages.size()};
    for (const StoredPage& page : pages)
        usage_.bytes += page.bytes;
    if (usage_.bytes <= budget_) return;

    std::ranges::sort(pages, {}, &StoredPage::last_use);
    const uint64_t goal = budget_ - budget_ / kTidyShare;
    for (const StoredPage& page : pages) {
        if (usage_.bytes <= goal) break;
        remove(page.address);
    }
    remove_empty_folders(directory_);
}

DiskUsage DiskStore::usage() {
    if (!measured_) tidy();
    return usage_;
}

}  // namespace core
