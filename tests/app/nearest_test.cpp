// Which name a mistyped one was meant to be.
#include "app/settings/nearest.h"

#include <array>
#include <optional>
#include <string_view>

#include <gtest/gtest.h>

namespace {

constexpr std::array<std::string_view, 4> kNames = {"quit", "regen", "temperature", "retry"};

TEST(Nearest, TwoLettersThatChangedPlacesAreOneEdit) {
    constexpr std::array<std::string_view, 2> kPair = {"adb", "bad"};
    EXPECT_EQ(app::nearest("bda", kPair), "bad");
    EXPECT_EQ(app::nearest("tempreature", kNames), "temperature");
}

TEST(Nearest, SimilarIsWhatBeginsLikeItOrIsFewEditsAway) {
    EXPECT_EQ(app::similar("temp", kNames), "temperature");
    EXPECT_EQ(app::similar("regenrate", kNames), "regen");
    EXPECT_EQ(app::similar("qit", kNames), "quit");
    EXPECT_EQ(app::similar("temprature", kNames), "temperature");
    EXPECT_EQ(app::similar("tr", kNames), std::nullopt);
}

TEST(Nearest, ANameUnlikeAllHasNoneThatIsSimilar) {
    EXPECT_EQ(app::similar("window", kNames), std::nullopt);
    EXPECT_EQ(app::similar("x", kNames), std::nullopt);
    EXPECT_EQ(app::similar("", kNames), std::nullopt);
    EXPECT_EQ(app::similar("quit", {}), std::nullopt);
}

}  // namespace
