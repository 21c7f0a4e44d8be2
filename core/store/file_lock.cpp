#include "core/store/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace core {

FileLock::FileLock(const std::string& path)
    : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)) {
    if (fd_ < 0) return;
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) {
        state_ = State::held;
        const std::string pid = std::to_string(::getpid()) + "\n";
        // Who cannot read the number still sees that the file is locked.
        [[maybe_unused]] const bool told =
            ::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, pid.data(), pid.size(), 0) > 0;
    } else if (errno == EWOULDBLOCK) {
        state_ = State::elsewhere;
        std::array<char, 16> text = {};
        const ssize_t count = ::pread(fd_, text.data(), text.size(), 0);
        if (count > 0) std::from_chars(text.data(), text.data() + count, holder_);
    }
}

FileLock::~FileLock() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace core
