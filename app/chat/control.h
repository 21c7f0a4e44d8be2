// The control socket of tests (--control PATH): waits and dumps, one line per request.
// Protocol: docs/testing.md. Serviced from the loop of the chat; nothing here waits.
#pragma once

#include <poll.h>

#include <string>
#include <vector>

namespace app {

class ChatApp;

class ControlSocket {
  public:
    // Listens on a Unix socket; an old socket of that name is replaced. Throws core::Error.
    explicit ControlSocket(const std::string& path);
    ~ControlSocket();
    ControlSocket(const ControlSocket&) = delete;
    ControlSocket& operator=(const ControlSocket&) = delete;

    // What to poll for.
    void add_to(std::vector<pollfd>& fds) const;
    // Accepts, reads and answers what is there; call once per turn of the loop, after drawing.
    void serve(const ChatApp& app);

  private:
    struct Client {
        int fd = -1;
        std::string unread = {};  // bytes of requests not answered yet
        std::string unsent = {};
        std::string waiting = {};  // condition of a wait; empty: none
        bool gone = false;
    };

    void accept_clients();
    static void read_from(Client& client);
    static void answer(Client& client, const ChatApp& app);
    static void answer_line(Client& client, const std::string& line, const ChatApp& app);
    static void write_to(Client& client);

    std::string path_;
    int listener_ = -1;
    std::vector<Client> clients_;
};

}  // namespace app
