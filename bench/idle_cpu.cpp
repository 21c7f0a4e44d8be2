// What an idle chat costs: the processor time of the program while nothing happens.
//
//   idle_cpu BINARY MODEL SECONDS [OPTIONS OF THE PROGRAM...]
//
// Waits until the model is loaded and the screen is still, then counts the processor time of all
// threads of the program and its supervisor, and how often they were woken. Exit status 1 when that
// is more than a thousandth of the time.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "bench/pty_chat.h"

namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct Cost {
    double seconds = 0;
    long wakeups = 0;
};

// Fields of stat, behind the name in parentheses, which may contain anything: utime is the 12th.
double processor_seconds(const fs::path& task) {
    std::ifstream file(task / "stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) return 0;
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    for (int i = 0; i < 11; ++i)
        fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

long switches(const fs::path& task) {
    std::ifstream file(task / "status");
    long total = 0;
    for (std::string line; std::getline(file, line);)
        if (line.find("voluntary_ctxt_switches:") != std::string::npos)
            total += std::atol(line.substr(line.find(':') + 1).c_str());
    return total;
}

void add(pid_t process, Cost& cost) {
    const fs::path tasks = "/proc/" + std::to_string(process) + "/task";
    for (const auto& task : fs::directory_iterator(tasks)) {
        cost.seconds += processor_seconds(task.path());
        cost.wakeups += switches(task.path());
        std::ifstream children(task.path() / "children");
        for (pid_t child = 0; children >> child;)
            add(child, cost);
    }
}

Cost cost_of(pid_t process) {
    Cost cost;
    add(process, cost);
    return cost;
}

int measure(const bench::LatencyArguments& arguments) {
    bench::PtyChat chat(arguments);
    chat.ask("wait idle", 600s);
    // What the start leaves behind: a toast that goes, models that are looked for.
    for (size_t before = 0; before != chat.bytes_read();) {
        before = chat.bytes_read();
        chat.drain(5000);
    }
    const Cost begin = cost_of(chat.pid());
    const size_t drawn = chat.bytes_read();
    const auto start = bench::Clock::now();
    while (bench::Clock::now() - start < std::chrono::seconds(arguments.count))
        chat.drain(1000);
    const Cost end = cost_of(chat.pid());
    const double seconds = std::chrono::duration<double>(bench::Clock::now() - start).count();
    const double used = end.seconds - begin.seconds;
    std::printf(
        "idle for %.1f s: %.3f s of processor time (%.3f %%), %ld wakeups, %zu bytes drawn\n",
        seconds, used, 100 * used / seconds, end.wakeups - begin.wakeups,
        chat.bytes_read() - drawn);
    return used <= seconds / 1000 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_latency(argc, argv, "idle_cpu", measure);
}
