#include "tests/e2e/program_in_tmux.h"

#include <fstream>

namespace e2e {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

void ProgramInTmux::SetUp() {
    if (!Tmux::available()) GTEST_SKIP() << "tmux is not installed";
}

void ProgramInTmux::TearDown() {
    terminal.reset();
    other.reset();
}

std::string ProgramInTmux::command(const std::string& arguments,
                                   const std::string& variables) const {
    // What is said in tests is short, and kept all the same.
    std::string command = "HOME=" + home().string() + " MOXIE_KV_MIN_TOKENS=0 " + variables + " ";
    for (const std::string kind : {"CONFIG", "DATA", "STATE", "CACHE"})
        command += "XDG_" + kind + "_HOME=" + (home() / kind).string() + " ";
    return command + MOXIE_BINARY_DIR + "/moxie " + arguments;
}

std::string ProgramInTmux::scripted(const std::string& script, const std::string& arguments,
                                    const std::string& variables) const {
    return command("--backend mock:" + write("script.toml", script) + " " + arguments, variables);
}

std::string ProgramInTmux::write(const std::string& name, const std::string& text) const {
    const fs::path path = home() / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path;
}

std::string ProgramInTmux::bundled_model() {
    for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_SOURCE_DIR) / "models"))
        if (entry.path().extension() == ".gguf") return entry.path();
    return {};
}

void ProgramInTmux::start(const std::string& line, int width, int height) {
    terminal = std::make_unique<Tmux>(width, height, line);
}

void ProgramInTmux::then(const std::string& line) const {
    ended();
    terminal->type("clear; " + line);
    terminal->keys({"Enter"});
}

void ProgramInTmux::see(const Tmux& terminal, const std::string& text) {
    std::string last;
    EXPECT_TRUE(terminal.wait_for(text, &last)) << "no \"" << text << "\" on:\n" << last;
}

void ProgramInTmux::see_no(const std::string& text) const {
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string& screen) { return !contains(screen, text); }, &last))
        << "still \"" << text << "\" on:\n"
        << last;
}

void ProgramInTmux::say(const std::string& text) const {
    terminal->type(text);
    see("> " + text);
    terminal->keys({"Enter"});
}

void ProgramInTmux::quit() const {
    terminal->keys({"C-d"});
    ended();
}

void ProgramInTmux::ended() const {
    std::string last;
    EXPECT_TRUE(terminal->wait_for(
        [&](const std::string&) {
            return terminal->processes("moxie").empty() && terminal->ask("#{alternate_on}") == "0";
        },
        &last))
        << "still running:\n"
        << last;
}

}  // namespace e2e
