#include "tests/app/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace app {
namespace {

struct Pipe {
    int read_end = -1;
    int write_end = -1;
    Pipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
        read_end = ends[0];
        write_end = ends[1];
    }
    ~Pipe() {
        close_read();
        close_write();
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    void close_read() { close(read_end); }
    void close_write() { close(write_end); }

  private:
    static void close(int& fd) {
        if (fd >= 0) ::close(fd);
        fd = -1;
    }
};

// Nothing of the person who runs the tests is read or written.
void set_environment(const ProgramInput& input, const std::string& shared) {
    const std::string& home = input.home.empty() ? shared : input.home;
    for (const char* kind : {"CONFIG", "DATA", "STATE", "CACHE"})
        ::setenv(("XDG_" + std::string(kind) + "_HOME").c_str(), (home + "/" + kind).c_str(), 1);
    for (const auto& [name, value] : input.environment)
        ::setenv(name.c_str(), value.c_str(), 1);
}

[[noreturn]] void become_program(const std::vector<std::string>& arguments, const Pipe& in,
                                 const Pipe& out, const Pipe& err) {
    ::dup2(in.read_end, STDIN_FILENO);
    ::dup2(out.write_end, STDOUT_FILENO);
    ::dup2(err.write_end, STDERR_FILENO);
    std::string program = MOXIE_BINARY_DIR "/moxie";
    std::vector<char*> argv{program.data()};
    for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.data()));
    argv.push_back(nullptr);
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
}

// Appends what there is to read; false at the end.
bool append(int fd, std::string& text) {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count <= 0) return false;
    text.append(buffer.data(), static_cast<size_t>(count));
    return true;
}

}  // namespace

ProgramRun run_program(const ProgramInput& input) {
    Pipe in;
    Pipe out;
    Pipe err;
    static const support::TemporaryFolder home;
    const pid_t child = ::fork();
    if (child == 0) {
        set_environment(input, home.path());
        become_program(input.arguments, in, out, err);
    }
    in.close_read();
    out.close_write();
    err.close_write();
    if (::write(in.write_end, input.standard_input.data(), input.standard_input.size()) < 0)
        throw std::runtime_error("the program reads nothing");
    in.close_write();

    ProgramRun run;
    bool signalled = input.signal_after.empty();
    while (out.read_end >= 0 || err.read_end >= 0) {
        std::array<pollfd, 2> fds{pollfd{.fd = out.read_end, .events = POLLIN, .revents = 0},
                                  pollfd{.fd = err.read_end, .events = POLLIN, .revents = 0}};
        if (::poll(fds.data(), fds.size(), 60'000) <= 0) {
            ::kill(child, SIGKILL);
            ::waitpid(child, nullptr, 0);
            throw std::runtime_error("the program hangs after: " + run.out + run.err);
        }
        if (fds[0].revents != 0 && !append(out.read_end, run.out)) out.close_read();
        if (fds[1].revents != 0 && !append(err.read_end, run.err)) err.close_read();
        if (!signalled && run.out.starts_with(input.signal_after)) {
            ::kill(child, input.signal);
            signalled = true;
        }
        if (!input.close_after.empty() && run.out.starts_with(input.close_after)) out.close_read();
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    run.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return run;
}

TemporaryFile::TemporaryFile(const std::string& name, const std::string& content)
    : path_(testing::TempDir() + std::to_string(::getpid()) + "_" + name) {
    std::ofstream(path_, std::ios::binary) << content;
}

TemporaryFile::~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

}  // namespace app
