// The real program on a pseudo-terminal, for measuring what a user feels: bytes are written as a
// keyboard would, the program's output is searched for what must appear on the screen. The control
// socket (docs/testing.md) tells in which state the program is.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/priority.h"

namespace bench {

using Clock = std::chrono::steady_clock;

// BINARY MODEL COUNT [OPTIONS OF THE PROGRAM...]
struct LatencyArguments {
    std::string binary;
    std::string model;
    int count = 0;
    std::vector<std::string> extra;
};

class PtyChat {
  public:
    using Environment = std::vector<std::pair<std::string, std::string>>;

    // A chat with that model. Nothing of it belongs among the chats of whoever measures.
    explicit PtyChat(const LatencyArguments& given)
        : PtyChat(given.binary, with({"-m", given.model, "--temporary"}, given.extra)) {}

    // Starts `binary arguments...` at 100x40, with these variables beside those of this process.
    PtyChat(const std::string& binary, const std::vector<std::string>& wanted,
            const Environment& environment = {})
        : socket_path_("/tmp/moxie-bench-" + std::to_string(::getpid()) + ".sock") {
        std::vector<std::string> arguments = with({binary, "--control", socket_path_}, wanted);
        winsize size = {.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
        child_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
        if (child_ < 0) throw std::runtime_error("forkpty failed");
        if (child_ == 0) run_child(arguments, environment);
        ::fcntl(terminal_, F_SETFL, O_NONBLOCK);
        connect_control();
    }
    ~PtyChat() {
        if (child_ > 0) ::kill(child_, SIGTERM);
        // The program restores its terminal before it ends; somebody must read that.
        for (int i = 0; child_ > 0 && i < 500 && ::waitpid(child_, nullptr, WNOHANG) == 0; ++i)
            drain(10);
        ::close(control_);
        ::close(terminal_);
    }
    PtyChat(const PtyChat&) = delete;
    PtyChat& operator=(const PtyChat&) = delete;

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t count = ::write(terminal_, bytes.data(), bytes.size());
            if (count > 0) bytes.remove_prefix(static_cast<size_t>(count));
            if (count <= 0) drain(1);
        }
    }

    // Writes bytes and returns the milliseconds until `wanted` is in the output, or nothing.
    std::optional<double> time_until(std::string_view bytes, std::string_view wanted,
                                     std::chrono::seconds limit) {
        drain(0);
        output_.clear();
        const auto start = Clock::now();
        write(bytes);
        while (output_.find(wanted) == std::string::npos) {
            if (Clock::now() - start > limit) return std::nullopt;
            drain(50);
        }
        return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    }

    // Asks the control socket; the terminal is read meanwhile. Throws when the program is gone.
    std::string ask(const std::string& request, std::chrono::seconds limit) {
        const std::string line = request + "\n";
        if (::send(control_, line.data(), line.size(), MSG_NOSIGNAL) < 0) throw_gone();
        const auto start = Clock::now();
        std::string answer;
        while (answer.empty() || answer.back() != '\n') {
            if (Clock::now() - start > limit) throw std::runtime_error("no answer to: " + request);
            drain(1);
            std::array<char, 65536> buffer = {};
            const ssize_t count = ::recv(control_, buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (count == 0) throw_gone();
            if (count > 0) answer.append(buffer.data(), static_cast<size_t>(count));
        }
        return answer;
    }

    // Reads what the program has drawn, waiting at most so long for the first of it.
    void drain(int wait_ms) {
        pollfd fd = {.fd = terminal_, .events = POLLIN, .revents = 0};
        std::array<char, 65536> buffer = {};
        while (::poll(&fd, 1, wait_ms) > 0) {
            const ssize_t count = ::read(terminal_, buffer.data(), buffer.size());
            if (count <= 0) return;
            output_.append(buffer.data(), static_cast<size_t>(count));
            bytes_read_ += static_cast<size_t>(count);
            wait_ms = 0;
        }
    }
    size_t bytes_read() const { return bytes_read_; }
    pid_t pid() const { return child_; }
    // Ends it as nothing can be prepared for, and waits for that.
    void kill_now() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
        child_ = -1;
    }

  private:
    static std::vector<std::string> with(std::vector<std::string> arguments,
                                         const std::vector<std::string>& more) {
        arguments.insert(arguments.end(), more.begin(), more.end());
        return arguments;
    }

    [[noreturn]] static void run_child(std::vector<std::string>& arguments,
                                       const Environment& environment) {
        // NOLINTBEGIN(concurrency-mt-unsafe): a forked child has one thread
        ::setenv("TERM", "xterm-256color", 1);
        ::setenv("LC_ALL", "C.UTF-8", 1);
        ::setenv("INPUTRC", "/dev/null", 1);
        for (const auto& [name, value] : environment)
            ::setenv(name.c_str(), value.c_str(), 1);
        // NOLINTEND(concurrency-mt-unsafe)
        std::vector<char*> argv;
        argv.reserve(arguments.size() + 1);
        for (std::string& argument : arguments)
            argv.push_back(argument.data());
        argv.push_back(nullptr);
        ::execv(argv[0], argv.data());
        ::_exit(127);
    }

    void connect_control() {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        socket_path_.copy(address.sun_path, sizeof address.sun_path - 1);
        for (int i = 0; i < 1000; ++i) {
            control_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (::connect(control_, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                0)
                return;
            ::close(control_);
            drain(10);
        }
        throw std::runtime_error("the program does not open its control socket; it said: " +
                                 output_);
    }

    [[noreturn]] void throw_gone() {
        drain(100);
        throw std::runtime_error("the program has ended; it said: " + output_);
    }

    std::string socket_path_;
    int terminal_ = -1;
    int control_ = -1;
    pid_t child_ = -1;
    std::string output_;  // since the last time_until()
    size_t bytes_read_ = 0;
};

// A letter that no model writes (Cyrillic Extended-B): U+A640 + n, three bytes of UTF-8.
inline std::string rare_letter(int n) {
    return {'\xEA', '\x99', static_cast<char>(0x80 + n % 40)};
}

// Prints median, p90, p99 and maximum, and returns p99.
inline double report(const std::string& what, std::vector<double> milliseconds) {
    std::sort(milliseconds.begin(), milliseconds.end());
    const auto at = [&](double share) {
        const auto index = static_cast<size_t>(share * static_cast<double>(milliseconds.size()));
        return milliseconds[std::min(index, milliseconds.size() - 1)];
    };
    std::printf("%s: %zu samples, p50 %.2f ms, p90 %.2f ms, p99 %.2f ms, max %.2f ms\n",
                what.c_str(), milliseconds.size(), at(0.5), at(0.9), at(0.99), milliseconds.back());
    return at(0.99);
}

// The main function of a program that measures: its exit status.
inline int run_latency(int argc, char** argv, const char* name,
                       int (*measure)(const LatencyArguments& arguments)) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: %s BINARY MODEL COUNT [OPTIONS...]\n", name);
        return 2;
    }
    core::wake_promptly();  // the measuring device must not be what is slow
    try {
        return measure({.binary = argv[1],
                        .model = argv[2],
                        .count = std::atoi(argv[3]),
                        .extra = {argv + 4, argv + argc}});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 1;
    }
}

}  // namespace bench
