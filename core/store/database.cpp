#include "core/store/database.h"

#include <array>
#include <utility>

#include <sqlite3.h>

namespace core {
namespace {

StoreTrouble trouble_of(int code) {
    switch (code & 0xff) {
        case SQLITE_FULL: return StoreTrouble::disk_full;
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_CANTOPEN: return StoreTrouble::read_only;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return StoreTrouble::damaged;
        default: return StoreTrouble::other;
    }
}

const std::string kMemory = ":memory:";

std::string advice_for(StoreTrouble trouble) {
    switch (trouble) {
        case StoreTrouble::disk_full: return "free some space";
        case StoreTrouble::read_only: return "check the permissions of its folder";
        case StoreTrouble::damaged: return "restore a copy from the folder backups beside it";
        default: return {};
    }
}

[[noreturn]] void fail(sqlite3* handle, int code, const std::string& path) {
    // The handle has a better text than the code alone, where there is a handle.
    const char* text = handle != nullptr ? ::sqlite3_errmsg(handle) : ::sqlite3_errstr(code);
    const StoreTrouble trouble = trouble_of(code);
    throw DatabaseError(trouble, path, text, advice_for(trouble));
}

void check(sqlite3_stmt* statement, int code) {
    if (code == SQLITE_OK) return;
    sqlite3* handle = ::sqlite3_db_handle(statement);
    fail(handle, code, ::sqlite3_db_filename(handle, "main"));
}

// "?", "#" and "%" mean something in a URI.
std::string escaped(const std::string& path) {
    std::string out;
    for (const char c : path) {
        if (c == '?') {
            out += "%3f";
        } else if (c == '#') {
            out += "%23";
        } else if (c == '%') {
            out += "%25";
        } else {
            out += c;
        }
    }
    return out;
}

}  // namespace

Statement::~Statement() {
    ::sqlite3_reset(statement_);
    ::sqlite3_clear_bindings(statement_);
}

Statement& Statement::bind(int64_t value) {
    check(statement_, ::sqlite3_bind_int64(statement_, ++parameter_, value));
    return *this;
}

Statement& Statement::bind(double value) {
    check(statement_, ::sqlite3_bind_double(statement_, ++parameter_, value));
    return *this;
}

// A null pointer would bind NULL; an empty text is a text.
Statement& Statement::bind(std::string_view text) {
    const char* data = text.empty() ? "" : text.data();
    check(statement_, ::sqlite3_bind_text64(statement_, ++parameter_, data, text.size(),
                                            SQLITE_STATIC, SQLITE_UTF8));
    return *this;
}

Statement& Statement::bind(std::span<const std::byte> blob) {
    if (blob.empty()) {
        check(statement_, ::sqlite3_bind_zeroblob(statement_, ++parameter_, 0));
    } else {
        check(statement_, ::sqlite3_bind_blob64(statement_, ++parameter_, blob.data(), blob.size(),
                                                SQLITE_STATIC));
    }
    return *this;
}

Statement& Statement::bind_null() {
    check(statement_, ::sqlite3_bind_null(statement_, ++parameter_));
    return *this;
}

bool Statement::step() {
    const int code = ::sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) check(statement_, code);
    return false;
}

void Statement::run() {
    MOXIE_CHECK(!step());
}

int64_t Statement::number(int column) const {
    return ::sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const {
    return ::sqlite3_column_double(statement_, column);
}

std::string_view Statement::text(int column) const {
    const auto* data = reinterpret_cast<const char*>(::sqlite3_column_text(statement_, column));
    const auto size = static_cast<size_t>(::sqlite3_column_bytes(statement_, column));
    return data == nullptr ? std::string_view{} : std::string_view(data, size);
}

std::span<const std::byte> Statement::blob(int column) const {
    const auto* data = static_cast<const std::byte*>(::sqlite3_column_blob(statement_, column));
    const auto size = static_cast<size_t>(::sqlite3_column_bytes(statement_, column));
    return data == nullptr ? std::span<const std::byte>{} : std::span(data, size);
}

bool Statement::is_null(int column) const {
    return ::sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Database::Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}

Database::Database(Database&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      path_(std::move(other.path_)),
      statements_(std::move(other.statements_)) {
    other.statements_.clear();
}

Database::~Database() {
    for (const auto& [sql, statement] : statements_)
        ::sqlite3_finalize(statement);
    ::sqlite3_close(handle_);
}

Database Database::open(const std::string& path, Access access) {
    constexpr int kBusyMilliseconds = 5000;
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI | SQLITE_OPEN_EXRESCODE;
    flags |= access == Access::create ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                      : SQLITE_OPEN_READONLY;
    const std::string uri =
        "file:" + escaped(path) + (access == Access::frozen ? "?immutable=1" : "");
    sqlite3* handle = nullptr;
    const int code = ::sqlite3_open_v2(uri.c_str(), &handle, flags, nullptr);
    Database database(handle, path);  // closes the handle, which there is even after an error
    if (code != SQLITE_OK) fail(handle, code, path);
    ::sqlite3_busy_timeout(handle, kBusyMilliseconds);
    return database;
}

void Database::run(const std::string& sql) {
    const int code = ::sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(handle_, code, path_);
}

Statement Database::prepare(const char* sql) {
    sqlite3_stmt*& statement = statements_[sql];
    if (statement == nullptr) {
        const int code =
            ::sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
        if (code != SQLITE_OK) fail(handle_, code, path_);
    }
    return Statement(statement);
}

namespace {

// A statement that is used once.
struct Once {
    Once(sqlite3* handle, const std::string& sql, const std::string& path) {
        const int code = ::sqlite3_prepare_v2(handle, sql.c_str(), -1, &statement, nullptr);
        if (code != SQLITE_OK) fail(handle, code, path);
    }
    ~Once() { ::sqlite3_finalize(statement); }
    Once(const Once&) = delete;
    Once& operator=(const Once&) = delete;

    sqlite3_stmt* statement = nullptr;
};

}  // namespace

int64_t Database::number(const std::string& sql) {
    const Once once(handle_, sql, path_);
    Statement statement(once.statement);
    return statement.step() ? statement.number(0) : 0;
}

std::string Database::text(const std::string& sql) {
    const Once once(handle_, sql, path_);
    Statement statement(once.statement);
    return statement.step() ? std::string(statement.text(0)) : std::string();
}

int64_t Database::last_row() const {
    return ::sqlite3_last_insert_rowid(handle_);
}

int64_t Database::changes() const {
    return ::sqlite3_changes64(handle_);
}

bool Database::has_table(std::string_view name) {
    Statement statement = prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
    return statement.bind(name).step();
}

void Database::copy_to(const std::string& path) {
    Statement statement = prepare("VACUUM INTO ?");
    statement.bind(std::string_view(path)).run();
}

Database Database::copy_in_memory() {
    Database copy = open(kMemory, Access::create);
    sqlite3_backup* backup = ::sqlite3_backup_init(copy.handle_, "main", handle_, "main");
    if (backup == nullptr) fail(copy.handle_, ::sqlite3_errcode(copy.handle_), path_);
    const int code = ::sqlite3_backup_step(backup, -1);
    ::sqlite3_backup_finish(backup);
    if (code != SQLITE_DONE) fail(nullptr, code, path_);
    return copy;
}

bool Database::in_memory() const {
    return path_ == kMemory;
}

Transaction::~Transaction() {
    if (database_ == nullptr) return;
    try {
        database_->run("ROLLBACK");
    } catch (const Error&) {
        // SQLite rolls back by itself after some errors, a full disk among them.
    }
}

void Transaction::commit() {
    database_->run("COMMIT");
    database_ = nullptr;
}

}  // namespace core
