// What a long history costs: 10,000 messages are saved, opened, searched, scrolled past by an
// answer.
//
//   history [MESSAGES]
//
// Prints the time to load them from the store, from the start of the chat to the first frame with
// them, of searches, of a frame while an answer is written below them and below a hundredth of
// them, and of a key while the disk takes 500 ms for every commit. Exit status 1 when a figure
// misses its limit.
#include <poll.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "core/store/waiting_store.h"
#include "ui/headless_terminal.h"
#include "ui/locale.h"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

bool missed = false;

void report(const char* what, double milliseconds, double limit) {
    const bool late = milliseconds > limit;
    std::printf("%-46s %8.3f ms  (limit %.4g)%s\n", what, milliseconds, limit,
                late ? "  MISSED" : "");
    missed = missed || late;
}

std::string message(int number) {
    std::string text = "Message " + std::to_string(number) + ":";
    for (int word = 0; word < 60; ++word)
        text += " word" + std::to_string((number * 31 + word * 17) % 5000);
    return text + ".";
}

void fill(const std::string& folder, uint32_t count) {
    core::WaitingStore store({.folder = folder});
    core::SaveTurns save{.conversation = 1, .head = {.title = "long", .tip = count}};
    for (uint32_t id = 1; id <= count; ++id) {
        chat::Turn& turn = save.turns.emplace_back();
        turn.id = id;
        turn.parent = id - 1;
        turn.text = message(static_cast<int>(id));
        if (id % 2 != 0) continue;
        turn.role = chat::Role::assistant;
        turn.model = "bench";
        for (chat::TokenId token = 0; token < 120; ++token) {
            turn.tokens.push_back(token);
            turn.text_offsets.push_back(static_cast<uint32_t>(token) * 3);
        }
    }
    store.ask<core::Saved>(std::move(save));
}

void measure_store(const std::string& folder) {
    core::WaitingStore store({.folder = folder});
    auto begin = Clock::now();
    store.ask<core::Loaded>(core::LoadConversation{.conversation = 1});
    report("load from the store", milliseconds_since(begin), 300);
    for (const char* text :
         {"word4999", "word17 word34", "w", "wo", "word", "word1", "message 12"}) {
        begin = Clock::now();
        store.ask<core::Found>(core::SearchTurns{.text = text});
        report((std::string("search \"") + text + "\"").c_str(), milliseconds_since(begin), 50);
    }
    begin = Clock::now();
    store.ask<core::Listed>(core::ListConversations{});
    report("list", milliseconds_since(begin), 50);
}

// The program on a headless terminal; the engine is played.
class Chat {
  public:
    Chat(const std::string& folder, std::chrono::milliseconds sync_time)
        : store_(std::make_unique<core::Store>(
              core::StoreOptions{.folder = folder, .sync_time = sync_time}, store_channel_)),
          app_({.model_path = "bench.gguf", .resume = ""}, channel_, editor_, terminal_,
               &store_channel_) {}

    void start() { app_.start(Clock::now()); }
    void until(const std::function<bool()>& condition) {
        while (!condition()) {
            pollfd wait = {.fd = store_channel_.events.fd(), .events = POLLIN, .revents = 0};
            ::poll(&wait, 1, 5);
            store_channel_.events.acknowledge();
            turn();
        }
    }
    void turn() {
        while (auto request = channel_.poll_request()) {
            if (const auto* load = std::get_if<chat::LoadModel>(&*request))
                channel_.emit(chat::ModelReady{.id = load->id, .name = "bench", .context = 8192});
            if (const auto* count = std::get_if<chat::Count>(&*request))
                channel_.emit(chat::Counted{.id = count->id, .total = 100});
            if (const auto* generate = std::get_if<chat::Generate>(&*request))
                generate_ = generate->id;
        }
        app_.on_events(Clock::now());
        app_.draw(Clock::now());
    }
    double key(const std::string& bytes) {
        const auto begin = Clock::now();
        app_.on_input(bytes, Clock::now());
        app_.draw(Clock::now());
        return milliseconds_since(begin);
    }
    // A token and the frame that shows it.
    double token() {
        channel_.emit(
            chat::Delta{.id = generate_, .text = " word", .tokens = {{.id = 1, .bytes = " word"}}});
        const auto begin = Clock::now();
        app_.on_events(Clock::now());
        app_.on_input("\x0c", Clock::now());  // a frame is due at once
        app_.draw(Clock::now());
        return milliseconds_since(begin);
    }
    app::ChatApp& app() { return app_; }
    const app::ChatSession& session() const { return app_.session(); }
    bool generating() const { return generate_ != 0; }

  private:
    chat::Channel channel_;
    core::StoreChannel store_channel_;
    std::unique_ptr<core::Store> store_;
    ui::LineEditor editor_;
    ui::HeadlessTerminal terminal_{{.rows = 40, .columns = 120}};
    app::ChatApp app_;
    chat::RequestId generate_ = 0;
};

double percentile(std::vector<double> times, double share) {
    std::sort(times.begin(), times.end());
    return times[static_cast<size_t>(share * static_cast<double>(times.size() - 1))];
}

// The store is opened too, as by the program.
void open_chat(Chat& chat, uint32_t count) {
    chat.start();
    chat.until([&] { return chat.session().conversation().size() == count; });
}

// Of tokens and their frames, one after the other.
std::vector<double> token_times(Chat& chat) {
    std::vector<double> times(300);
    for (double& time : times)
        time = chat.token();
    return times;
}

// What a token costs below `count` messages, the slowest of a hundred apart.
double streaming_frame(const std::string& folder, uint32_t count) {
    fill(folder, count);
    Chat chat(folder, {});
    open_chat(chat, count);
    chat.until([&] { return !chat.session().busy(); });
    chat.key("hello\r");
    chat.until([&] { return chat.generating(); });
    const std::vector<double> tokens = token_times(chat);
    chat.app().end(Clock::now());
    return percentile(tokens, 0.5);
}

// Returns what a token costs below them.
double measure_chat(const std::string& folder, uint32_t count) {
    const auto begin = Clock::now();
    Chat chat(folder, std::chrono::milliseconds(500));
    open_chat(chat, count);
    report("open to the first frame", milliseconds_since(begin), 300);
    chat.until([&] { return !chat.session().busy(); });

    // Every prompt waits half a second for the disk; the keys in between do not.
    std::vector<double> keys;
    chat.key("hello\r");
    while (!chat.generating()) {
        keys.push_back(chat.key("x"));
        chat.turn();
    }
    std::printf("%-46s %8zu\n", "keys during a commit of 500 ms", keys.size());
    report("key to frame meanwhile, median", percentile(keys, 0.5), 16);
    report("key to frame meanwhile, p99", percentile(keys, 0.99), 16);
    const std::vector<double> tokens = token_times(chat);
    report("token to frame below them, p99", percentile(tokens, 0.99), 16);
    chat.app().end(Clock::now());
    return percentile(tokens, 0.5);
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    ui::use_utf8_locale();
    const auto count = argc > 1 ? static_cast<uint32_t>(std::stoul(argv[1])) : 10'000U;
    std::string folder = (std::filesystem::temp_directory_path() / "moxie-history-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) return 1;
    try {
        fill(folder, count);
        measure_store(folder);
        const double many = measure_chat(folder, count);
        const double few = streaming_frame(folder + "/few", std::max(count / 100, 2U));
        std::printf("%-46s %8.3f ms\n", "token to frame below a hundredth, median", few);
        // Whatever the length: the rest is what two runs differ by.
        report("token to frame below them, median", many, 2 * few);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "history: %s\n", error.what());
        missed = true;
    }
    std::filesystem::remove_all(folder);
    return missed ? 1 : 0;
}
