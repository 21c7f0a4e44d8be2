// To be loaded before the C library (LD_PRELOAD): a disk that takes 500 ms to write anything for
// good.
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

namespace {

void take_time() {
    timespec left = {.tv_sec = 0, .tv_nsec = 500'000'000};
    while (::nanosleep(&left, &left) != 0) {
    }
}

}  // namespace

extern "C" {

int fsync(int fd) {
    take_time();
    return static_cast<int>(::syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
    take_time();
    return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
}
