// One writer at a time: a lock file with the process id of who holds it. The kernel releases it
// with the process, however that ends.
#pragma once

#include <cstdint>
#include <string>

namespace core {

class FileLock {
  public:
    enum class State : uint8_t {
        held,         // by us
        elsewhere,    // by another process
        unavailable,  // the file cannot be made or locked, as in a read-only folder
    };

    explicit FileLock(const std::string& path);
    ~FileLock();
    FileLock(const FileLock&) = delete;
    FileLock& operator=(const FileLock&) = delete;

    State state() const { return state_; }
    // Of the holder, with State::elsewhere; 0: unknown.
    int holder() const { return holder_; }

  private:
    int fd_ = -1;
    State state_ = State::unavailable;
    int holder_ = 0;
};

}  // namespace core
