// A chat for tests of what is kept: the program on a headless terminal, the engine played by the
// test, the store real or played by the test, the clock moved by the test.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "core/store/store.h"
#include "ui/headless_terminal.h"

namespace app {

// A folder that is removed at the end.
class KeptFolder {
  public:
    KeptFolder();
    ~KeptFolder();
    KeptFolder(const KeptFolder&) = delete;
    KeptFolder& operator=(const KeptFolder&) = delete;
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

// As if the program had been killed within its answer "one two" (ids 7 and 8) to "count".
void leave_cut_off_answer(const std::string& folder);

class KeptChat {
  public:
    // A folder: a real store on it. None: the test plays the store, which has opened.
    // `sync_time`: how long the disk takes for what must be on it.
    explicit KeptChat(const std::string& folder, ChatOptions options = {},
                      std::chrono::milliseconds sync_time = {});
    ~KeptChat();

    // --- the user
    void type(const std::string& text);
    void enter(const std::string& line) { type(line + "\r"); }
    void wait(std::chrono::milliseconds time);

    // --- the engine
    // Answers LoadModel, which must have come.
    void ready(const std::string& name = "grok", uint32_t context = 8000,
               const std::string& format = "grok-1");
    // The size of a prompt as this engine counts it: a token for every byte, those of an answer as
    // they are, and three of the template.
    static chat::Counted count(const chat::Count& request);
    // A token for every byte, whose id it is.
    static chat::Spelled spelled(const chat::Spell& request);
    // False: a Count stays without an answer.
    bool answers_counts = true;
    // The newest Generate that came; null: none since the last call.
    std::optional<chat::Generate> take_generate();
    std::vector<chat::Kv> take_kv();
    void say(const std::vector<std::string>& tokens, chat::TokenId first_id = 100);
    void finish(chat::FinishReason reason = chat::FinishReason::stop, chat::Usage usage = {});
    void emit(chat::Event event);
    const chat::LoadModel& load() const { return load_; }
    // Sends a prompt and answers it, with these tokens.
    void converse(const std::string& prompt, const std::vector<std::string>& tokens,
                  chat::Usage usage = {});

    // --- the store, played
    template <class Request>
    std::optional<Request> take_request() {
        while (auto request = store_channel_.requests.pop())
            if (auto* wanted = std::get_if<Request>(&*request)) return std::move(*wanted);
        return std::nullopt;
    }
    void tell(core::StoreEvent event);

    // Turns the loop until this holds; fails the test when it does not within seconds.
    void until(const std::function<bool()>& condition, const char* what);
    void until_idle();
    void until_seen(const std::string& text);
    bool sees(const std::string& text) const;
    std::string screen() const;

    ChatApp& app() { return *app_; }
    const ui::HeadlessTerminal& terminal() const { return terminal_; }
    const ChatSession& session() const { return app_->session(); }
    const chat::Conversation& conversation() const { return session().conversation(); }

  private:
    void settle();
    void take_engine_requests();

    TimePoint now_ = TimePoint{} + std::chrono::hours(1);
    chat::Channel channel_;
    core::StoreChannel store_channel_;
    std::unique_ptr<core::Store> store_;
    ui::LineEditor editor_;
    ui::HeadlessTerminal terminal_{{.rows = 40, .columns = 110}};
    std::unique_ptr<ChatApp> app_;
    chat::LoadModel load_;
    std::optional<chat::Generate> generate_;
    chat::RequestId running_ = 0;
    uint32_t generated_ = 0;
    std::vector<chat::Kv> kv_;
};

}  // namespace app
