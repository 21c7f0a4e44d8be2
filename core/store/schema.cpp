#include "core/store/schema.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/base/paths.h"

namespace core {
namespace {

namespace fs = std::filesystem;

// "moxi": SQLite's place for saying whose file it is.
constexpr int64_t kApplicationId = 0x6d6f7869;

// Tables that hold what people wrote: none of them may shrink in a migration.
constexpr std::array<std::string_view, 3> kPrecious{"conversation", "node", "part"};

// Version 1. Nothing here is ever edited once it was released: changes are new migrations.
// Times are milliseconds since 1970. Blobs are little-endian arrays of 32-bit numbers.
constexpr const char* kVersion1 = R"(
CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    path TEXT NOT NULL DEFAULT '',
    fingerprint TEXT,
    arch TEXT,
    quant TEXT,
    bytes INTEGER,
    header_json TEXT,
    last_ok INTEGER,
    UNIQUE (name, path)
);
CREATE TABLE persona (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    system TEXT NOT NULL DEFAULT '',
    params_json TEXT
);
CREATE TABLE preset (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    params_json TEXT NOT NULL
);
-- Instructions in front of conversations; answers refer to those they were given under.
CREATE TABLE system_text (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    short_id TEXT NOT NULL UNIQUE CHECK (length(short_id) >= 4),
    title TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    tip_node INTEGER REFERENCES node (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    root_node INTEGER REFERENCES node (id) ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    model_id INTEGER REFERENCES model (id),
    persona_id INTEGER REFERENCES persona (id) ON DELETE SET NULL,
    system_id INTEGER REFERENCES system_text (id),
    params_json TEXT NOT NULL DEFAULT '{}',
    pinned INTEGER NOT NULL DEFAULT 0,
    archived INTEGER NOT NULL DEFAULT 0,
    deleted_at INTEGER,
    forked_from_node INTEGER REFERENCES node (id) ON DELETE SET NULL
);
CREATE INDEX conversation_updated ON conversation (updated);
-- A turn. Finished ones are never changed; another answer is another node with the same parent.
CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    conv_id INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
    parent_id INTEGER REFERENCES node (id) DEFERRABLE INITIALLY DEFERRED,
    ordinal INTEGER NOT NULL CHECK (ordinal > 0),
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    state TEXT NOT NULL CHECK (state IN ('streaming', 'done', 'interrupted', 'error', 'edited')),
    created INTEGER NOT NULL,
    author_model_id INTEGER REFERENCES model (id),
    system_id INTEGER REFERENCES system_text (id),
    params_json TEXT,
    backend TEXT,
    seed INTEGER,
    rng_counter INTEGER,
    finish_reason TEXT,
    error TEXT,
    excluded INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0,
    UNIQUE (conv_id, ordinal)
);
CREATE INDEX node_parent ON node (parent_id);
CREATE INDEX node_streaming ON node (state) WHERE state = 'streaming';
CREATE TABLE part (
    id INTEGER PRIMARY KEY,
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    idx INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('text', 'thinking', 'file', 'tool')),
    text TEXT NOT NULL,
    meta_json TEXT,
    searchable INTEGER NOT NULL DEFAULT 0,
    UNIQUE (node_id, idx)
);
-- The exact ids of an answer, and how many bytes of its text stand before each.
CREATE TABLE token (
    node_id INTEGER PRIMARY KEY REFERENCES node (id) ON DELETE CASCADE,
    n INTEGER NOT NULL,
    ids BLOB NOT NULL,
    text_offsets BLOB NOT NULL
);
CREATE TABLE logprob (
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    topk BLOB NOT NULL,
    PRIMARY KEY (node_id, start)
);
-- Parameters that were changed while an answer was written; rows of one change share `seq`.
CREATE TABLE param_event (
    id INTEGER PRIMARY KEY,
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at_token INTEGER NOT NULL,
    key TEXT NOT NULL,
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    UNIQUE (node_id, seq, key)
);
CREATE TABLE usage (
    node_id INTEGER PRIMARY KEY REFERENCES node (id) ON DELETE CASCADE,
    prompt_tok INTEGER NOT NULL,
    cached_tok INTEGER NOT NULL,
    restored_tok INTEGER NOT NULL DEFAULT 0,
    recomputed_tok INTEGER NOT NULL DEFAULT 0,
    gen_tok INTEGER NOT NULL,
    restored_bytes INTEGER NOT NULL DEFAULT 0,
    restore_ms REAL NOT NULL DEFAULT 0,
    pp_ms REAL NOT NULL,
    tg_ms REAL NOT NULL,
    ttft_ms REAL NOT NULL
);
CREATE TABLE expert_stat (
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    layer INTEGER NOT NULL,
    counts BLOB NOT NULL,
    PRIMARY KEY (node_id, layer)
);
CREATE TABLE attachment (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    mime TEXT,
    bytes INTEGER NOT NULL,
    path TEXT,
    content BLOB
);
CREATE TABLE part_attachment (
    part_id INTEGER NOT NULL REFERENCES part (id) ON DELETE CASCADE,
    attachment_id INTEGER NOT NULL REFERENCES attachment (id),
    PRIMARY KEY (part_id, attachment_id)
);
CREATE TABLE prompt_history (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, text TEXT NOT NULL);
CREATE TABLE bookmark (
    conv_id INTEGER NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    PRIMARY KEY (conv_id, key)
);
CREATE TABLE kv_meta (key TEXT PRIMARY KEY, value TEXT);

-- Full-text search over parts whose text does not change any more.
CREATE VIRTUAL TABLE node_fts USING fts5 (
    text, content = 'part', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER part_added AFTER INSERT ON part WHEN new.searchable BEGIN
    INSERT INTO node_fts (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER part_finished AFTER UPDATE ON part WHEN new.searchable AND NOT old.searchable BEGIN
    INSERT INTO node_fts (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER part_fixed BEFORE UPDATE OF text ON part WHEN old.searchable BEGIN
    SELECT RAISE (ABORT, 'a finished text is never changed');
END;
CREATE TRIGGER part_removed AFTER DELETE ON part WHEN old.searchable BEGIN
    INSERT INTO node_fts (node_fts, rowid, text) VALUES ('delete', old.id, old.text);
END;
)";

// Version 2. A turn that the user removed from the tree, with what follows it.
constexpr const char* kVersion2 = R"(
ALTER TABLE node ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
)";

// Version 3. What the KV cache has on disk of a line that ends with an answer: the ids, which with
// the root name its pages. They go with the answer.
constexpr const char* kVersion3 = R"(
CREATE TABLE kv_line (
    id INTEGER PRIMARY KEY,
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    root BLOB NOT NULL,
    version INTEGER NOT NULL,
    ids BLOB NOT NULL,
    UNIQUE (node_id, root)
);
)";

// Version 4. The search index knows the beginnings of words as such, so that the first letters that
// somebody types do not make it join the rows of every word that begins with them.
constexpr const char* kVersion4 = R"(
DROP TABLE node_fts;
CREATE VIRTUAL TABLE node_fts USING fts5 (
    text, content = 'part', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2',
    prefix = '1 2 3 4'
);
INSERT INTO node_fts (rowid, text) SELECT id, text FROM part WHERE searchable;
)";

constexpr std::array kMigrations{kVersion1, kVersion2, kVersion3, kVersion4};

std::vector<int64_t> count_precious(Database& database) {
    std::vector<int64_t> counts(kPrecious.size(), 0);
    for (size_t i = 0; i < kPrecious.size(); ++i)
        if (database.has_table(kPrecious.at(i)))
            counts[i] = database.number("SELECT count(*) FROM " + std::string(kPrecious.at(i)));
    return counts;
}

std::string backup_name(uint32_t version) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    // Names sort by age: the number of milliseconds keeps its length until the year 2286.
    return "chats-" + std::to_string(milliseconds) + "-v" + std::to_string(version) + ".db";
}

void forget_old_backups(const std::string& folder) {
    std::vector<fs::path> copies;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".db") copies.push_back(entry.path());
    std::sort(copies.begin(), copies.end());
    std::error_code ignored;  // a copy too many is no reason to refuse the database
    for (size_t i = 0; i + kBackupsKept < copies.size(); ++i)
        fs::remove(copies[i], ignored);
}

void back_up(Database& database, uint32_t version) {
    const std::string folder = make_private_folder(backup_folder(database));
    const std::string copy = folder + "/" + backup_name(version);
    // An empty file with the right mode, which SQLite then fills.
    const int fd = ::open(copy.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd >= 0) ::close(fd);
    database.copy_to(copy);
    forget_old_backups(folder);
}

}  // namespace

std::span<const char* const> schema_migrations() {
    return kMigrations;
}

std::string backup_folder(const Database& database) {
    return (fs::path(database.path()).parent_path() / "backups").string();
}

uint32_t schema_version(Database& database) {
    const int64_t version = database.number("PRAGMA user_version");
    const int64_t application = database.number("PRAGMA application_id");
    const bool is_new = version == 0 && application == 0 &&
                        database.number("SELECT count(*) FROM sqlite_schema") == 0;
    if (!is_new && application != kApplicationId)
        throw DatabaseError(StoreTrouble::damaged, database.path(),
                            "is a database of another program", "move it out of the way");
    return static_cast<uint32_t>(version);
}

void migrate(Database& database, std::span<const char* const> migrations) {
    const uint32_t from = schema_version(database);
    MOXIE_CHECK(from <= migrations.size());
    if (from == migrations.size()) return;
    if (from > 0 && !database.in_memory()) back_up(database, from);

    Transaction transaction(database);
    const std::vector<int64_t> before = count_precious(database);
    for (size_t step = from; step < migrations.size(); ++step)
        database.run(migrations[step]);
    const std::vector<int64_t> after = count_precious(database);
    for (size_t i = 0; i < kPrecious.size(); ++i)
        if (after[i] < before[i])
            throw DatabaseError(StoreTrouble::damaged, database.path(),
                                "would lose rows of " + std::string(kPrecious.at(i)) +
                                    " on the way to version " + std::to_string(migrations.size()),
                                "nothing was changed; please report this");
    database.run("PRAGMA application_id = " + std::to_string(kApplicationId));
    database.run("PRAGMA user_version = " + std::to_string(migrations.size()));
    transaction.commit();
}

}  // namespace core
