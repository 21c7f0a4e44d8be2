// The loop around ChatApp: one poll() over keyboard, engine, signals and control socket.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "app/chat/chat_app.h"
#include "app/chat/control.h"
#include "app/settings/program_log.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/base/priority.h"
#include "ui/curses_terminal.h"

namespace app {
namespace {

using std::chrono::steady_clock;

constexpr std::array kSignals = {SIGWINCH, SIGTERM, SIGHUP, SIGINT, SIGTSTP, SIGCONT};

sigset_t chat_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : kSignals)
        sigaddset(&set, signal);
    return set;
}

// A descriptor that is closed at the end of its scope.
class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    operator int() const { return fd_; }  // NOLINT(google-explicit-constructor): it is one

  private:
    int fd_;
};

// Where messages of libraries go while the screen is ours: the log.
int open_log() {
    int fd = -1;
    try {
        core::make_private_folder(core::state_folder());
        fd = ::open(log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                    S_IRUSR | S_IWUSR);
    } catch (const core::Error&) {
        fd = -1;
    }
    // Without a log messages are lost; the screen matters more.
    return fd >= 0 ? fd : ::open("/dev/null", O_WRONLY | O_CLOEXEC);
}

// Nothing may write to the terminal behind ncurses: standard error goes to the log meanwhile.
class QuietStandardError {
  public:
    QuietStandardError() : saved_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
        const Descriptor log(open_log());
        if (log >= 0) ::dup2(log, STDERR_FILENO);
    }
    ~QuietStandardError() {
        if (saved_ >= 0) ::dup2(saved_, STDERR_FILENO);
    }
    QuietStandardError(const QuietStandardError&) = delete;
    QuietStandardError& operator=(const QuietStandardError&) = delete;

  private:
    const Descriptor saved_;
};

// Stops this process, and the supervisor with it, as the shell expects of C-z. `group`: for the
// key; a signal that somebody sent is passed on to ourselves alone.
void stop_process(bool group) {
    // The signal is blocked for the descriptor; it takes effect when it is let through.
    if (group) {
        ::kill(0, SIGTSTP);
    } else {
        ::raise(SIGTSTP);
    }
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGTSTP);
    ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
    ::pthread_sigmask(SIG_BLOCK, &only, nullptr);
}

class ChatLoop {
  public:
    ChatLoop(const ChatOptions& options, chat::Channel& channel, core::StoreChannel* store)
        : channel_(channel), store_(store), app_(options, channel, editor_, terminal_, store) {
        editor_.set_mode(options.config.text("input.mode"));
        if (!options.history_file.empty())
            editor_.keep_history(options.history_file,
                                 static_cast<int>(options.config.integer("input.history")));
        const sigset_t signals = chat_signals();
        signal_fd_.emplace(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
        if (!options.control_socket.empty()) control_.emplace(options.control_socket);
    }

    int run(const std::string& notice) {
        if (!notice.empty()) app_.say(notice);
        if (!terminal_.replaced_term().empty())
            app_.say("No terminfo for \"" + terminal_.replaced_term() +
                     "\"; using xterm-256color. Install ncurses-term for full support.");
        if (app_.settings().config().text("terminal.sync") == "auto")
            terminal_.query_synchronized_updates();
        app_.start(steady_clock::now());
        while (!app_.exit_status())
            turn();
        if (*app_.exit_status() == kEmergencyStatus) {
            terminal_.suspend();
            ::_exit(kEmergencyStatus);  // C-\: nobody is waited for
        }
        guest_.reset();
        app_.end(steady_clock::now());
        return *app_.exit_status();
    }

    std::string farewell() const { return app_.farewell(); }

  private:
    static constexpr int kEmergencyStatus = 131;

    void turn() {
        if (!guest_) app_.draw(steady_clock::now());
        if (control_) control_->serve(app_);
        wait();
        const bool told = store_ != nullptr && is_ready(3);
        if (models_index_ != 0 && is_ready(models_index_)) app_.on_models_found();
        if (theme_index_ != 0 && is_ready(theme_index_)) app_.on_theme_changed();
        if (background_index_ != 0 && is_ready(background_index_))
            app_.on_background(steady_clock::now());
        if (told) store_->events.acknowledge();
        if (is_ready(1)) channel_.acknowledge_events();
        if (told || is_ready(1)) app_.on_events(steady_clock::now());
        if (is_ready(2)) read_signals();
        if (is_ready(0)) read_keys();
        app_.on_timeout(steady_clock::now());
        if (guest_ && is_ready(guest_index_)) take_terminal_back();
        if (app_.take_suspend()) suspend(true);
        if (auto errand = app_.take_errand()) lend_terminal(std::move(*errand));
    }

    void lend_terminal(Errand errand) {
        errand_ = std::move(errand);
        terminal_.suspend();
        try {
            guest_.emplace(errand_);
        } catch (const core::Error& error) {
            app_.refuse(error.sentence());
            app_.on_returned(errand_, kNoSuchProgram, steady_clock::now());
        }
    }

    void take_terminal_back() {
        const int status = guest_->wait();
        guest_.reset();
        app_.on_returned(errand_, status, steady_clock::now());
    }

    bool is_ready(size_t index) const { return fds_[index].revents != 0; }

    void wait() {
        fds_ = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                {.fd = channel_.event_fd(), .events = POLLIN, .revents = 0},
                {.fd = *signal_fd_, .events = POLLIN, .revents = 0}};
        if (store_ != nullptr)
            fds_.push_back({.fd = store_->events.fd(), .events = POLLIN, .revents = 0});
        models_index_ = 0;
        if (const int found = app_.models().event_fd(); found >= 0) {
            models_index_ = fds_.size();
            fds_.push_back({.fd = found, .events = POLLIN, .revents = 0});
        }
        theme_index_ = 0;
        if (const int theme = app_.theme_watch().fd(); theme >= 0) {
            theme_index_ = fds_.size();
            fds_.push_back({.fd = theme, .events = POLLIN, .revents = 0});
        }
        background_index_ = 0;
        if (app_.background() != nullptr) {
            background_index_ = fds_.size();
            fds_.push_back({.fd = app_.background()->fd(), .events = POLLIN, .revents = 0});
        }
        if (guest_) {
            fds_.front().fd = -1;  // keys are the guest's
            guest_index_ = fds_.size();
            fds_.push_back({.fd = guest_->fd(), .events = POLLIN, .revents = 0});
        }
        if (control_) control_->add_to(fds_);
        int timeout = -1;
        if (const auto next = guest_ ? app_.session().next_wakeup() : app_.next_wakeup()) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(*next - steady_clock::now());
            timeout = static_cast<int>(std::max<int64_t>(left.count(), 0));
        }
        if (::poll(fds_.data(), fds_.size(), timeout) < 0)
            for (pollfd& fd : fds_)
                fd.revents = 0;
    }

    void read_keys() {
        std::array<char, 16384> bytes = {};
        const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
        if (count > 0) {
            app_.on_input({bytes.data(), static_cast<size_t>(count)}, steady_clock::now());
        } else if (count == 0 || (errno != EINTR && errno != EAGAIN)) {
            app_.quit(128 + SIGHUP);  // the terminal is gone
        }
    }

    void read_signals() {
        signalfd_siginfo info = {};
        while (::read(*signal_fd_, &info, sizeof info) == sizeof info)
            on_signal(static_cast<int>(info.ssi_signo));
    }

    // What the terminal sends to all of the process group is the guest's.
    void on_signal_for_guest(int signal) {
        switch (signal) {
            case SIGWINCH:
            case SIGINT:
            case SIGCONT: break;
            case SIGTSTP: stop_process(false); break;
            default: app_.quit(128 + signal); break;
        }
    }

    void on_signal(int signal) {
        if (guest_) return on_signal_for_guest(signal);
        switch (signal) {
            case SIGWINCH: app_.on_resize(); break;
            case SIGINT: app_.interrupt(steady_clock::now()); break;
            case SIGTSTP: suspend(false); break;
            // After SIGSTOP, which nobody sees coming, the shell may have drawn over everything.
            case SIGCONT: app_.on_resumed(steady_clock::now()); break;
            default: app_.quit(128 + signal); break;  // SIGTERM, SIGHUP
        }
    }

    void suspend(bool group) {
        terminal_.suspend();
        stop_process(group);
        app_.on_resumed(steady_clock::now());
    }

    chat::Channel& channel_;
    core::StoreChannel* const store_;  // null: nothing is saved
    ui::LineEditor editor_;
    ui::CursesTerminal terminal_;
    ChatApp app_;
    std::optional<Descriptor> signal_fd_;
    std::optional<ControlSocket> control_;
    std::vector<pollfd> fds_;
    Errand errand_;
    std::optional<TerminalGuest> guest_;  // has the terminal
    size_t guest_index_ = 0;              // in fds_
    size_t theme_index_ = 0;              // in fds_; 0: it is built in
    size_t models_index_ = 0;             // in fds_; 0: nothing is looked for
    size_t background_index_ = 0;         // in fds_; 0: nothing runs
};

}  // namespace

void block_chat_signals() {
    const sigset_t signals = chat_signals();
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

int run_chat(const ChatOptions& options, chat::Channel& channel, core::StoreChannel* store,
             const std::string& notice) {
    block_chat_signals();
    core::wake_promptly();
    std::string farewell;
    int status = 0;
    {
        const QuietStandardError quiet;
        ChatLoop loop(options, channel, store);
        status = loop.run(notice);
        farewell = loop.farewell();
    }
    // Where the shell goes on; the terminal is an ordinary one again.
    [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, farewell.data(), farewell.size());
    return status;
}

}  // namespace app
