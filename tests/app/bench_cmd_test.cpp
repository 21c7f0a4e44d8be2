// `moxie bench` on a tiny model: the numbers hang together; what they are only the machine knows.
#include "app/subcommands/bench_cmd.h"

#include <cstdlib>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "tests/support/loaded_model.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_model.h"

namespace app {
namespace {

using nlohmann::json;

BenchOptions small_options(const std::string& path) {
    return {.path = path,
            .prompt = 8,
            .generate = 4,
            .depth = 5,
            .threads = 2,
            .repetitions = 3,
            .probe_seconds = 0.0,
            .probe_bytes = size_t{4} << 20};
}

std::string output_of(const BenchOptions& options) {
    std::ostringstream out;
    EXPECT_EQ(run_bench(options, out), 0);
    return out.str();
}

support::TestModel model() {
    return support::tiny_model(support::Family::grok1, support::Storage::q8_0);
}

TEST(BenchCommand, JsonHoldsRatesAndTheirShareOfTheMachine) {
    const support::TemporaryGguf file(model());
    BenchOptions options = small_options(file.path());
    options.json = true;
    const json result = json::parse(output_of(options));
    EXPECT_EQ(result["threads"], 2);
    EXPECT_EQ(result["depth"], 5);
    EXPECT_GT(result["read_bytes_per_second"], 0.0);
    const json& decode = result["decode"];
    const json& speed = decode["tokens_per_second"];
    EXPECT_GT(speed["min"], 0.0);
    EXPECT_LE(speed["min"], speed["median"]);
    EXPECT_LE(speed["median"], speed["max"]);
    const double bytes = result["decode_bytes_per_token"];
    EXPECT_NEAR(decode["weight_bytes_per_second"], speed["median"].get<double>() * bytes, 1.0);
    EXPECT_GT(decode["share_of_read_bandwidth"], 0.0);
    EXPECT_EQ(result["prefill"]["tokens"], 8);
    EXPECT_GT(result["prefill"]["share_of_int8_peak"], 0.0);
}

TEST(BenchCommand, TextNamesWhatWasMeasured) {
    const support::TemporaryGguf file(model());
    EXPECT_THAT(output_of(small_options(file.path())),
                testing::AllOf(testing::HasSubstr("prefill 8: "), testing::HasSubstr("decode 4: "),
                               testing::HasSubstr("% of the int8 peak"),
                               testing::HasSubstr("% of the read bandwidth")));
}

TEST(BenchCommand, WhatIsNotAskedForIsNotShown) {
    const support::TemporaryGguf file(model());
    BenchOptions options = small_options(file.path());
    options.prompt = 0;
    EXPECT_THAT(output_of(options), testing::Not(testing::HasSubstr("prefill")));
    options.generate = 0;
    std::ostringstream out;
    EXPECT_THROW(run_bench(options, out), core::Error);
}

TEST(BenchCommand, TooManyTokensForTheModelAreRefused) {
    const support::TemporaryGguf file(model());
    BenchOptions options = small_options(file.path());
    options.depth = 1U << 22;
    std::ostringstream out;
    try {
        run_bench(options, out);
        FAIL();
    } catch (const core::Error& error) {
        EXPECT_EQ(error.kind(), core::ErrorKind::context);
    }
}

json sequences_result(const support::TestModel& model) {
    const support::TemporaryGguf file(model);
    BenchOptions options = small_options(file.path());
    options.sequences = 4;
    options.json = true;
    return json::parse(output_of(options));
}

TEST(BenchCommand, SeveralSequencesReadEachExpertOncePerStep) {
    const json result = sequences_result(model());
    const double alone = result["alone"]["experts_per_step"];
    const double together = result["together"]["experts_per_step"];
    EXPECT_EQ(alone, 2 * 2) << "two layers, two active experts";
    EXPECT_GT(together, alone);
    EXPECT_LE(together, 2 * 4) << "a layer has four";
    EXPECT_GT(result["alone"]["bytes_per_step"], result["decode_bytes_per_token"]);
    const double bytes = result["together"]["bytes_per_step"];
    const double allowed = 4 * result["alone"]["bytes_per_step"].get<double>() / bytes;
    EXPECT_NEAR(result["gain_allowed"]["median"], allowed, 0.05 * allowed);
    EXPECT_GT(result["gain_allowed"]["median"], 1.0);
    EXPECT_LT(result["gain_allowed"]["median"], 4.0);
}

TEST(BenchCommand, OfADenseModelSequencesShareAllWeights) {
    const auto dense = support::tiny_model(support::Family::llama, support::Storage::q8_0);
    const json result = sequences_result(dense);
    EXPECT_EQ(result["alone"]["experts_per_step"], 0.0);
    EXPECT_GT(result["gain_allowed"]["median"], 2.0);
    const double share = result["share_of_gain"]["median"];
    EXPECT_GT(share, 0.0);
    EXPECT_LE(result["share_of_gain"]["min"], share);
}

TEST(BenchCommand, TextOfSeveralSequencesTellsTheGainAndWhatTheBytesAllow) {
    const support::TemporaryGguf file(model());
    BenchOptions options = small_options(file.path());
    options.sequences = 3;
    EXPECT_THAT(
        output_of(options),
        testing::AllOf(testing::HasSubstr("\n1 sequence: "), testing::HasSubstr("\n3 sequences: "),
                       testing::HasSubstr("of 8 experts"), testing::HasSubstr("\ngain "),
                       testing::HasSubstr("% of it reached")));
}

// The pages of the bench are written below a cache folder of this test.
class ResumeBench : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1), 0); }
    void TearDown() override { ::unsetenv("XDG_CACHE_HOME"); }

    std::string output(bool as_json) {
        auto speaking = model();
        support::add_vocabulary(speaking);
        const support::TemporaryGguf file(speaking);
        BenchOptions options = small_options(file.path());
        options.resume = true;
        options.prompt = 200;
        options.repetitions = 2;
        options.json = as_json;
        return output_of(options);
    }

    support::TemporaryFolder cache;
};

TEST_F(ResumeBench, JsonHoldsBothTimesTheBytesAndTheReadRate) {
    const json result = json::parse(output(true));
    EXPECT_EQ(result["tokens"], 200);
    EXPECT_EQ(result["repetitions"], 2);
    const json& resumed = result["resumed"];
    EXPECT_EQ(resumed["restored_tokens"], 199);
    EXPECT_EQ(resumed["recomputed_tokens"], 1);
    EXPECT_GT(resumed["restored_bytes"], 4 * 4096) << "four pages and their headers";
    const double first_token = resumed["first_token_seconds"]["median"];
    EXPECT_GT(first_token, resumed["restore_seconds"]["min"]);
    EXPECT_NEAR(result["ratio"], result["read"]["first_token_seconds"].get<double>() / first_token,
                1e-6);
    const json& rate = resumed["read_bytes_per_second"];
    EXPECT_GT(rate["min"], 0.0);
    EXPECT_NEAR(rate["max"].get<double>() * resumed["restore_seconds"]["min"].get<double>(),
                resumed["restored_bytes"], 1.0);
    EXPECT_GT(result["disk_bytes_per_second"]["min"], 0.0);
    EXPECT_GT(resumed["limit_seconds"]["min"], 0.1);
}

TEST_F(ResumeBench, TextTellsTheSameAndNothingIsLeftBehind) {
    EXPECT_THAT(output(false), testing::AllOf(testing::HasSubstr("first token when read: "),
                                              testing::HasSubstr("first token when resumed: "),
                                              testing::HasSubstr("restored 199 tokens"),
                                              testing::HasSubstr("recomputed 1"),
                                              testing::HasSubstr("the disk alone gives ")));
    EXPECT_TRUE(cache.files().empty());
}

}  // namespace
}  // namespace app
