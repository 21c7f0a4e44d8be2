// How long Ctrl-C takes to `stopped` on the screen while a model reads a long prompt.
//
//   cancel_latency BINARY MODEL COUNT [OPTIONS OF THE PROGRAM...]
//
// COUNT times: a new chat, a prompt of 300 words (3,000 tokens where the vocabulary is bytes) that
// begins like none before (so that no cache helps), Ctrl-C at an irregular moment of its prefill.
// Exit status 1 when p99 is not under 100 ms.
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "bench/pty_chat.h"

namespace {

using namespace std::chrono_literals;

std::string long_prompt(int number) {
    std::string text = "Text number " + std::to_string(number) + ".";
    for (int i = 0; i < 300; ++i)
        text += " word" + std::to_string((i * 7 + number) % 97);
    return text;
}

int measure(const bench::LatencyArguments& arguments) {
    bench::PtyChat chat(arguments);
    chat.ask("wait idle", 600s);
    std::mt19937 random(1);
    std::vector<double> times;
    for (int i = 0; i < arguments.count; ++i) {
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
    return bench::run_latency(argc, argv, "cancel_latency", measure);
}
