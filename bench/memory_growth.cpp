// What memory an answer takes: the resident set of the program while it streams.
//
//   memory_growth BINARY MODEL TOKENS [OPTIONS OF THE PROGRAM...]
//
// Sends a prompt, lets 2,000 tokens pass so that every buffer has its size, then measures the
// growth over TOKENS more. What is stored of a token (its text, id and place, in the conversation
// and on the screen) is allowed for, and the KV cache by its size as the model tells it. The model
// must write long answers: a synthetic one of make_model with --ctx, or a scripted one (--backend
// mock:FILE with `endless`). Exit status 1 when more stays.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "bench/pty_chat.h"

namespace {

using namespace std::chrono_literals;

constexpr int kWarmUp = 2000;
// Text, id and offset in the conversation, the sanitized copy and rows of the screen, what of it is
// on its way to the store; buffers double.
constexpr double kStoredPerToken = 256;
// Pages that the allocator holds back.
constexpr double kSlack = 4e6;

// Of the process that does the work: the last in a chain of children.
pid_t worker_of(pid_t process) {
    std::ifstream children("/proc/" + std::to_string(process) + "/task/" + std::to_string(process) +
                           "/children");
    pid_t child = 0;
    return children >> child ? worker_of(child) : process;
}

double resident_bytes(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("VmRSS:")) return std::stod(line.substr(6)) * 1024;
    throw std::runtime_error("the program has ended");
}

nlohmann::json state_of(bench::PtyChat& chat) {
    return nlohmann::json::parse(chat.ask("dump-state", 60s));
}

int measure(const bench::LatencyArguments& arguments) {
    bench::PtyChat chat(arguments);
    chat.ask("wait idle", 600s);
    chat.write("Tell a long story about a river, a mill and the sea.\r");
    chat.ask("wait token=" + std::to_string(kWarmUp), 600s);
    const pid_t worker = worker_of(chat.pid());
    const double begin = resident_bytes(worker);
    const int from = state_of(chat).at("answer_tokens").get<int>();
    chat.ask("wait token=" + std::to_string(from + arguments.count), 3600s);
    const nlohmann::json state = state_of(chat);
    const double grown = resident_bytes(worker) - begin;
    const int tokens = state.at("answer_tokens").get<int>() - from;
    const double cache = state.at("kv_bytes_per_token").get<double>() * tokens;
    const double allowed = kStoredPerToken * tokens + cache + kSlack;
    std::printf(
        "%d tokens: resident set grew by %.2f MB from %.2f MB; the KV cache of them has "
        "%.2f MB, allowed are %.2f MB%s\n",
        tokens, grown / 1e6, begin / 1e6, cache / 1e6, allowed / 1e6,
        grown > allowed ? "  MISSED" : "");
    if (state.at("activity") != "gen")
        std::printf("the answer ended before: ask for fewer tokens\n");
    return grown > allowed || tokens < arguments.count ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    return bench::run_latency(argc, argv, "memory_growth", measure);
}
