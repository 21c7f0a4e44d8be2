// Older databases become newer ones: with a copy first, whole or not at all.
#include "core/store/schema.h"

#include <array>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/store/store_client.h"

namespace core {
namespace {

namespace fs = std::filesystem;

constexpr const char* kAddColumn =
    "ALTER TABLE conversation ADD COLUMN colour TEXT; UPDATE conversation SET colour = 'red'";

std::vector<const char*> with(std::initializer_list<const char*> more) {
    std::vector<const char*> migrations(schema_migrations().begin(), schema_migrations().end());
    migrations.insert(migrations.end(), more);
    return migrations;
}

std::vector<fs::path> backups(const TemporaryFolder& folder) {
    std::vector<fs::path> found;
    if (fs::exists(folder / "backups"))
        for (const auto& entry : fs::directory_iterator(folder / "backups"))
            found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
}

class SchemaTest : public testing::Test {
  protected:
    Database open() {
        return Database::open((folder_ / "chats.db").string(), Database::Access::create);
    }
    void fill() {
        StoreClient client({.folder = folder_.string()});
        client.save(1, {.title = "kept", .tip = 1}, {user_turn(1, 0, "words")});
    }
    TemporaryFolder folder_;
};

TEST_F(SchemaTest, AnEmptyDatabaseGetsAllTablesAndNoCopy) {
    Database database = open();
    EXPECT_EQ(schema_version(database), 0U);
    migrate(database);
    EXPECT_EQ(schema_version(database), schema_migrations().size());
    for (const char* table :
         {"conversation", "node", "part", "token", "logprob", "param_event", "attachment",
          "part_attachment", "persona", "preset", "model", "usage", "expert_stat", "prompt_history",
          "bookmark", "kv_meta", "node_fts", "system_text"})
        EXPECT_TRUE(database.has_table(table)) << table;
    EXPECT_TRUE(backups(folder_).empty());
}

TEST_F(SchemaTest, AMigrationCopiesTheDatabaseFirst) {
    fill();
    {
        Database database = open();
        migrate(database, with({kAddColumn}));
        EXPECT_EQ(schema_version(database), schema_migrations().size() + 1);
        EXPECT_EQ(database.text("SELECT colour FROM conversation"), "red");
        EXPECT_EQ(database.text("SELECT text FROM part"), "words");
    }
    ASSERT_EQ(backups(folder_).size(), 1U);
    EXPECT_EQ(fs::status(backups(folder_)[0]).permissions(),
              fs::perms::owner_read | fs::perms::owner_write);
    Database copy = Database::open(backups(folder_)[0].string(), Database::Access::read_only);
    EXPECT_EQ(schema_version(copy), schema_migrations().size());
    EXPECT_EQ(copy.text("SELECT text FROM part"), "words");
}

TEST_F(SchemaTest, AMigrationThatFailsChangesNothing) {
    fill();
    Database database = open();
    EXPECT_THROW(migrate(database, with({kAddColumn, "INSERT INTO nowhere VALUES (1)"})),
                 DatabaseError);
    EXPECT_EQ(schema_version(database), schema_migrations().size());
    EXPECT_EQ(database.number("SELECT count(*) FROM pragma_table_info('conversation') WHERE name = "
                              "'colour'"),
              0);
    EXPECT_EQ(database.text("SELECT text FROM part"), "words");
}

TEST_F(SchemaTest, AMigrationThatLosesRowsIsGivenUp) {
    fill();
    Database database = open();
    try {
        migrate(database, with({"DELETE FROM part"}));
        FAIL();
    } catch (const DatabaseError& error) {
        EXPECT_THAT(error.what(), testing::HasSubstr("would lose rows of part"));
    }
    EXPECT_EQ(database.text("SELECT text FROM part"), "words");
}

TEST_F(SchemaTest, ThreeCopiesAreKept) {
    fill();
    Database database = open();
    std::vector<const char*> migrations = with({});
    fs::path newest;
    for (int i = 0; i < 5; ++i) {
        migrations.push_back("SELECT 1");
        migrate(database, migrations);
        EXPECT_LE(backups(folder_).size(), kBackupsKept);
        EXPECT_NE(backups(folder_).back(), newest);
        newest = backups(folder_).back();
    }
    EXPECT_EQ(backups(folder_).size(), kBackupsKept);
}

TEST_F(SchemaTest, ADatabaseOfAnotherProgramIsRefused) {
    Database database = open();
    database.run("CREATE TABLE bookmarks (url TEXT)");
    EXPECT_THROW(schema_version(database), DatabaseError);
}

TEST_F(SchemaTest, AFinishedTextCannotBeChanged) {
    fill();
    Database database = open();
    EXPECT_THROW(database.run("UPDATE part SET text = 'other'"), DatabaseError);
    EXPECT_EQ(database.text("SELECT text FROM part"), "words");
}

}  // namespace
}  // namespace core
