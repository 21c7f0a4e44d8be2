// Starts a line of the user's shell, without what we do to our own signals and descriptors.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <string>

namespace app {

class ShellStart {
  public:
    // A line for sh, in which "$1" is the argument.
    explicit ShellStart(std::string line, std::string argument = {});
    ~ShellStart();
    ShellStart(const ShellStart&) = delete;
    ShellStart& operator=(const ShellStart&) = delete;

    void input_from(const std::string& path);
    void output_to(int fd);  // and what it says on standard error
    void own_session();      // no terminal to ask, to draw on or to take Ctrl-C from

    // Starts it. Throws core::Error(internal).
    pid_t start();

  private:
    std::string line_;
    std::string argument_;
    short flags_;
    posix_spawnattr_t attributes_;
    posix_spawn_file_actions_t actions_;
};

// A descriptor that is readable when the process has ended, or -1 with errno set.
int open_process(pid_t pid);

}  // namespace app
