// moxie eval: the files and numbers it writes and the sentences it refuses with.
#include "app/subcommands/eval_cmd.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/loaded_model.h"
#include "tests/support/tiny_model.h"

namespace {

using support::Family;
using support::Storage;
using testing::HasSubstr;

constexpr core::TokenId kTokens[] = {1, 7, 3, 41, 22, 9, 9, 30, 47, 5, 12, 18};

class EvalCommand : public testing::Test {
  protected:
    EvalCommand() : file(golden_model(Family::grok1)), npy(file.path() + ".npy") {
        options.engine.model = file.path();
        options.engine.threads = 1;
        options.tokens.assign(std::begin(kTokens), std::end(kTokens));
        options.out = npy;
    }
    ~EvalCommand() override { std::filesystem::remove(npy); }

    std::string run() {
        std::ostringstream out;
        EXPECT_EQ(app::run_eval_logits(options, out), 0);
        std::ifstream stream(npy, std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    void expect_refused(core::ErrorKind kind, const std::string& fragment) const {
        std::ostringstream out;
        try {
            app::run_eval_logits(options, out);
            FAIL() << "was not refused";
        } catch (const core::Error& error) {
            EXPECT_EQ(error.kind(), kind);
            EXPECT_THAT(error.what(), HasSubstr(fragment));
        }
    }

    support::TemporaryGguf file;
    std::string npy;
    app::EvalLogitsOptions options;
};

// The data of an NPY file, after checking everything before them.
std::vector<float> npy_data(const std::string& npy, const std::string& shape) {
    EXPECT_EQ(npy.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
    const size_t header = 10 + static_cast<uint8_t>(npy[8]) + 256U * static_cast<uint8_t>(npy[9]);
    EXPECT_EQ(header % 64, 0U);
    EXPECT_EQ(npy[header - 1], '\n');
    EXPECT_THAT(npy.substr(10, header - 10),
                HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }"));
    std::vector<float> values((npy.size() - header) / sizeof(float));
    std::memcpy(values.data(), npy.data() + header, values.size() * sizeof(float));
    return values;
}

TEST_F(EvalCommand, LogitsOfTheLastTokenAreAnNpyFileOfOneRow) {
    const std::vector<float> logits = npy_data(run(), "1, 48");
    ASSERT_EQ(logits.size(), 48U);
    EXPECT_NEAR(logits[0], -0.6510, 1e-3);
    EXPECT_NEAR(logits[1], 1.5851, 1e-3);
}

TEST_F(EvalCommand, AllRowsAreTheSameBytesForEveryChunkAndThreadCount) {
    options.all = true;
    const std::string whole = run();
    const std::vector<float> logits = npy_data(whole, "12, 48");
    ASSERT_EQ(logits.size(), 12U * 48U);
    EXPECT_NEAR(logits[1], 11.9698, 1e-3);
    for (const uint32_t chunk : {1U, 5U, 12U, 100U}) {
        options.engine.chunk = chunk;
        options.engine.threads = 1 + chunk % 2;
        EXPECT_EQ(run(), whole) << "chunk " << chunk;
    }
}

TEST_F(EvalCommand, TokensOutsideTheVocabularyAreRefused) {
    options.tokens = {1, 48};
    expect_refused(core::ErrorKind::usage, "id 48");
    options.tokens = {-1};
    expect_refused(core::ErrorKind::usage, "id -1");
    options.tokens = {};
    expect_refused(core::ErrorKind::usage, "--tokens");
}

TEST_F(EvalCommand, MoreTokensThanTheContextAreRefused) {
    options.tokens.assign(1025, 1);
    expect_refused(core::ErrorKind::context, "1025 tokens");
}

TEST_F(EvalCommand, UnknownNamesAndPathsAreRefused) {
    options.engine.kv = "f8";
    expect_refused(core::ErrorKind::usage, "f8");
    options.engine.kv = "f32";
    options.engine.isa = "mmx";
    expect_refused(core::ErrorKind::usage, "mmx");
    options.engine.isa = "";
    // Nothing has a path below a file.
    options.out = file.path() + "/x.npy";
    expect_refused(core::ErrorKind::storage, options.out);
    options.engine.model = file.path() + "/x.gguf";
    expect_refused(core::ErrorKind::model_not_found, options.engine.model);
}

TEST_F(EvalCommand, PerplexityNeedsAVocabulary) {
    const std::string text = file.path() + ".txt";
    std::ofstream(text) << "hello";
    app::EvalPerplexityOptions asked{.engine = options.engine, .text = text, .context = 0};
    std::ostringstream out;
    try {
        app::run_eval_perplexity(asked, out);
        FAIL() << "was not refused";
    } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::model_unusable);
        EXPECT_THAT(error.what(), HasSubstr("no vocabulary"));
    }
    std::filesystem::remove(text);
}

// -ln of the probability that naive_forward gives to tokens[1...].
double naive_nats(const support::TestModel& model, const std::vector<core::TokenId>& tokens) {
    support::NaiveForward forward(model.reference, {});
    double nats = 0.0;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
        double sum = 0.0;
        const std::vector<double> logits = forward.step(tokens[i]);
        for (const double logit : logits)
            sum += std::exp(logit);
        nats += std::log(sum) - logits[static_cast<size_t>(tokens[i + 1])];
    }
    return nats;
}

TEST_F(EvalCommand, PerplexityIsThatOfTheNaiveForwardPass) {
    support::TestModel model = golden_model(Family::grok1);
    add_vocabulary(model);
    const support::TemporaryGguf saved(model);
    const std::string path = saved.path() + ".txt";
    std::ofstream(path) << "the that";
    // [BOS] ▁the ▁ th a t: the merge with the lowest id wins.
    const std::vector<core::TokenId> tokens = {1, 7, 8, 4, 9, 28};
    app::EvalPerplexityOptions asked;
    asked.engine = {.model = saved.path(), .threads = 1, .chunk = 2, .isa = "", .kv = "f32"};
    asked.text = path;
    std::ostringstream out;
    ASSERT_EQ(app::run_eval_perplexity(asked, out), 0);
    std::istringstream lines(out.str());
    std::map<std::string, double> values;
    for (std::string line; std::getline(lines, line);)
        values[line.substr(0, line.find("  "))] = std::stod(line.substr(line.rfind(' ')));
    const double nats = naive_nats(model, tokens);
    EXPECT_EQ(values["tokens"], 5.0);
    EXPECT_NEAR(values["nats per token"], nats / 5, 1e-4);
    EXPECT_NEAR(values["perplexity"], std::exp(nats / 5), 0.01);
    // "▁the that" is nine bytes: the dummy prefix counts as the space that it stands for.
    EXPECT_NEAR(values["bits per byte"], nats / 9 / std::log(2.0), 1e-4);
    // Windows of four: [BOS] and three tokens, then [BOS] and two.
    asked.context = 4;
    std::ostringstream windowed;
    ASSERT_EQ(app::run_eval_perplexity(asked, windowed), 0);
    const double cut = naive_nats(model, {1, 7, 8, 4}) + naive_nats(model, {1, 9, 28});
    std::ostringstream expected;
    expected << "nats per token  " << std::setprecision(3) << cut / 5;
    EXPECT_THAT(windowed.str(), HasSubstr(expected.str()));
    std::filesystem::remove(path);
}

}  // namespace
