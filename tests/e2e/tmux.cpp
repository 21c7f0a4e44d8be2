#include "tests/e2e/tmux.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

namespace e2e {
namespace {

// Runs a program and returns its standard output.
std::string output_of(const std::vector<std::string>& arguments) {
    std::array<int, 2> ends = {};
    if (::pipe(ends.data()) != 0) throw std::runtime_error("pipe");
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        std::vector<char*> argv(arguments.size() + 1);
        for (size_t i = 0; i < arguments.size(); ++i)
            argv[i] = const_cast<char*>(arguments[i].c_str());
        ::execvp(argv[0], argv.data());
        ::_exit(127);
    }
    ::close(ends[1]);
    std::string text;
    std::array<char, 4096> buffer = {};
    for (ssize_t got = 0; (got = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<size_t>(got));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return text;
}

std::string unique_socket() {
    static std::atomic<int> count{0};
    return "moxie-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

}  // namespace

bool Tmux::available() {
    return !output_of({"sh", "-c", "command -v tmux"}).empty();
}

Tmux::Tmux(int width, int height, const std::string& shell_command) : socket_(unique_socket()) {
    run({"-f", "/dev/null", "new-session", "-d", "-x", std::to_string(width), "-y",
         std::to_string(height), "exec sh"});
    run({"set", "-g", "remain-on-exit", "on"});
    run({"set", "-g", "escape-time", "0"});
    run({"set", "-g", "status", "off"});
    type("PS1='$ '; " + shell_command);
    keys({"Enter"});
}

Tmux::~Tmux() {
    try {
        run({"kill-server"});
    } catch (const std::exception& error) {
        std::cerr << "tmux goes on: " << error.what() << "\n";
    }
}

std::string Tmux::run(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"env", "LC_ALL=C.UTF-8", "tmux", "-u", "-L", socket_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return output_of(all);
}

void Tmux::type(const std::string& text) const {
    run({"send-keys", "-l", "--", text});
}

void Tmux::keys(const std::vector<std::string>& names) const {
    std::vector<std::string> arguments = {"send-keys", "--"};
    arguments.insert(arguments.end(), names.begin(), names.end());
    run(arguments);
}

void Tmux::paste(const std::string& text) const {
    const std::string path = testing::TempDir() + socket_ + ".paste";
    std::ofstream(path, std::ios::binary) << text;
    run({"load-buffer", path});
    run({"paste-buffer", "-p"});
    std::filesystem::remove(path);
}

void Tmux::resize(int width, int height) const {
    run({"resize-window", "-x", std::to_string(width), "-y", std::to_string(height)});
}

std::string Tmux::picture_with_styles() const {
    return run({"capture-pane", "-p", "-e"});
}

std::string Tmux::screen() const {
    return run({"capture-pane", "-p"});
}

std::string Tmux::buffer() const {
    return run({"show-buffer"});
}

void Tmux::kill_session() const {
    run({"kill-session"});
}

std::string Tmux::ask(const std::string& format) const {
    std::string answer = run({"display", "-p", format});
    if (!answer.empty() && answer.back() == '\n') answer.pop_back();
    return answer;
}

std::vector<int> Tmux::processes(const std::string& name) const {
    // "pid ppid comm" of everything, then the descendants of the window's shell.
    std::istringstream all(output_of({"ps", "-e", "-o", "pid=,ppid=,comm="}));
    std::map<int, int> parent_of;
    std::vector<int> named;
    for (std::string line; std::getline(all, line);) {
        std::istringstream fields(line);
        int pid = 0;
        int parent = 0;
        std::string comm;  // up to the first space: "tmux: server" has one
        fields >> pid >> parent >> comm;
        parent_of[pid] = parent;
        if (comm == name) named.push_back(pid);
    }
    const int root = std::stoi(ask("#{pane_pid}"));
    std::vector<int> found;
    for (const int candidate : named) {
        int ancestor = candidate;
        while (ancestor > 1 && ancestor != root)
            ancestor = parent_of[ancestor];
        if (ancestor == root) found.push_back(candidate);
    }
    return found;
}

bool Tmux::wait_for(const std::function<bool(const std::string&)>& condition,
                    std::string* last) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (true) {
        const std::string picture = screen();
        if (last != nullptr) *last = picture;
        if (condition(picture)) return true;
        if (std::chrono::steady_clock::now() > deadline) return false;
        // Capturing costs a process; this bounds how much the test takes from the program under
        // test.
        std::this_thread::yield();
    }
}

bool Tmux::wait_for(const std::string& text, std::string* last) const {
    return wait_for(
        [&](const std::string& picture) { return picture.find(text) != std::string::npos; }, last);
}

}  // namespace e2e
