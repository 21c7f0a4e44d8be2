// How long a key takes to its cell on the screen while a model generates at full speed.
//
//   typing_latency BINARY MODEL COUNT [OPTIONS OF THE PROGRAM...]
//
// Types COUNT letters that no model writes (Cyrillic Extended-B), one at a time at irregular
// moments, and measures from the byte on the pseudo-terminal to the letter in the program's output.
// Exit status 1 when p99 is not under 16 ms.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "bench/pty_chat.h"
#include "core/base/priority.h"

namespace {

using namespace std::chrono_literals;

// U+A640 + n, three bytes of UTF-8.
std::string rare_letter(int n) {
    return {'\xEA', '\x99', static_cast<char>(0x80 + n % 40)};
}

bool is_streaming(bench::PtyChat& chat) {
    const std::string state = chat.ask("dump-state", 10s);
    if (state.find("\"state\":\"error\"") != std::string::npos)
        throw std::runtime_error("the model cannot answer: " + state);
    return state.find("\"activity\":\"gen\"") != std::string::npos;
}

// Keeps an answer streaming: an ended one is replaced by another in a new chat.
void keep_generating(bench::PtyChat& chat) {
    while (!is_streaming(chat)) {
        chat.ask("wait idle", 600s);
        chat.write("\x18n");
        chat.write("Tell a long story about a river, a mill and the sea.\r");
        // Reading may be over before anybody could wait for it.
        const auto deadline = bench::Clock::now() + 120s;
        while (!is_streaming(chat) && bench::Clock::now() < deadline)
            chat.drain(20);
    }
}

int measure(const std::string& binary, const std::string& model, int count,
            const std::vector<std::string>& extra) {
    bench::PtyChat chat(binary, model, extra);
    chat.ask("wait idle", 600s);
    std::mt19937 random(1);
    std::vector<double> times;
    int generating = 0;
    for (int i = 0; i < count; ++i) {
        keep_generating(chat);
        chat.drain(5 + static_cast<int>(random() % 40));
        const auto time = chat.time_until(rare_letter(i), rare_letter(i), 10s);
        if (!time) throw std::runtime_error("a letter did not appear within 10 s");
        times.push_back(*time);
        generating += is_streaming(chat) ? 1 : 0;
        chat.write("\x7f");
    }
    std::printf("an answer was streaming at the end of %d of %d samples\n", generating, count);
    return bench::report("key to cell", times) < 16.0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: typing_latency BINARY MODEL COUNT [OPTIONS...]\n");
        return 2;
    }
    core::wake_promptly();  // the measuring device must not be what is slow
    try {
        return measure(argv[1], argv[2], std::atoi(argv[3]), {argv + 4, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "typing_latency: %s\n", error.what());
        return 1;
    }
}
