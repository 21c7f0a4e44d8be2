// When pages are written: at once, when they are to be saved, or never because they are few.
#include <span>

#include <gtest/gtest.h>

#include "tests/core/kv/rows_world.h"

namespace core {
namespace {

class WhenWritten : public testing::Test {
  protected:
    RowsWorld::Options options(uint32_t shortest_line = 0) const {
        return {.directory = folder.path() + "/kv", .shortest_line = shortest_line};
    }
    static void save(RowsWorld& world, const std::vector<Tokens>& lines = {}) {
        const auto saved = world.store().save("", lines);
        world.wait([&] { return saved->done(); });
    }

    TemporaryFolder folder;
    const Tokens line = some_tokens(300, 1);
};

TEST_F(WhenWritten, WhatIsToBeSavedIsWrittenWhenItIsSaved) {
    RowsWorld world(options());
    world.read(line, Keep::to_be_saved);
    world.settle();
    EXPECT_TRUE(folder.files().empty());
    world.read(some_tokens(40, 2), Keep::in_memory);
    save(world);
    world.settle();
    EXPECT_FALSE(folder.files().empty());
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
    EXPECT_EQ(world.known(some_tokens(40, 2)), 0U) << "a temporary one is never written";
}

TEST_F(WhenWritten, AShortLineIsNotWrittenUnlessItIsNamed) {
    RowsWorld world(options(301));
    world.read(line);
    world.settle();
    save(world);
    EXPECT_TRUE(folder.files().empty());
    save(world, {line});
    world.restart();
    EXPECT_EQ(world.known(line), line.size());
}

TEST_F(WhenWritten, ALineIsWrittenWholeOnceItIsLongEnough) {
    RowsWorld world(options(301));
    world.read(line);
    const Tokens longer = joined(line, {7});
    world.read(longer);
    world.restart();
    EXPECT_EQ(world.known(longer), longer.size());
}

}  // namespace
}  // namespace core
