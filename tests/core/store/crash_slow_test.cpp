#include <gtest/gtest.h>

#include "tests/core/store/crash.h"

namespace core {
namespace {

TEST(StoreCrash, KillingTheProgramTwoHundredTimesLosesNoTurnThatWasSaved) {
    kill_writers(200, 2);
}

}  // namespace
}  // namespace core
