// A command of the user's shell beside the chat, whose output is wanted: it has no terminal, no
// input, and nobody waits for it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace app {

// Of its output; what prints more is ended.
inline constexpr size_t kMostOutput = size_t{256} << 10U;

class BackgroundCommand {
  public:
    // Starts it. Throws core::Error(internal).
    explicit BackgroundCommand(std::string line);
    // Ends it where it still runs, with all that it has started.
    ~BackgroundCommand();
    BackgroundCommand(const BackgroundCommand&) = delete;
    BackgroundCommand& operator=(const BackgroundCommand&) = delete;

    const std::string& line() const { return line_; }
    int fd() const { return output_fd_ >= 0 ? output_fd_ : process_fd_; }  // readable: take()
    // Takes what is there, a little at a time. False: it has ended.
    bool take();
    // Asks it to end, with all that it has started; the second time it has to.
    void stop();

    // After take() was false.
    const std::string& output() const { return output_; }
    bool cut() const { return output_.size() == kMostOutput; }
    bool stopped() const { return stops_ > 0; }
    int status() const { return status_; }  // 128 + N for signal N

  private:
    std::string line_;
    std::string output_;
    void close_output();
    void wait();

    pid_t pid_ = -1;       // -1: it was waited for
    int output_fd_ = -1;   // -1: it has said everything
    int process_fd_ = -1;  // readable when it has ended
    int stops_ = 0;
    int status_ = 0;
};

}  // namespace app
