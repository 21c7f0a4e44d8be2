// A real terminal for end-to-end tests: the program in a window of a private tmux server.
//
// Screens are polled until a condition holds, never slept for; a failing wait returns the last
// picture so that the test can show it. Needs tmux; available() says whether it is there.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace e2e {

inline constexpr std::chrono::seconds kPatience{20};

class Tmux {
  public:
    static bool available();

    // Starts `shell_command` in a window of that size, in UTF-8, with tmux's own default terminal.
    // The window stays when the command ends, so that its last screen and status can be read.
    Tmux(int width, int height, const std::string& shell_command);
    ~Tmux();
    Tmux(const Tmux&) = delete;
    Tmux& operator=(const Tmux&) = delete;

    void type(const std::string& text) const;                // literally
    void keys(const std::vector<std::string>& names) const;  // tmux key names: "Enter", "C-c"
    // As a terminal pastes: in brackets where the program asked for them.
    void paste(const std::string& text) const;
    void resize(int width, int height) const;

    std::string screen() const;
    // The same with the escape sequences of its colours and attributes.
    std::string picture_with_styles() const;
    // What was copied last.
    std::string buffer() const;
    // tmux format variables: "#{alternate_on} #{pane_dead}".
    std::string ask(const std::string& format) const;
    // Processes below the window's shell whose name is `name`, oldest first.
    std::vector<int> processes(const std::string& name) const;

    // Everything in the window gets SIGHUP.
    void kill_session() const;

    // True as soon as the condition holds for a screen; `last` (may be null) gets the final
    // picture.
    bool wait_for(const std::function<bool(const std::string&)>& condition,
                  std::string* last) const;
    // The same for a text that shall appear.
    bool wait_for(const std::string& text, std::string* last) const;

  private:
    std::string run(const std::vector<std::string>& arguments) const;
    std::string socket_;
};

}  // namespace e2e
