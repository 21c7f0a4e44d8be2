// SQLite behind RAII: the only files that include sqlite3.h. One thread at a time.
//
// Errors are DatabaseError: core::Error(storage) with what kind of trouble it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/base/error.h"
#include "core/store/trouble.h"

struct sqlite3;
struct sqlite3_stmt;

namespace core {

class DatabaseError : public Error {
  public:
    DatabaseError(StoreTrouble trouble, std::string object, std::string problem,
                  std::string advice = {})
        : Error(ErrorKind::storage, std::move(object), std::move(problem), std::move(advice)),
          trouble_(trouble) {}
    StoreTrouble trouble() const { return trouble_; }

  private:
    StoreTrouble trouble_;
};

// A prepared statement in use: bind in order, then step or run. Reset at the end of its scope, so
// that it can be used again.
class Statement {
  public:
    explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
    ~Statement();
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    // The next parameter.
    Statement& bind(int64_t value);
    Statement& bind(double value);
    // Texts and blobs must outlive the next step.
    Statement& bind(std::string_view text);
    Statement& bind(std::span<const std::byte> blob);
    Statement& bind_null();
    // 0 becomes NULL: no such row.
    Statement& bind_reference(int64_t row) { return row == 0 ? bind_null() : bind(row); }

    // The next row; false: there is none.
    bool step();
    // REQUIRES: gives no rows.
    void run();

    // Of the row; NULL is 0 or empty. Views live until the next step.
    int64_t number(int column) const;
    double real(int column) const;
    std::string_view text(int column) const;
    std::span<const std::byte> blob(int column) const;
    bool is_null(int column) const;

  private:
    sqlite3_stmt* statement_;
    int parameter_ = 0;
};

class Database {
  public:
    enum class Access : uint8_t {
        create,  // read and write; made where there is none
        read_only,
        frozen,  // read only, of a folder that nobody can write to: no files are made beside it
    };

    // Throws DatabaseError.
    static Database open(const std::string& path, Access access);
    Database(Database&& other) noexcept;
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;
    Database& operator=(Database&&) = delete;

    // Statements without parameters and results.
    void run(const std::string& sql);
    // Prepared once and kept. `sql` is known by its address: it lives as long as the program.
    Statement prepare(const char* sql);
    // The first column of the first row; 0 when there is none.
    int64_t number(const std::string& sql);
    std::string text(const std::string& sql);

    int64_t last_row() const;
    // Rows that the last statement changed.
    int64_t changes() const;
    bool has_table(std::string_view name);
    // A consistent copy. Throws DatabaseError.
    void copy_to(const std::string& path);
    // The same content, which lives as long as this object.
    Database copy_in_memory();
    bool in_memory() const;
    const std::string& path() const { return path_; }

  private:
    Database(sqlite3* handle, std::string path);

    sqlite3* handle_ = nullptr;
    std::string path_;
    std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

// All or nothing: what happens until commit() is undone when it is not reached.
class Transaction {
  public:
    explicit Transaction(Database& database) : database_(&database) {
        database.run("BEGIN IMMEDIATE");
    }
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    void commit();

  private:
    Database* database_;  // null: done
};

}  // namespace core
