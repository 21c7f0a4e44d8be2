#include "tests/app/kept_chat.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include <gtest/gtest.h>

#include "ui/locale.h"

namespace app {

namespace fs = std::filesystem;

KeptFolder::KeptFolder() {
    fs::path place = "/dev/shm";
    if (::access(place.c_str(), W_OK) != 0) place = fs::temp_directory_path();
    path_ = (place / "moxie-kept-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp");
}

KeptFolder::~KeptFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

void leave_cut_off_answer(const std::string& folder) {
    core::StoreChannel channel;
    core::Store store({.folder = folder}, channel);
    core::SaveTurns save{.id = 1, .conversation = 1, .head = {.tip = 2}};
    save.turns.resize(2);
    save.turns[0].id = 1;
    save.turns[0].text = "count";
    chat::Turn& answer = save.turns[1];
    answer.id = 2;
    answer.parent = 1;
    answer.role = chat::Role::assistant;
    answer.state = chat::TurnState::streaming;
    answer.text = "one two";
    answer.model = "grok";
    answer.tokens = {7, 8};
    answer.text_offsets = {0, 3};
    channel.requests.push(std::move(save));
}

KeptChat::KeptChat(const std::string& folder, ChatOptions options,
                   std::chrono::milliseconds sync_time) {
    ui::use_utf8_locale();
    ::setenv("INPUTRC", "/dev/null", 1);
    if (!folder.empty())
        store_ = std::make_unique<core::Store>(
            core::StoreOptions{.folder = folder, .sync_time = sync_time}, store_channel_);
    if (options.model_path.empty()) options.model_path = "/models/default.gguf";
    app_ = std::make_unique<ChatApp>(options, channel_, editor_, terminal_,
                                     options.temporary ? nullptr : &store_channel_);
    app_->start(now_);
    if (store_ == nullptr && !options.temporary)
        tell(core::StoreOpened{.access = core::StoreAccess::writable});
    settle();
}

KeptChat::~KeptChat() {
    if (app_) app_->end(now_);
}

// What the loop does in a turn; a frame is always due, since the clock is ours.
void KeptChat::settle() {
    take_engine_requests();
    app_->on_events(now_);
    if (const BackgroundCommand* command = app_->background()) {
        pollfd output = {.fd = command->fd(), .events = POLLIN, .revents = 0};
        if (::poll(&output, 1, 0) > 0) app_->on_background(now_);
    }
    app_->on_timeout(now_);
    take_engine_requests();
    now_ += std::chrono::milliseconds(40);
    app_->draw(now_);
}

chat::Spelled KeptChat::spelled(const chat::Spell& request) {
    chat::Spelled answer{.id = request.id};
    if (const auto* ids = std::get_if<std::vector<core::TokenId>>(&request.what)) {
        for (const core::TokenId id : *ids)
            answer.pieces.push_back({.id = id, .text = std::string(1, static_cast<char>(id))});
        return answer;
    }
    for (const char c : std::get<std::string>(request.what))
        answer.pieces.push_back({.id = c, .text = std::string(1, c)});
    return answer;
}

void KeptChat::take_engine_requests() {
    while (auto request = channel_.poll_request()) {
        if (auto* load = std::get_if<chat::LoadModel>(&*request)) {
            load_ = std::move(*load);
        } else if (auto* generate = std::get_if<chat::Generate>(&*request)) {
            running_ = generate->id;
            generated_ = 0;
            generate_ = std::move(*generate);
        } else if (auto* kv = std::get_if<chat::Kv>(&*request)) {
            kv_.push_back(std::move(*kv));
        } else if (const auto* counting = std::get_if<chat::Count>(&*request)) {
            if (answers_counts) channel_.emit(count(*counting));
        } else if (const auto* spell = std::get_if<chat::Spell>(&*request)) {
            channel_.emit(spelled(*spell));
        } else if (const auto* update = std::get_if<chat::UpdateSampling>(&*request)) {
            channel_.emit(chat::Done{.id = update->id});
        }
    }
}

void KeptChat::type(const std::string& text) {
    app_->on_input(text, now_);
    settle();
}

void KeptChat::wait(std::chrono::milliseconds time) {
    now_ += time;
    settle();
}

void KeptChat::ready(const std::string& name, uint32_t context, const std::string& format) {
    until([this] { return load_.id != 0; }, "a LoadModel");
    emit(chat::ModelReady{
        .id = std::exchange(load_.id, 0), .name = name, .format = format, .context = context});
}

chat::Counted KeptChat::count(const chat::Count& request) {
    constexpr uint32_t kTemplate = 3;
    chat::Counted counted{.id = request.id, .tokens = {}, .total = kTemplate};
    for (const chat::Message& message : std::get<std::vector<chat::Message>>(request.what)) {
        const size_t tokens = message.tokens.empty() ? message.text.size() : message.tokens.size();
        counted.tokens.push_back(static_cast<uint32_t>(tokens));
        counted.total += counted.tokens.back();
    }
    return counted;
}

std::optional<chat::Generate> KeptChat::take_generate() {
    settle();
    return std::exchange(generate_, std::nullopt);
}

std::vector<chat::Kv> KeptChat::take_kv() {
    settle();
    return std::exchange(kv_, {});
}

void KeptChat::say(const std::vector<std::string>& tokens, chat::TokenId first_id) {
    for (const std::string& token : tokens) {
        chat::Delta delta{.id = running_, .text = token};
        delta.tokens.push_back(
            {.id = first_id + static_cast<chat::TokenId>(generated_++), .bytes = token});
        channel_.emit(std::move(delta));
    }
    settle();
}

void KeptChat::finish(chat::FinishReason reason, chat::Usage usage) {
    usage.generated = generated_;
    emit(chat::Finished{.id = running_, .reason = reason, .usage = usage, .seed = 7});
}

void KeptChat::emit(chat::Event event) {
    channel_.emit(std::move(event));
    settle();
}

void KeptChat::converse(const std::string& prompt, const std::vector<std::string>& tokens,
                        chat::Usage usage) {
    generate_.reset();
    enter(prompt);
    until([this] { return generate_.has_value(); }, "a Generate");
    say(tokens);
    finish(chat::FinishReason::stop, usage);
    until_idle();
}

void KeptChat::tell(core::StoreEvent event) {
    store_channel_.events.push(std::move(event));
    settle();
}

void KeptChat::until(const std::function<bool()>& condition, const char* what) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (settle(); !condition(); settle()) {
        if (std::chrono::steady_clock::now() > deadline) {
            ADD_FAILURE() << "no " << what << " on:\n" << screen();
            throw std::runtime_error(what);
        }
        const BackgroundCommand* command = app_->background();
        std::array<pollfd, 3> wait = {
            {{.fd = channel_.event_fd(), .events = POLLIN, .revents = 0},
             {.fd = store_channel_.events.fd(), .events = POLLIN, .revents = 0},
             {.fd = command == nullptr ? -1 : command->fd(), .events = POLLIN, .revents = 0}}};
        ::poll(wait.data(), wait.size(), 20);
        channel_.acknowledge_events();
        store_channel_.events.acknowledge();
    }
}

void KeptChat::until_idle() {
    until([this] { return !session().busy(); }, "idle chat");
}

void KeptChat::until_seen(const std::string& text) {
    until([&] { return sees(text); }, text.c_str());
}

bool KeptChat::sees(const std::string& text) const {
    return screen().find(text) != std::string::npos;
}

std::string KeptChat::screen() const {
    std::string text;
    for (const std::string& row : terminal_.rows())
        text += row + "\n";
    return text;
}

}  // namespace app
