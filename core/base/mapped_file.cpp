#include "core/base/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>
#include <system_error>

#include "core/base/error.h"

namespace core {
namespace {

// What the signal handler knows of a mapping. A handler cannot take a lock, so a slot is read like
// a seqlock: `version` is odd while the range changes, and a range counts only if the version was
// even and the same before and after reading it.
struct Slot {
    std::atomic<bool> taken{false};
    std::atomic<uint32_t> version{0};
    std::atomic<uintptr_t> begin{0};
    std::atomic<uintptr_t> end{0};
    std::atomic<bool> damaged{false};
};

// Grok-1's checkpoint has 770 files; nothing we read has more at once.
constexpr int kSlots = 1024;

// Static storage because a signal handler has no other way to find it; constant-initialized.
std::array<Slot, kSlots> slots;
struct sigaction previous_action;
uintptr_t page_size = 4096;

static_assert(std::atomic<uintptr_t>::is_always_lock_free, "used in a signal handler");

void set_range(Slot& slot, uintptr_t begin, uintptr_t end) {
    slot.version.fetch_add(1);
    slot.begin.store(begin);
    slot.end.store(end);
    slot.version.fetch_add(1);
}

bool contains(const Slot& slot, uintptr_t address) {
    const uint32_t version = slot.version.load();
    const bool inside = address >= slot.begin.load() && address < slot.end.load();
    return inside && version % 2 == 0 && slot.version.load() == version;
}

int register_mapping(std::span<const std::byte> bytes) {
    const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
    const uintptr_t end = (begin + bytes.size() + page_size - 1) / page_size * page_size;
    for (int index = 0; index < kSlots; ++index) {
        Slot& slot = slots[static_cast<size_t>(index)];
        if (slot.taken.exchange(true)) continue;
        slot.damaged.store(false);
        set_range(slot, begin, end);
        return index;
    }
    return -1;
}

void unregister_mapping(int index) {
    Slot& slot = slots[static_cast<size_t>(index)];
    set_range(slot, 0, 0);
    slot.taken.store(false);
}

// Hands a SIGBUS that is not ours to whoever was there before.
void pass_on(int signal, siginfo_t* info, void* context) {
    const bool detailed = (previous_action.sa_flags & SA_SIGINFO) != 0;
    if (detailed && previous_action.sa_sigaction != nullptr) {
        previous_action.sa_sigaction(signal, info, context);
    } else if (!detailed && previous_action.sa_handler != SIG_DFL &&
               previous_action.sa_handler != SIG_IGN) {
        previous_action.sa_handler(signal);
    } else {
        // The faulting instruction runs again after this returns and ends the process as it would
        // have without us. A SIGBUS sent by kill() does not repeat itself, hence raise().
        ::sigaction(SIGBUS, &previous_action, nullptr);
        if (info->si_code <= 0) ::raise(SIGBUS);
    }
}

// Async-signal-safe: atomics that are lock-free, and the bare system call. Not ::mmap(), which a
// sanitizer replaces: ThreadSanitizer takes the new page for a write that races with the readers it
// is put under.
void on_sigbus(int signal, siginfo_t* info, void* context) {
    const int saved_errno = errno;
    const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    for (Slot& slot : slots) {
        if (info->si_code <= 0 || !contains(slot, address)) continue;
        slot.damaged.store(true);
        void* page = static_cast<std::byte*>(info->si_addr) - address % page_size;
        const long zeros = ::syscall(SYS_mmap, page, page_size, PROT_READ,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0L);
        errno = saved_errno;
        if (zeros == reinterpret_cast<long>(page)) return;
        break;
    }
    pass_on(signal, info, context);
    errno = saved_errno;
}

std::string describe(int error) {
    return std::generic_category().message(error);
}

}  // namespace

void install_sigbus_guard() {
    static std::once_flag once;
    std::call_once(once, [] {
        page_size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
        struct sigaction action = {};
        action.sa_sigaction = on_sigbus;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        ::sigemptyset(&action.sa_mask);
        ::sigaction(SIGBUS, &action, &previous_action);
    });
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
    install_sigbus_guard();
    // O_NONBLOCK: opening a FIFO must not wait for its writer; it has no effect on regular files.
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file_ < 0) {
        const int error = errno;
        throw Error(ErrorKind::model_not_found, path,
                    error == ENOENT ? "no such file" : "cannot be opened: " + describe(error));
    }
    struct stat status = {};
    if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(file_);
        throw Error(ErrorKind::model_not_found, path, "not a regular file");
    }
    if (status.st_size == 0) return;
    const auto size = static_cast<size_t>(status.st_size);
    void* start = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file_, 0);
    if (start == MAP_FAILED) {
        const int error = errno;
        ::close(file_);
        throw Error(ErrorKind::memory, path, "cannot be mapped: " + describe(error));
    }
    bytes_ = {static_cast<const std::byte*>(start), size};
    slot_ = register_mapping(bytes_);
    if (slot_ < 0) {
        ::munmap(start, size);
        ::close(file_);
        throw Error(ErrorKind::memory, path,
                    "more than " + std::to_string(kSlots) + " files are mapped");
    }
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) {
        // In this order: once unmapped, the addresses may belong to somebody else.
        unregister_mapping(slot_);
        ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }
    ::close(file_);
}

bool MappedFile::damaged() const {
    if (slot_ >= 0 && slots[static_cast<size_t>(slot_)].damaged.load()) return true;
    // The rest of the page in which a shortened file ends reads as zeros without any signal.
    struct stat status = {};
    return ::fstat(file_, &status) != 0 || static_cast<uint64_t>(status.st_size) < bytes_.size();
}

void MappedFile::release(std::span<const std::byte> range) const {
    const size_t offset = static_cast<size_t>(range.data() - bytes_.data());
    const size_t begin = (offset + page_size - 1) / page_size * page_size;
    const size_t end = (offset + range.size()) / page_size * page_size;
    // Advice: a failure changes nothing that anybody could act upon.
    if (begin < end)
        ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::prefetch(std::span<const std::byte> range) const {
    const size_t offset = static_cast<size_t>(range.data() - bytes_.data());
    const size_t begin = offset / page_size * page_size;
    if (range.empty()) return;
    ::madvise(const_cast<std::byte*>(bytes_.data()) + begin, offset + range.size() - begin,
              MADV_WILLNEED);
}

}  // namespace core
