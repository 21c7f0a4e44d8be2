// `moxie "prompt"` as scripts see it: the real program behind pipes, with a scripted engine.
#include "app/oneshot/oneshot.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/program.h"

namespace app {
namespace {

class OneShotTest : public testing::Test {
  protected:
    // Runs the program with a script.
    static ProgramRun run(const std::string& script, ProgramInput input) {
        const TemporaryFile file("oneshot.toml", script);
        input.arguments.insert(input.arguments.begin(),
                               {"--backend", "mock:" + file.path(), "--fake-time"});
        return run_program(input);
    }
    static ProgramRun ask(const std::string& script, std::vector<std::string> arguments,
                          std::string standard_input = "") {
        return run(script, {.arguments = std::move(arguments),
                            .standard_input = std::move(standard_input)});
    }
};

void expect_one_sentence(const ProgramRun& run) {
    EXPECT_TRUE(run.err.starts_with("moxie: ")) << run.err;
    EXPECT_EQ(std::ranges::count(run.err, '\n'), 1) << run.err;
}

TEST_F(OneShotTest, StandardOutputIsTheAnswerAndOneNewline) {
    const auto run = ask("[[reply]]\ntext = \"Hello there.\"\n", {"hi"});
    EXPECT_EQ(run.status, 0);
    EXPECT_EQ(run.out, "Hello there.\n");
    EXPECT_EQ(run.err, "");
}

TEST_F(OneShotTest, NewlinesAtTheEndBecomeOneAndThoseInsideStay) {
    const auto run =
        ask("[[reply]]\ntokens = [\"a\\n\", \"\\n\", \"b\", \"\\n\\n\", \"\\n\"]\n", {"hi"});
    EXPECT_EQ(run.out, "a\n\nb\n");
}

TEST_F(OneShotTest, AnEmptyAnswerIsAnEmptyLine) {
    EXPECT_EQ(ask("[[reply]]\n", {"hi"}).out, "\n");
}

TEST_F(OneShotTest, WordsAreOnePrompt) {
    EXPECT_EQ(ask("[[reply]]\ntext = \"<{prompt}>\"\n", {"two", "words"}).out, "<two words>\n");
}

TEST_F(OneShotTest, StandardInputIsThePromptWhenThereIsNoOther) {
    EXPECT_EQ(ask("[[reply]]\ntext = \"<{prompt}>\"\n", {}, "from a pipe\n").out,
              "<from a pipe>\n");
}

TEST_F(OneShotTest, StandardInputBesideAQuestionIsFenced) {
    EXPECT_EQ(ask("[[reply]]\ntext = \"<{prompt}>\"\n", {"explain"}, "int x;\n").out,
              "<explain\n\n```\nint x;\n```>\n");
}

TEST_F(OneShotTest, RawTextIsTakenAsItStands) {
    EXPECT_EQ(
        ask("[[reply]]\ntext = \"<{prompt}|{messages}>\"\n", {"--raw", "once "}, "upon\n").out,
        "<once upon\n|0>\n");
}

TEST_F(OneShotTest, TheSystemTextAndTheParametersReachTheEngine) {
    const auto run = ask("[[reply]]\ntext = \"{system} {temperature} {seed} {messages}\"\n",
                         {"--system", "be brief", "--temperature", "0.3", "--seed", "12", "hi"});
    EXPECT_EQ(run.out, "be brief 0.3 12 2\n");
}

TEST_F(OneShotTest, MaxTokensEndTheAnswerNormally) {
    const auto run = ask("[[reply]]\ntext = \"a b c d\"\n", {"--max-tokens", "2", "hi"});
    EXPECT_EQ(run.status, 0);
    EXPECT_EQ(run.out, "a b\n");
}

TEST_F(OneShotTest, JsonIsOneObjectOfAKnownShape) {
    const auto run =
        ask("[model]\nload_ms = 500\n[[reply]]\nprompt_tokens = 10\nreused_tokens = 4\n"
            "prefill_delay_ms = 2000\ndelay_ms = 100\ntext = \"a b \\u00e9\\n\"\n",
            {"--json", "--seed", "5", "hi"});
    EXPECT_EQ(run.status, 0);
    EXPECT_EQ(std::ranges::count(run.out, '\n'), 1);
    const auto object = nlohmann::json::parse(run.out);
    EXPECT_EQ(object.size(), 6U);
    EXPECT_EQ(object["text"], "a b \u00e9\n");
    EXPECT_EQ(object["finish_reason"], "stop");
    EXPECT_EQ(object["seed"], 5);
    EXPECT_EQ(object["params"]["temperature"], 0.8);
    EXPECT_EQ(object["params"]["top_k"], 40);
    EXPECT_TRUE(object["params"]["max_tokens"].is_null());
    EXPECT_EQ(object["usage"], nlohmann::json({{"prompt_tokens", 10},
                                               {"reused_tokens", 4},
                                               {"recomputed_tokens", 6},
                                               {"completion_tokens", 3},
                                               {"total_tokens", 13}}));
    const auto& timings = object["timings"];
    EXPECT_DOUBLE_EQ(timings["load_seconds"], 0.5);
    EXPECT_DOUBLE_EQ(timings["prefill_seconds"], 2.0);
    EXPECT_DOUBLE_EQ(timings["prefill_tokens_per_second"], 3.0);
    EXPECT_DOUBLE_EQ(timings["first_token_seconds"], 2.1);
    EXPECT_DOUBLE_EQ(timings["decode_seconds"], 0.2);
    EXPECT_DOUBLE_EQ(timings["decode_tokens_per_second"], 10.0);
}

TEST_F(OneShotTest, ASeedThatNobodyGaveIsReportedAndDiffers) {
    const std::string script = "[[reply]]\ntext = \"a\"\n";
    const auto one = nlohmann::json::parse(ask(script, {"--json", "hi"}).out);
    const auto two = nlohmann::json::parse(ask(script, {"--json", "hi"}).out);
    EXPECT_NE(one["seed"], two["seed"]);
}

TEST_F(OneShotTest, AnInterruptPrintsThePartialAndANewline) {
    const std::string script =
        "[[reply]]\ntokens = [\"so\", \" far\", {text = \"never\", hold = \"cancel\"}]\n";
    const auto run = OneShotTest::run(script, {.arguments = {"hi"}, .signal_after = "so far"});
    EXPECT_EQ(run.status, 130);
    EXPECT_EQ(run.out, "so far\n");
    EXPECT_EQ(run.err, "");
}

TEST_F(OneShotTest, TerminationIsAnInterruptWithItsOwnStatus) {
    const std::string script =
        "[[reply]]\ntokens = [\"so\", {text = \"never\", hold = \"cancel\"}]\n";
    const auto run =
        OneShotTest::run(script, {.arguments = {"hi"}, .signal_after = "so", .signal = SIGTERM});
    EXPECT_EQ(run.status, 143);
    EXPECT_EQ(run.out, "so\n");
}

TEST_F(OneShotTest, AReaderThatLeavesEndsItSilently) {
    const auto run = OneShotTest::run("[[reply]]\ntext = \"on and \"\nendless = true\n",
                                      {.arguments = {"hi"}, .close_after = "on"});
    EXPECT_EQ(run.status, 141);
    EXPECT_EQ(run.err, "");
}

TEST_F(OneShotTest, AReaderThatLeavesWhileNothingIsSaidEndsItToo) {
    const std::string script =
        "[[reply]]\ntokens = [\"so\", {text = \"never\", hold = \"cancel\"}]\n";
    const auto run = OneShotTest::run(script, {.arguments = {"hi"}, .close_after = "so"});
    EXPECT_EQ(run.status, 141);
}

TEST_F(OneShotTest, AFailureOfTheEngineIsOneSentenceAndItsStatus) {
    const auto run =
        ask("[[reply]]\ntext = \"a b c\"\nerror = {after = 2, exit_code = 6, sentence = "
            "\"Ran out of memory.\"}\n",
            {"hi"});
    EXPECT_EQ(run.status, 6);
    EXPECT_EQ(run.out, "a b\n");
    EXPECT_EQ(run.err, "moxie: Ran out of memory\n");
}

TEST_F(OneShotTest, WithoutAPromptItIsBadUsage) {
    const auto run = ask("[[reply]]\ntext = \"a\"\n", {}, "");
    EXPECT_EQ(run.status, 2);
    expect_one_sentence(run);
}

TEST_F(OneShotTest, VerboseSpeaksOnStandardErrorOnly) {
    const auto run = ask("[[reply]]\ntext = \"a\"\n", {"--verbose", "hi"});
    EXPECT_EQ(run.out, "a\n");
    EXPECT_NE(run.err.find("context"), std::string::npos);
}

struct BadUsage {
    std::vector<std::string> arguments;
    int status = 2;
    std::string mentions;
};

class BadUsageTest : public testing::TestWithParam<BadUsage> {};

TEST_P(BadUsageTest, IsOneSentenceAndAnExitStatus) {
    const auto run = run_program({.arguments = GetParam().arguments});
    EXPECT_EQ(run.status, GetParam().status) << run.err;
    EXPECT_EQ(run.out, "");
    expect_one_sentence(run);
    EXPECT_NE(run.err.find(GetParam().mentions), std::string::npos) << run.err;
}

INSTANTIATE_TEST_SUITE_P(
    OneShot, BadUsageTest,
    testing::Values(BadUsage{{"--temperature", "9", "-m", "x", "hi"}, 2, "--temperature"},
                    BadUsage{{"--top-p", "abc", "-m", "x", "hi"}, 2, "--top-p"},
                    BadUsage{{"--seed", "1.5", "-m", "x", "hi"}, 2, "--seed"},
                    BadUsage{{"--max-tokens", "-2", "-m", "x", "hi"}, 2, "--max-tokens"},
                    BadUsage{{"--kv", "f64", "-m", "x", "hi"}, 2, "--kv"},
                    BadUsage{{"--threads", "0", "-m", "x", "hi"}, 2, "--threads"},
                    BadUsage{{"--isa", "mmx", "-m", "x", "hi"}, 2, "mmx"},
                    BadUsage{{"--template", "chattml", "-m", "x", "hi"}, 2, "chattml"},
                    BadUsage{{"--backend", "file.toml", "hi"}, 2, "--backend"},
                    BadUsage{{"--tempreature", "1", "hi"}, 2, "--tempreature"},
                    BadUsage{{"eval"}, 2, "logits"}, BadUsage{{"eval", "logits"}, 2, "--model"},
                    BadUsage{{"tokenize"}, 2, "--model"}, BadUsage{{"inspect"}, 2, "file"},
                    BadUsage{{"--backend", "mock:/nonexistent.toml", "hi"}, 4, "/nonexistent.toml"},
                    BadUsage{{"-m", "/nonexistent.gguf", "hi"}, 4, "/nonexistent.gguf"},
                    BadUsage{{"-m", "/proc/self/status", "hi"}, 5, "/proc/self/status"},
                    BadUsage{{"inspect", "/nonexistent.gguf"}, 4, "/nonexistent.gguf"}));

TEST(OneShot, ADamagedModelIsOneSentenceAndItsOwnStatus) {
    const TemporaryFile model("cut.gguf", std::string("GGUF\3\0\0\0\1\0\0\0", 12));
    const auto run = run_program({.arguments = {"-m", model.path(), "hi"}});
    EXPECT_EQ(run.status, 5) << run.err;
    EXPECT_EQ(run.out, "");
    expect_one_sentence(run);
}

TEST(OneShot, AMockScriptWithAMistakeIsBadConfiguration) {
    const TemporaryFile script("bad.toml", "[[reply]]\ntxet = \"a\"\n");
    const auto run = run_program({.arguments = {"--backend", "mock:" + script.path(), "hi"}});
    EXPECT_EQ(run.status, 3);
    expect_one_sentence(run);
}

TEST(OneShot, HelpAndVersionGoToStandardOutput) {
    const auto help = run_program({.arguments = {"--help"}});
    EXPECT_EQ(help.status, 0);
    for (const char* option :
         {"--temperature", "--top-k",  "--top-p",    "--min-p",     "--seed",    "--max-tokens",
          "--stop",        "--system", "--template", "--raw",       "--ctx",     "--kv",
          "--threads",     "--isa",    "--backend",  "--fake-time", "--verbose", "--version",
          "tokenize",      "inspect",  "bench"})
        EXPECT_NE(help.out.find(option), std::string::npos) << option;
    const auto version = run_program({.arguments = {"--version"}});
    EXPECT_TRUE(version.out.starts_with("moxie "));
}

}  // namespace
}  // namespace app
