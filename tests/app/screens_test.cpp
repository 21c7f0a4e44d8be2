// Every tests/screens/*.keys drives the real program on a headless terminal, with an engine that
// says what the script tells it to, on a clock that the script moves. Verbs are documented in
// docs/testing.md.
#include "tests/support/screens.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "app/chat/chat_app.h"
#include "core/base/error.h"
#include "ui/headless_terminal.h"
#include "ui/locale.h"

namespace app {
namespace {

namespace fs = std::filesystem;

ui::Size parse_size(const std::string& text) {
    ui::Size size;
    char by = 0;
    std::istringstream(text) >> size.columns >> by >> size.rows;
    return size;
}

// The engine's side of the channel, at the script's command.
class ScriptedEngine {
  public:
    explicit ScriptedEngine(chat::Channel& channel) : channel_(channel) {}

    // Takes requests; answers those that need no script.
    void take_requests() {
        while (auto request = channel_.poll_request()) {
            if (auto* load = std::get_if<chat::LoadModel>(&*request)) {
                load_ = std::move(*load);
            } else if (auto* generate = std::get_if<chat::Generate>(&*request)) {
                generate_ = std::move(*generate);
            } else if (const auto* update = std::get_if<chat::UpdateSampling>(&*request)) {
                channel_.emit(chat::Done{.id = update->id});
            }
        }
    }

    void run(const std::string& verb, const std::string& argument) {
        if (verb == "ready") {
            channel_.emit(chat::ModelReady{.id = load_.id,
                                           .name = argument.empty() ? "mock" : argument,
                                           .family = "mock",
                                           .format = "mock",
                                           .context = 1000,
                                           .vocab = 100,
                                           .weight_bytes = uint64_t{64} << 20U});
        } else if (verb == "loading" || verb == "prefill") {
            progress(verb == "loading", argument);
        } else if (verb == "delta") {
            delta(argument);
        } else if (verb == "finish") {
            finish(argument);
        } else if (verb == "fail") {
            channel_.emit(chat::Failed{.id = generate_.id, .sentence = argument});
        } else if (verb == "fail-load") {
            channel_.emit(chat::Failed{.id = load_.id, .sentence = argument});
        } else {
            throw std::runtime_error("the engine cannot " + verb);
        }
    }

    const chat::Generate& last_generate() const { return generate_; }

  private:
    void progress(bool loading, const std::string& argument) {
        chat::Progress progress{.id = loading ? load_.id : generate_.id,
                                .phase = loading ? chat::Phase::loading : chat::Phase::prefill};
        std::istringstream stream(argument);
        stream >> progress.done >> progress.total;
        std::getline(stream >> std::ws, progress.reason);
        channel_.emit(std::move(progress));
    }

    // One token per word.
    void delta(const std::string& text) {
        chat::Delta delta{.id = generate_.id, .text = text};
        for (size_t at = 0; at < text.size();) {
            const size_t end = std::min(text.find(' ', at + 1), text.size());
            delta.tokens.push_back({.id = 1, .bytes = text.substr(at, end - at)});
            at = end;
        }
        generated_ += static_cast<uint32_t>(delta.tokens.size());
        channel_.emit(std::move(delta));
    }

    void finish(const std::string& reason) {
        static const std::map<std::string, chat::FinishReason> reasons = {
            {"stop", chat::FinishReason::stop},
            {"length", chat::FinishReason::length},
            {"context_full", chat::FinishReason::context_full},
            {"cancelled", chat::FinishReason::cancelled}};
        const chat::FinishReason finish = reasons.at(reason);
        // An engine only says so when it was asked to.
        EXPECT_EQ(generate_.cancel->load(), finish == chat::FinishReason::cancelled);
        channel_.emit(chat::Finished{
            .id = generate_.id,
            .reason = finish,
            .usage = {.prompt = 10, .generated = std::exchange(generated_, 0), .decode_seconds = 0},
        });
    }

    chat::Channel& channel_;
    chat::LoadModel load_;
    chat::Generate generate_;
    uint32_t generated_ = 0;
};

// Runs one script at one size.
class Player {
  public:
    explicit Player(ui::Size size)
        : terminal_(size),
          engine_(channel_),
          app_(ChatOptions{.model_path = "mock.gguf"}, channel_, editor_, terminal_) {
        app_.start(now_);
        settle();
    }

    void run(const support::Step& step) {
        const std::string& argument = step.argument;
        if (step.verb == "type") {
            app_.on_input(argument, now_);
        } else if (step.verb == "keys") {
            for (const std::string& key : support::split_words(argument))
                app_.on_input(support::bytes_of_key(key), now_);
        } else if (step.verb == "paste") {
            app_.on_input("\x1b[200~" + argument + "\x1b[201~", now_);
        } else if (step.verb == "engine") {
            const size_t space = argument.find(' ');
            engine_.run(argument.substr(0, space),
                        space == std::string::npos ? "" : argument.substr(space + 1));
        } else if (step.verb == "wait") {
            now_ += std::chrono::milliseconds(std::stoi(argument));
            app_.on_timeout(now_);
        } else if (step.verb == "resize") {
            terminal_.set_next_size(parse_size(argument));
            app_.on_resize();
        } else if (step.verb == "screen") {
            picture(argument);
        } else if (step.verb == "expect") {
            expect(argument);
        } else {
            throw std::runtime_error("unknown verb " + step.verb);
        }
        settle();
    }

    const std::string& pictures() const { return pictures_; }

  private:
    // What the loop does in a turn; a frame is always due, since the clock is ours.
    void settle() {
        engine_.take_requests();
        app_.on_events(now_);
        engine_.take_requests();
        now_ += std::chrono::milliseconds(40);
        app_.draw(now_);
    }

    void picture(const std::string& name) {
        const ui::Size size = terminal_.size();
        std::ostringstream out;
        out << "== " << name << " " << size.columns << "x" << size.rows << ", cursor ";
        if (const auto cursor = terminal_.cursor())
            out << cursor->column << "," << cursor->row << "\n";
        else
            out << "hidden\n";
        for (const std::string& row : terminal_.rows())
            out << row << "\n";
        pictures_ += out.str() + "\n";
    }

    void expect(const std::string& what) {
        if (what == "quit") {
            EXPECT_EQ(app_.exit_status(), 0);
        } else if (what == "running") {
            EXPECT_EQ(app_.exit_status(), std::nullopt);
        } else if (what == "suspend") {
            EXPECT_TRUE(app_.take_suspend());
        } else if (what.starts_with("prompt ")) {
            const auto& messages =
                std::get<std::vector<chat::Message>>(engine_.last_generate().prompt);
            EXPECT_EQ(messages.back().text, what.substr(7));
        } else if (what.starts_with("messages ")) {
            EXPECT_EQ(std::get<std::vector<chat::Message>>(engine_.last_generate().prompt).size(),
                      std::stoul(what.substr(9)));
        } else {
            throw std::runtime_error("cannot expect " + what);
        }
    }

    TimePoint now_ = TimePoint{} + std::chrono::hours(1);
    chat::Channel channel_;
    ui::LineEditor editor_;
    ui::HeadlessTerminal terminal_;
    ScriptedEngine engine_;
    ChatApp app_;
    std::string pictures_;
};

class Screens : public testing::TestWithParam<std::string> {
  protected:
    static void SetUpTestSuite() {
        ui::use_utf8_locale();
        ::setenv("INPUTRC", "/dev/null", 1);
        ::setenv("TERM", "xterm-256color", 1);
        ::unsetenv("NO_COLOR");
    }
};

const fs::path kFolder = fs::path(MOXIE_SOURCE_DIR) / "tests/screens";

// The sizes of a script come first: "sizes 20x10 80x24".
TEST_P(Screens, AreAsDrawn) {
    const fs::path script = kFolder / (GetParam() + ".keys");
    std::vector<support::Step> steps = support::read_script(script.string());
    ASSERT_FALSE(steps.empty());
    ASSERT_EQ(steps.front().verb, "sizes") << script;
    std::string pictures;
    for (const std::string& size : support::split_words(steps.front().argument)) {
        Player player(parse_size(size));
        for (size_t i = 1; i < steps.size(); ++i) {
            SCOPED_TRACE(script.string() + ":" + std::to_string(steps[i].line) + " at " + size);
            ASSERT_NO_THROW(player.run(steps[i]));
        }
        pictures += player.pictures();
    }
    const std::string difference =
        support::compare_with_file((kFolder / (GetParam() + ".screen")).string(), pictures);
    EXPECT_TRUE(difference.empty()) << difference;
}

std::vector<std::string> script_names() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(kFolder))
        if (entry.path().extension() == ".keys") names.push_back(entry.path().stem().string());
    std::sort(names.begin(), names.end());
    return names;
}

INSTANTIATE_TEST_SUITE_P(Keys, Screens, testing::ValuesIn(script_names()),
                         [](const auto& script) { return script.param; });

}  // namespace
}  // namespace app
