// How long Ctrl-C takes to `stopped` on the screen while a model reads a long prompt.
//
//   cancel_latency BINARY MODEL COUNT [OPTIONS OF THE PROGRAM...]
//
// COUNT times: a new chat, a prompt of 300 words (3,000 tokens where
// the vocabulary is bytes) that begins like none before (so that no
// cache helps), Ctrl-C at an irregular moment of its prefill. Exit status 1 when p99 is not under
// 100 ms.
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

std::string long_prompt(int number) {
    std::string text = "Text number " + std::to_string(number) + ".";
    for (int i = 0; i < 300; ++i)
        text += " word" + std::to_string((i * 7 + number) % 97);
    return text;
}

int measure(const std::string& binary, const std::string& model, int count,
            const std::vector<std::string>& extra) {
    bench::PtyChat chat(binary, model, extra);
    chat.ask("wait idle", 600s);
    std::mt19937 random(1);
    std::vector<double> times;
    for (int i = 0; i < count; ++i) {
        chat.write("\x18n");
        chat.write("\x1b[200~" + long_prompt(i) + "\x1b[201~");
        chat.write("\r");
        chat.ask("wait prefill", 60s);
        chat.drain(20 + static_cast<int>(random() % 400));
        const std::string state = chat.ask("dump-state", 10s);
        if (state.find("\"activity\":\"prefill\"") == std::string::npos)
            throw std::runtime_error("the model has read its prompt too early: " + state);
        const auto time = chat.time_until("\x03", "stopped", 120s);
        if (!time) throw std::runtime_error("`stopped` did not appear within 120 s");
        times.push_back(*time);
        chat.ask("wait idle", 60s);
    }
    return bench::report("Ctrl-C to stopped", times) < 100.0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: cancel_latency BINARY MODEL COUNT [OPTIONS...]\n");
        return 2;
    }
    core::wake_promptly();  // the measuring device must not be what is slow
    try {
        return measure(argv[1], argv[2], std::atoi(argv[3]), {argv + 4, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "cancel_latency: %s\n", error.what());
        return 1;
    }
}
