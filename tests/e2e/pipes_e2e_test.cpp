// `moxie "prompt"` between other programs: pipes in and out, colours, conversations, and every exit
// status that it promises.
#include <signal.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/program.h"
#include "tests/support/temporary_folder.h"

namespace {

namespace fs = std::filesystem;
using app::ProgramInput;
using app::ProgramRun;

class Pipes : public testing::Test {
  protected:
    std::string write(const std::string& name, const std::string& text) {
        std::string path = folder.path() + "/" + name;
        fs::create_directories(fs::path(path).parent_path());
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }
    ProgramRun run(ProgramInput input) {
        if (!script.empty())
            input.arguments.insert(input.arguments.begin(),
                                   {"--backend", "mock:" + write("script.toml", script)});
        input.home = folder.path();
        return app::run_program(input);
    }
    ProgramRun ask(std::vector<std::string> arguments, std::string standard_input = {}) {
        return run(
            {.arguments = std::move(arguments), .standard_input = std::move(standard_input)});
    }
    // What a shell makes of `moxie ARGUMENTS`, as the middle of a pipeline or not.
    std::string shell(const std::string& before, const std::string& arguments,
                      const std::string& after) {
        std::string command = "exec 2>&1; ";
        for (const char* kind : {"CONFIG", "DATA", "STATE", "CACHE"})
            command += std::string("export XDG_") + kind + "_HOME=" + folder.path() + "; ";
        command += before + std::string(MOXIE_BINARY_DIR) +
                   "/moxie --backend mock:" + write("script.toml", script) + " " + arguments +
                   after;
        FILE* pipe = ::popen(command.c_str(), "r");
        std::string out;
        for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
            out += static_cast<char>(c);
        ::pclose(pipe);
        return out;
    }

    support::TemporaryFolder folder;
    std::string script = "[[reply]]\ntext = \"<{prompt}>\"\n";
};

// --- in and out -------------------------------------------------------------------------------

TEST_F(Pipes, OutOfThemInThemAndBetweenThem) {
    EXPECT_EQ(shell("", "hello < /dev/null", ""), "<hello>\n");
    EXPECT_EQ(shell("", "hello < /dev/null", " | cat"), "<hello>\n");
    EXPECT_EQ(shell("printf 'from a pipe' | ", "", ""), "<from a pipe>\n");
    EXPECT_EQ(shell("printf 'from a pipe' | ", "", " | tr a-z A-Z"), "<FROM A PIPE>\n");
    EXPECT_EQ(shell("printf 'int x;\\n' | ", "explain", " | cat"),
              "<explain\n\n```\nint x;\n```>\n");
}

TEST_F(Pipes, HeadTakesItsLineAndTheRestIsSilent) {
    script = "[[reply]]\nendless = true\ndelay_ms = 1\ntext = \"a line\\n\"\n";
    EXPECT_EQ(shell("( ", "go < /dev/null; echo status $? >&2 )", " | head -1"),
              "a line\nstatus 141\n");
    const ProgramRun closed = run({.arguments = {"go"}, .close_after = "a line"});
    EXPECT_EQ(closed.status, 141);
    EXPECT_EQ(closed.err, "");
}

TEST_F(Pipes, ArgumentsThenFilesThenStandardInput) {
    const std::string notes = write("notes.txt", "some notes\n");
    const std::string code = write("code.md", "```c\nx\n```\n");
    EXPECT_EQ(ask({"look", "-f", notes, "-f", code}, "piped\n").out,
              "<look\n\n" + notes + ":\n```\nsome notes\n```\n\n" + code +
                  ":\n````\n```c\nx\n```\n````\n\n```\npiped\n```>\n");
    EXPECT_EQ(ask({"-f", notes}).out, "<some notes>\n");
    const ProgramRun missing = ask({"-f", folder.path() + "/none", "hi"});
    EXPECT_EQ(missing.status, 2);
    EXPECT_NE(missing.err.find("cannot be read"), std::string::npos) << missing.err;
}

// --- colours ----------------------------------------------------------------------------------

TEST_F(Pipes, NoEscapeOfTheModelLeavesUnlessItIsAskedFor) {
    script = "[[reply]]\ntext = \"a\\u001b[31mred\\tb\\u009b1m\"\n";
    EXPECT_EQ(ask({"hi"}).out, "a\u241b[31mred\tb\u241b1m\n");
    EXPECT_EQ(ask({"--color=never", "hi"}).out, "a\u241b[31mred\tb\u241b1m\n");
    EXPECT_EQ(ask({"--color=always", "hi"}).out, "a\x1b[31mred\tb\u009b1m\n");
    const ProgramRun plain =
        run({.arguments = {"hi"}, .environment = {{"NO_COLOR", "1"}, {"CLICOLOR_FORCE", "1"}}});
    EXPECT_EQ(plain.out.find('\x1b'), std::string::npos);
}

// --- what is said beside the answer -------------------------------------------------------------

TEST_F(Pipes, QuietMeansNothingOnStandardError) {
    write("CONFIG/moxie/config.toml", "[sampling]\ntemprature = 1\n");
    const ProgramRun told = ask({"hi"});
    EXPECT_EQ(told.out, "<hi>\n");
    EXPECT_EQ(told.err,
              "moxie: config.toml:2: unknown key \"temprature\" in [sampling] — did you mean "
              "\"temperature\"? Using default 0.8.\n");
    EXPECT_EQ(ask({"-q", "hi"}).err, "");
    script = "[[reply]]\nerror = {after = 0, exit_code = 6, sentence = \"No.\"}\n";
    const ProgramRun failed = ask({"-q", "hi"});
    EXPECT_EQ(failed.status, 6);
    EXPECT_EQ(failed.err, "");
}

TEST_F(Pipes, TheLogHasTheFiguresOfTheAnswerAndNotItsWords) {
    ask({"my secret words"});
    const std::string log = support::content_of(folder.path() + "/STATE/moxie/moxie.log");
    EXPECT_NE(log.find("answer "), std::string::npos) << log;
    EXPECT_EQ(log.find("secret"), std::string::npos) << log;
    EXPECT_EQ(fs::status(folder.path() + "/STATE/moxie").permissions(), fs::perms(0700));
    EXPECT_EQ(fs::status(folder.path() + "/STATE/moxie/moxie.log").permissions(), fs::perms(0600));
    run({.arguments = {"again"},
         .environment = {{"MOXIE_LOG_LEVEL", "debug"}, {"MOXIE_LOG_FORMAT", "json"}}});
    const std::string longer = support::content_of(folder.path() + "/STATE/moxie/moxie.log");
    EXPECT_NE(longer.find("\"level\":\"debug\",\"message\":\"request "), std::string::npos);
}

// --- JSON -------------------------------------------------------------------------------------

TEST_F(Pipes, JsonLinesTellEveryTokenAndTheEnd) {
    script =
        "[[reply]]\ntokens = [{text = \"a\", id = 7, raw = 0.5, alternatives = "
        "[{id = 7, text = \"a\", raw = 0.5}, {id = 8, text = \" b\", raw = 0.25}]}, \" c\"]\n";
    const ProgramRun answer = ask({"--jsonl", "--logprobs", "1", "--seed", "3", "hi"});
    std::vector<nlohmann::json> lines;
    size_t begin = 0;
    for (size_t end = answer.out.find('\n'); end != std::string::npos;
         end = answer.out.find('\n', begin)) {
        lines.push_back(nlohmann::json::parse(answer.out.substr(begin, end - begin)));
        begin = end + 1;
    }
    ASSERT_EQ(lines.size(), 4U) << answer.out;
    EXPECT_EQ(lines[0]["type"], "model");
    EXPECT_EQ(lines[1]["type"], "token");
    EXPECT_EQ(lines[1]["text"], "a");
    EXPECT_EQ(lines[1]["ids"], nlohmann::json({7}));
    EXPECT_NEAR(lines[1]["logprobs"][0]["logprob"].get<double>(), -0.6931, 1e-4);
    EXPECT_EQ(lines[1]["logprobs"][0]["top"].size(), 1U);
    EXPECT_EQ(lines[3]["type"], "end");
    EXPECT_EQ(lines[3]["seed"], 3);
}

TEST_F(Pipes, LogprobsOfARealModelAreThoseOfItsDistribution) {
    script.clear();
    std::string model;
    for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_SOURCE_DIR) / "models"))
        if (entry.path().extension() == ".gguf") model = entry.path();
    if (model.empty()) GTEST_SKIP() << "no model in models/";
    const std::vector<std::string> arguments = {
        "-m", model, "--json", "--seed", "3", "--logprobs", "5", "--max-tokens", "4", "hi"};
    const auto first = nlohmann::json::parse(ask(arguments).out);
    ASSERT_EQ(first["logprobs"].size(), 4U);
    for (const auto& token : first["logprobs"]) {
        ASSERT_EQ(token["top"].size(), 5U);
        double before = 0;
        double sum = 0;
        for (const auto& other : token["top"]) {
            EXPECT_LE(other["logprob"].get<double>(), before);
            before = other["logprob"];
            sum += std::exp(before);
        }
        EXPECT_LE(sum, 1.0001);
        EXPECT_LE(token["logprob"].get<double>(), token["top"][0]["logprob"].get<double>());
    }
    EXPECT_EQ(nlohmann::json::parse(ask(arguments).out)["logprobs"], first["logprobs"]);
}

// --- conversations ----------------------------------------------------------------------------

TEST_F(Pipes, AnAnswerIsKeptWhenAskedAndContinuedWithC) {
    script = "[[reply]]\ntext = \"{messages} of {prompt}\"\n";
    EXPECT_EQ(ask({"nothing of this"}).out, "1 of nothing of this\n");
    EXPECT_FALSE(fs::exists(folder.path() + "/DATA/moxie/chats.db"));
    EXPECT_EQ(ask({"--save", "first"}).out, "1 of first\n");
    EXPECT_EQ(ask({"-c", "second"}).out, "3 of second\n");
    EXPECT_EQ(ask({"-c", "--no-save", "not kept"}).out, "5 of not kept\n");
    EXPECT_EQ(ask({"-c"}, "third\n").out, "5 of third\n");
}

TEST_F(Pipes, ReasoningIsLeftOutUnlessItIsAskedFor) {
    script = "[[reply]]\ntext = \"<think> so, so </think> Yes.\"\n";
    EXPECT_EQ(ask({"hi"}).out, "Yes.\n");
    EXPECT_EQ(ask({"--show-thinking", "hi"}).out, "<think> so, so </think> Yes.\n");
    const auto object = nlohmann::json::parse(ask({"--json", "hi"}).out);
    EXPECT_EQ(object.at("text"), "Yes.");
    EXPECT_EQ(object.at("thinking"), " so, so ");
}

TEST_F(Pipes, ASchemaIsRefusedAndNotPretended) {
    const ProgramRun refused = ask({"--schema", "answer.json", "hi"});
    EXPECT_EQ(refused.status, 2);
    EXPECT_EQ(refused.out, "");
    EXPECT_NE(refused.err.find("--schema: this version cannot hold an answer to a schema"),
              std::string::npos)
        << refused.err;
}

TEST_F(Pipes, ContinuingNothingIsBadUsage) {
    const ProgramRun none = ask({"-c", "hi"});
    EXPECT_EQ(none.status, 2) << none.err;
    EXPECT_EQ(none.out, "");
    EXPECT_EQ(std::ranges::count(none.err, '\n'), 1);
}

TEST_F(Pipes, AModelIsFoundByItsNameAndTheClosestIsToldOtherwise) {
    script.clear();
    std::string model;
    for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_SOURCE_DIR) / "models"))
        if (entry.path().extension() == ".gguf") model = entry.path();
    if (model.empty()) GTEST_SKIP() << "no model in models/";
    fs::create_directories(folder.path() + "/models");
    fs::copy_file(model, folder.path() + "/models/My-Model-Q8.gguf");
    const std::vector<std::string> where = {"--models-dir", folder.path() + "/models",
                                            "--max-tokens", "2"};
    const auto with = [&](const std::string& name) {
        std::vector<std::string> arguments = where;
        arguments.insert(arguments.end(), {"-m", name, "hi"});
        return run({.arguments = arguments, .environment = {{"HOME", folder.path()}}});
    };
    EXPECT_EQ(with("my-model").status, 0);
    const ProgramRun wrong = with("my-modle");
    EXPECT_EQ(wrong.status, 4);
    EXPECT_EQ(wrong.err.find("moxie: No model \"my-modle\". Closest: My-Model-Q8 ("), 0U)
        << wrong.err;
}

// --- exit statuses ----------------------------------------------------------------------------

struct Status {
    int status = 0;
    std::string script = {};
    std::vector<std::string> arguments = {};
    int signal = 0;  // sent when the answer has begun
    std::string config = {};
    std::vector<std::pair<std::string, std::string>> environment = {};
};

class ExitStatus : public Pipes, public testing::WithParamInterface<Status> {};

constexpr const char* kEndless = "[[reply]]\nendless = true\ndelay_ms = 2\ntext = \"words \"\n";

std::string failing(int status) {
    return "[[reply]]\nerror = {after = 0, exit_code = " + std::to_string(status) +
           ", sentence = \"It says so.\"}\n";
}

TEST_P(ExitStatus, IsTheOnePromised) {
    const Status& wanted = GetParam();
    script = wanted.script;
    if (!wanted.config.empty()) write("CONFIG/moxie/config.toml", wanted.config);
    write("damaged.gguf", std::string("GGUF\3\0\0\0\1\0\0\0", 12));
    std::vector<std::string> arguments = wanted.arguments;
    for (std::string& argument : arguments)
        if (argument.starts_with("@")) argument = folder.path() + "/" + argument.substr(1);
    const ProgramRun result = run({.arguments = arguments,
                                   .signal_after = wanted.signal == 0 ? "" : "words",
                                   .signal = wanted.signal,
                                   .environment = wanted.environment});
    EXPECT_EQ(result.status, wanted.status) << result.out << result.err;
    const bool sentence = wanted.status != 0 && wanted.status < 124;
    EXPECT_EQ(std::ranges::count(result.err, '\n'), sentence ? 1 : 0) << result.err;
    if (wanted.status >= 124) {
        EXPECT_TRUE(result.out.starts_with("words")) << result.out;
        EXPECT_TRUE(result.out.ends_with("\n") && !result.out.ends_with("\n\n"));
    }
}

INSTANTIATE_TEST_SUITE_P(
    Pipes, ExitStatus,
    testing::Values(
        Status{.status = 0, .script = "[[reply]]\ntext = \"a\"\n", .arguments = {"hi"}},
        Status{.status = 0,
               .script = "[[reply]]\ntext = \"a b c\"\n",
               .arguments = {"--max-tokens", "1", "hi"}},
        Status{.status = 1, .script = failing(1), .arguments = {"hi"}},
        Status{.status = 2, .script = failing(1), .arguments = {"--no-such-option", "hi"}},
        Status{.status = 3,
               .script = failing(1),
               .arguments = {"--strict-config", "hi"},
               .config = "[sampling]\ntemprature = 1\n"},
        Status{.status = 3,
               .script = failing(1),
               .arguments = {"--strict-config", "hi"},
               .config = "[keys]\npager = \"C-x b\"\n"},
        Status{.status = 3, .script = failing(1), .arguments = {"--config", "@none.toml", "hi"}},
        Status{.status = 4, .arguments = {"-m", "@none.gguf", "hi"}},
        Status{.status = 5, .arguments = {"-m", "@damaged.gguf", "hi"}},
        Status{.status = 6, .script = failing(6), .arguments = {"hi"}},
        Status{.status = 7, .script = failing(7), .arguments = {"hi"}},
        Status{.status = 8, .script = failing(8), .arguments = {"hi"}},
        Status{.status = 9,
               .script = failing(1),
               .arguments = {"--save", "hi"},
               .environment = {{"XDG_DATA_HOME", "/dev/null"}}},
        Status{.status = 10, .script = failing(1), .arguments = {"--tui"}},
        Status{.status = 124, .script = kEndless, .arguments = {"--timeout", "0.3", "hi"}},
        Status{.status = 129, .script = kEndless, .arguments = {"hi"}, .signal = SIGHUP},
        Status{.status = 130, .script = kEndless, .arguments = {"hi"}, .signal = SIGINT},
        Status{.status = 131, .script = kEndless, .arguments = {"hi"}, .signal = SIGQUIT},
        Status{.status = 143, .script = kEndless, .arguments = {"hi"}, .signal = SIGTERM}),
    [](const auto& row) {
        return "Status" + std::to_string(row.param.status) + "Row" + std::to_string(row.index);
    });

}  // namespace
