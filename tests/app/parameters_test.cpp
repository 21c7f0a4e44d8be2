// Sampling parameters by name: values, ranges, differences.
#include "app/settings/parameters.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/settings/nearest.h"
#include "core/base/error.h"

namespace app {
namespace {

std::string error_of(std::string_view name, std::string_view value) {
    chat::Sampling sampling;
    try {
        set_parameter(sampling, parameter_named(name), value);
    } catch (const core::Error& error) {
        EXPECT_EQ(sampling, chat::Sampling{});
        return error.what();
    }
    return {};
}

TEST(Parameters, EveryOneCanBeSetToWhatItPrints) {
    for (const Parameter& parameter : parameters()) {
        chat::Sampling sampling;
        const std::string value = value_of(sampling, parameter);
        set_parameter(sampling, parameter, value);
        EXPECT_EQ(sampling, chat::Sampling{}) << parameter.name;
    }
}

TEST(Parameters, ValuesAreParsedByTheirType) {
    chat::Sampling sampling;
    set_parameter(sampling, parameter_named("temperature"), "1.25");
    set_parameter(sampling, parameter_named("top_k"), "3");
    set_parameter(sampling, parameter_named("seed"), "18446744073709551615");
    set_parameter(sampling, parameter_named("grok1_order"), "on");
    EXPECT_EQ(sampling.temperature, 1.25F);
    EXPECT_EQ(sampling.top_k, 3);
    EXPECT_EQ(sampling.seed, 18446744073709551615U);
    EXPECT_TRUE(sampling.grok1_order);
    set_parameter(sampling, parameter_named("temperature"), "-=0.25");
    set_parameter(sampling, parameter_named("min_p"), "+=0.05");
    EXPECT_EQ(sampling.temperature, 1.0F);
    EXPECT_FLOAT_EQ(sampling.min_p, 0.1F);
}

TEST(Parameters, NonsenseIsRefusedWithTheRange) {
    EXPECT_THAT(error_of("temperature", "9"), testing::HasSubstr("number between 0 and 5"));
    for (const char* value : {"", "x", "1.0x", "nan", "inf", "-1", "1e9"})
        EXPECT_NE(error_of("top_p", value), "") << value;
    EXPECT_THAT(error_of("top_k", "1.5"), testing::HasSubstr("whole number from 0"));
    EXPECT_NE(error_of("top_k", "+=1"), "");
    EXPECT_NE(error_of("temperature", "+=9"), "");
    EXPECT_THAT(error_of("grok1_order", "maybe"), testing::HasSubstr("on or off"));
}

TEST(Parameters, AMisspeltNameIsAnsweredWithTheNearest) {
    try {
        parameter_named("temprature");
        FAIL();
    } catch (const core::Error& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("did you mean temperature"));
    }
}

TEST(Parameters, DifferencesAreShortAndLeaveTheSeedOut) {
    chat::Sampling now;
    EXPECT_EQ(differences({}, now), "");
    now.seed = 9;
    now.temperature = 0.7F;
    now.top_k = 0;
    EXPECT_EQ(differences({}, now), "T.7 k0");
    EXPECT_EQ(change_label({}, now), "T 0.8→0.7 k 40→0 seed 0→9");
}

TEST(Nearest, TakesTheFewestEdits) {
    const std::vector<std::string_view> names = {"help", "new", "set", "show", "system"};
    EXPECT_EQ(nearest("hlep", names), "help");
    EXPECT_EQ(nearest("shw", names), "show");
    EXPECT_EQ(nearest("", names), "new");
}

}  // namespace
}  // namespace app
