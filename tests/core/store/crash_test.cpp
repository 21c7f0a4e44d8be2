#include "tests/core/store/crash.h"

#include <gtest/gtest.h>

namespace core {
namespace {

TEST(StoreCrash, KillingTheProgramTwentyTimesLosesNoTurnThatWasSaved) {
    kill_writers(20, 1);
}

}  // namespace
}  // namespace core
