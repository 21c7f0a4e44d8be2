// What every test of the program in a terminal needs: a folder of its own for all files, the
// program in a window, a person who looks and types.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/e2e/tmux.h"
#include "tests/support/temporary_folder.h"

namespace e2e {

class ProgramInTmux : public testing::Test {
  public:
    ~ProgramInTmux() override = default;

  protected:
    void SetUp() override;  // skips where tmux is not installed
    void TearDown() override;

    // The program as a line of a shell; its files lie in CONFIG, DATA, STATE and CACHE below
    // home(). `variables`: further ones of its environment, as NAME=VALUE.
    std::string command(const std::string& arguments, const std::string& variables = {}) const;
    // The same with a script of answers in the place of a model.
    std::string scripted(const std::string& script, const std::string& arguments = {},
                         const std::string& variables = {}) const;
    std::string write(const std::string& name, const std::string& text) const;  // below home()
    std::filesystem::path home() const { return folder_.path(); }
    std::filesystem::path data() const { return home() / "DATA/moxie"; }
    // Path of the bundled model; empty: there is none.
    static std::string bundled_model();

    // Runs a line in a new terminal.
    void start(const std::string& line, int width = 80, int height = 24);
    // Runs it in the shell that is left when the program has ended.
    void then(const std::string& line) const;

    // These fail the test, with the last screen, when it does not happen.
    static void see(const Tmux& terminal, const std::string& text);
    void see(const std::string& text) const { see(*terminal, text); }
    void see_no(const std::string& text) const;

    void say(const std::string& text) const;
    void quit() const;
    // Until the program's processes have ended and the shell has its screen.
    void ended() const;

    std::unique_ptr<Tmux> terminal;
    std::unique_ptr<Tmux> other;  // a second instance

  private:
    support::TemporaryFolder folder_;
};

bool contains(const std::string& text, const std::string& part);

}  // namespace e2e
