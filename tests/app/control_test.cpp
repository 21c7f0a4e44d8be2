// The control socket: waits are answered when they hold, dumps tell screen and state.
#include "app/chat/control.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "app/chat/chat_app.h"
#include "ui/headless_terminal.h"
#include "ui/locale.h"

namespace app {
namespace {

class ControlTest : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        ui::use_utf8_locale();
        ::setenv("INPUTRC", "/dev/null", 1);
    }

    ControlTest()
        : path((std::filesystem::temp_directory_path() /
                ("moxie-control-" + std::to_string(::getpid())))
                   .string()),
          control(path) {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        client = ::socket(AF_UNIX, SOCK_STREAM, 0);
        EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address),
                  0);
        app.start({});
    }
    ~ControlTest() override { ::close(client); }

    // What the loop does in a turn.
    void turn() {
        app.on_events(now);
        now += std::chrono::milliseconds(40);
        app.draw(now);
        control.serve(app);
    }
    std::string ask(const std::string& line) {
        EXPECT_EQ(::send(client, (line + "\n").data(), line.size() + 1, 0),
                  static_cast<ssize_t>(line.size() + 1));
        turn();
        return answer();
    }
    std::string answer() {
        std::string text(1 << 16, '\0');
        const ssize_t count = ::recv(client, text.data(), text.size(), MSG_DONTWAIT);
        return text.substr(0, count > 0 ? static_cast<size_t>(count) : 0);
    }

    TimePoint now{};
    chat::Channel channel;
    ui::LineEditor editor;
    ui::HeadlessTerminal terminal{{.rows = 6, .columns = 40}};
    ChatApp app{ChatOptions{}, channel, editor, terminal};
    std::string path;
    ControlSocket control;
    int client = -1;
};

TEST_F(ControlTest, WaitIsAnsweredWhenItHolds) {
    EXPECT_EQ(ask("wait load"), "ok\n");
    EXPECT_EQ(ask("wait idle"), "");
    channel.emit(chat::ModelReady{.id = 1, .name = "mock", .context = 1000});
    turn();
    EXPECT_EQ(answer(), "ok\n");
    app.on_input("hello\r", now);
    EXPECT_EQ(ask("wait token=2"), "");
    channel.emit(chat::Delta{.id = 2, .text = "one", .tokens = {{.id = 1, .bytes = "one"}}});
    turn();
    EXPECT_EQ(answer(), "");
    channel.emit(chat::Delta{.id = 2, .text = " two", .tokens = {{.id = 2, .bytes = " two"}}});
    turn();
    EXPECT_EQ(answer(), "ok\n");
    EXPECT_EQ(ask("wait gen"), "ok\n");
}

TEST_F(ControlTest, RequestsBehindAWaitAreAnsweredAfterIt) {
    EXPECT_EQ(ask("wait idle\nwait load"), "");
    channel.emit(chat::ModelReady{.id = 1, .name = "mock", .context = 100});
    turn();
    EXPECT_EQ(answer(), "ok\n");
}

TEST_F(ControlTest, DumpsTellScreenAndState) {
    channel.emit(chat::ModelReady{.id = 1, .name = "mock", .context = 100});
    turn();
    app.on_input("typed \xff", now);
    turn();
    EXPECT_THAT(ask("dump-screen"), testing::HasSubstr("rows 6\n"));
    const auto state = nlohmann::json::parse(ask("dump-state"));
    EXPECT_EQ(state["activity"], "idle");
    EXPECT_EQ(state["model"], "mock");
    EXPECT_EQ(state["composer"], "typed \uFFFD");
}

TEST_F(ControlTest, AMisspeltRequestIsAnsweredWithTheKnownOnes) {
    EXPECT_THAT(ask("wait forever"), testing::HasSubstr("error: use wait idle"));
    EXPECT_THAT(ask("dump"), testing::HasSubstr("error: "));
}

TEST_F(ControlTest, AClientThatLeavesIsForgotten) {
    ::close(client);
    turn();
    client = ::socket(AF_UNIX, SOCK_STREAM, 0);
    std::vector<pollfd> fds;
    control.add_to(fds);
    EXPECT_EQ(fds.size(), 1U);
}

}  // namespace
}  // namespace app
