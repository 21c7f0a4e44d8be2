// Runs the real program with pipes instead of a terminal and collects what it says.
#pragma once

#include <signal.h>

#include <string>
#include <utility>
#include <vector>

namespace app {

struct ProgramRun {
    int status = -1;  // exit status; 128 + signal when one ended it
    std::string out;
    std::string err;
};

struct ProgramInput {
    std::vector<std::string> arguments;
    std::string standard_input = {};
    // Sent once, when standard output has begun with this text.
    std::string signal_after = {};
    int signal = SIGINT;
    // Of the four XDG directories; empty: one that all runs of this process share. Set beside them.
    std::string home = {};
    std::vector<std::pair<std::string, std::string>> environment = {};
    // Standard output is closed by its reader once it has begun with this text.
    std::string close_after = {};
};

// Throws std::runtime_error when the program takes longer than a minute.
ProgramRun run_program(const ProgramInput& input);

// A file in the temporary folder of the test, removed when this goes.
class TemporaryFile {
  public:
    TemporaryFile(const std::string& name, const std::string& content);
    ~TemporaryFile();
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace app
