#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/targets.h"

namespace fuzz {

MemoryFile::MemoryFile()
    : file_(::memfd_create("fuzz", MFD_CLOEXEC)), path_("/proc/self/fd/" + std::to_string(file_)) {
    if (file_ < 0) __builtin_trap();
}

MemoryFile::~MemoryFile() {
    ::close(file_);
}

void MemoryFile::write(Bytes bytes) const {
    const bool written =
        ::ftruncate(file_, 0) == 0 &&
        ::pwrite(file_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
    if (!written) __builtin_trap();
}

}  // namespace fuzz
