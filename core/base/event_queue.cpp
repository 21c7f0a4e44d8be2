#include "core/base/event_queue.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

namespace core {

Bell::Bell() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    if (fd_ < 0)
        throw Error(ErrorKind::internal, "channel",
                    "cannot make an event descriptor: errno " + std::to_string(errno),
                    "close some files or raise the limit (ulimit -n)");
}

Bell::~Bell() {
    ::close(fd_);
}

// Adding to a counter that is about to overflow fails with EAGAIN; it is readable then, which is
// all that a ring is for. Interrupted writes are repeated.
void Bell::ring() {
    const uint64_t one = 1;
    while (::write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void Bell::acknowledge() {
    uint64_t count = 0;
    while (::read(fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
}

}  // namespace core
