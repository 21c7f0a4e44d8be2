// How long a key takes to its cell on the screen while a model generates at full speed.
//
//   typing_latency BINARY MODEL COUNT [OPTIONS OF THE PROGRAM...]
//
// Types COUNT letters that no model writes (Cyrillic Extended-B), one at a time at irregular
// moments, and measures from the byte on the pseudo-terminal to the letter in the program's output.
// The model must write long answers: a synthetic one of make_model never ends by itself. Exit
// status 1 when p99 is not under 16 ms.
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "bench/pty_chat.h"

namespace {

using namespace std::chrono_literals;

bool is_streaming(bench::PtyChat& chat) {
    const std::string state = chat.ask("dump-state", 10s);
    if (state.find("\"state\":\"error\"") != std::string::npos)
        throw std::runtime_error("the model cannot answer: " + state);
    return state.find("\"activity\":\"gen\"") != std::string::npos;
}

// Keeps an answer streaming: an ended one is replaced by another in a new chat.
void keep_generating(bench::PtyChat& chat) {
    if (is_streaming(chat)) return;
    chat.ask("wait idle", 600s);
    chat.write("\x18n");
    chat.write("Tell a long story about a river, a mill and the sea.\r");
    const auto deadline = bench::Clock::now() + 30s;
    while (!is_streaming(chat)) {
        if (bench::Clock::now() > deadline)
            throw std::runtime_error("no answer was seen streaming: its answers are too short");
        chat.drain(20);
    }
}

int measure(const bench::LatencyArguments& arguments) {
    bench::PtyChat chat(arguments);
    chat.ask("wait idle", 600s);
    std::mt19937 random(1);
    std::vector<double> times;
    int generating = 0;
    for (int i = 0; i < arguments.count; ++i) {
        keep_generating(chat);
        chat.drain(5 + static_cast<int>(random() % 40));
        const std::string letter = bench::rare_letter(i);
        const auto time = chat.time_until(letter, letter, 10s);
        if (!time) throw std::runtime_error("a letter did not appear within 10 s");
        times.push_back(*time);
        generating += is_streaming(chat) ? 1 : 0;
        chat.write("\x7f");
    }
    std::printf("an answer was streaming at the end of %d of %d samples\n", generating,
                arguments.count);
    return bench::report("key to cell", times) < 16.0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_latency(argc, argv, "typing_latency", measure);
}
