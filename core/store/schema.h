// The tables of chats.db and how an older database becomes a newer one.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/store/database.h"

namespace core {

// What brings a database from version i to i + 1. Their number is the version this build knows.
std::span<const char* const> schema_migrations();

inline constexpr uint32_t kBackupsKept = 3;

// Brings a database that was opened for writing to the newest version. A database with something in
// it is copied to the folder `backups` beside it first; all steps happen in one transaction, which
// is given up when conversations, turns or parts got fewer. Throws DatabaseError.
// REQUIRES: schema_version(database) <= migrations.size().
void migrate(Database& database, std::span<const char* const> migrations = schema_migrations());

// Throws DatabaseError for a file that is SQLite but not ours.
uint32_t schema_version(Database& database);

// The folder of the copies that migrate() makes.
std::string backup_folder(const Database& database);

}  // namespace core
