#include "app/chat/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include <nlohmann/json.hpp>

#include "app/chat/chat_app.h"
#include "core/base/error.h"

namespace app {
namespace {

bool is_condition(std::string_view condition) {
    return condition == "idle" || condition == "gen" || condition == "prefill" ||
           condition == "load" || condition.starts_with("token=");
}

bool holds(std::string_view condition, const ChatApp& app) {
    const ChatSession& session = app.session();
    if (condition.starts_with("token=")) {
        uint32_t count = 0;
        const std::string_view digits = condition.substr(6);
        std::from_chars(digits.data(), digits.data() + digits.size(), count);
        return session.answer_tokens() >= count;
    }
    if (condition == "idle") return !session.busy();
    return activity_name(session.activity()) == condition;
}

nlohmann::json turns_json(const chat::Conversation& conversation) {
    constexpr std::array kRoles = {"system", "user", "assistant"};
    constexpr std::array kStates = {"streaming", "done", "interrupted", "error", "edited"};
    nlohmann::json turns = nlohmann::json::array();
    for (const chat::TurnId id : conversation.line()) {
        const chat::Turn& turn = conversation.turn(id);
        turns.push_back({{"id", turn.id},
                         {"parent", turn.parent},
                         {"role", kRoles.at(static_cast<size_t>(turn.role))},
                         {"state", kStates.at(static_cast<size_t>(turn.state))},
                         {"text", turn.text},
                         {"files", turn.files.size()},
                         {"tokens", turn.tokens.size()},
                         {"marks", turn.marks.size()},
                         {"seed", turn.seed},
                         {"error", turn.error}});
    }
    return turns;
}

nlohmann::json queue_json(const ChatSession& session) {
    nlohmann::json texts = nlohmann::json::array();
    for (const chat::Prompt& prompt : session.queue())
        texts.push_back(prompt.text);
    return texts;
}

nlohmann::json state_json(const ChatApp& app) {
    const ChatSession& session = app.session();
    const chat::Sampling& sampling = session.sampling();
    nlohmann::json state = {{"activity", activity_name(session.activity())},
                            {"composer", app.composer_text()},
                            {"queue", queue_json(session)},
                            {"context_used", session.context_used()},
                            {"answer_tokens", session.answer_tokens()},
                            {"turns", turns_json(session.conversation())},
                            {"sampling",
                             {{"temperature", sampling.temperature},
                              {"top_k", sampling.top_k},
                              {"top_p", sampling.top_p},
                              {"min_p", sampling.min_p},
                              {"seed", sampling.seed}}}};
    if (const auto& model = session.model(); model && model->context > 0)
        state["kv_bytes_per_token"] = model->kv_bytes / model->context;
    state["model"] = session.model() ? nlohmann::json(session.model()->name) : nlohmann::json();
    const auto cursor = app.cursor();
    state["cursor"] = cursor ? nlohmann::json{cursor->row, cursor->column} : nlohmann::json();
    return state;
}

std::string screen_text(const ChatApp& app) {
    const ui::Surface& screen = app.screen();
    std::string text = "rows " + std::to_string(screen.size().rows) + "\n";
    for (int row = 0; row < screen.size().rows; ++row)
        text += screen.row_text(row) + "\n";
    return text;
}

}  // namespace

ControlSocket::ControlSocket(const std::string& path) : path_(path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw core::Error(core::ErrorKind::usage, path, "is too long for a socket",
                          "use a shorter path");
    std::copy(path.begin(), path.end(), address.sun_path);
    ::unlink(path.c_str());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, generic, sizeof address) != 0 ||
        ::listen(listener_, 4) != 0) {
        if (listener_ >= 0) ::close(listener_);
        throw core::Error(core::ErrorKind::usage, path,
                          "cannot be listened on: errno " + std::to_string(errno),
                          "check --control");
    }
}

ControlSocket::~ControlSocket() {
    for (const Client& client : clients_)
        ::close(client.fd);
    ::close(listener_);
    ::unlink(path_.c_str());
}

void ControlSocket::add_to(std::vector<pollfd>& fds) const {
    fds.push_back({.fd = listener_, .events = POLLIN, .revents = 0});
    for (const Client& client : clients_) {
        const short writes = client.unsent.empty() ? short{0} : short{POLLOUT};
        fds.push_back(
            {.fd = client.fd, .events = static_cast<short>(POLLIN | writes), .revents = 0});
    }
}

void ControlSocket::accept_clients() {
    while (true) {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        clients_.push_back({.fd = fd});
    }
}

void ControlSocket::read_from(Client& client) {
    std::array<char, 4096> buffer = {};
    while (true) {
        const ssize_t count = ::read(client.fd, buffer.data(), buffer.size());
        if (count > 0) {
            client.unread.append(buffer.data(), static_cast<size_t>(count));
            continue;
        }
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) client.gone = true;
        return;
    }
}

void ControlSocket::answer_line(Client& client, const std::string& line, const ChatApp& app) {
    if (line == "dump-screen") {
        client.unsent += screen_text(app);
    } else if (line == "dump-state") {
        client.unsent +=
            state_json(app).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    } else if (line.starts_with("wait ") && is_condition(line.substr(5))) {
        client.waiting = line.substr(5);
    } else {
        client.unsent += "error: use wait idle|load|prefill|gen|token=N, dump-screen, dump-state\n";
    }
}

void ControlSocket::answer(Client& client, const ChatApp& app) {
    while (true) {
        if (!client.waiting.empty()) {
            if (!holds(client.waiting, app)) return;
            client.waiting.clear();
            client.unsent += "ok\n";
        }
        const size_t newline = client.unread.find('\n');
        if (newline == std::string::npos) return;
        const std::string line = client.unread.substr(0, newline);
        client.unread.erase(0, newline + 1);
        answer_line(client, line, app);
    }
}

void ControlSocket::write_to(Client& client) {
    while (!client.unsent.empty()) {
        const ssize_t count =
            ::send(client.fd, client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL);
        if (count < 0) {
            if (errno != EAGAIN && errno != EINTR) client.gone = true;
            return;
        }
        client.unsent.erase(0, static_cast<size_t>(count));
    }
}

void ControlSocket::serve(const ChatApp& app) {
    accept_clients();
    for (Client& client : clients_) {
        read_from(client);
        answer(client, app);
        write_to(client);
        if (client.gone) ::close(client.fd);
    }
    std::erase_if(clients_, [](const Client& client) { return client.gone; });
}

}  // namespace app
